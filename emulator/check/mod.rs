//! Checks: rules that turn the events of a run into findings.
//!
//! A [`Machine`](crate::machine::Machine) that is told to
//! ([`enable_checks`](crate::machine::Machine::enable_checks)) shows every event to [`Checks`] at
//! the boundary after it. What the rules know is part of the machine's state, and goes into its
//! snapshots. [`RULES`] is the table of them; each is a file in `check/rules`, and is explained by
//! a text in `check/explain`.
//!
//! Software may do on purpose what looks like damage (Linux's code for nested NMIs rewrites its
//! own frames). So errors speak of what was *consumed*, or never happened, not of what was touched.

mod checks;
mod config;
mod context;
mod finding;
mod frames;
mod policy;
mod rule;
mod rules;
mod severity;

pub use checks::{Checks, Rest};
pub use config::CheckConfig;
pub use context::{Context, Look, Proof};
pub use finding::{Finding, Findings, MAX_A_RULE};
pub use frames::{Frame, Frames};
pub use policy::{Denial, Level, Policy};
pub use rule::{RULES, Rule, RuleId, UnknownRule};
pub use severity::Severity;
