//! The page walk against a second, independent statement of the rules: counted exhaustively, and
//! through the whole machine in random sequences.
//!
//! `cargo test --test walk -- --nocapture` prints the number of combinations and the time;
//! `IRETRACE_WALK_SEQUENCES=1000` makes the random part longer.

mod cached;
mod exhaustive;
mod oracle;
mod rig;
mod sequences;
mod upper;
