//! The page walk against a second, independent statement of the rules, counted exhaustively.
//!
//! `cargo test --test walk -- --nocapture` prints the number of combinations and the time.

mod exhaustive;
mod oracle;
mod rig;
mod upper;
