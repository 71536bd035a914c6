//! Many tests at once: found in files and folders, run in parallel, reported.

mod discover;
mod helper;
mod judge;
mod ktap;
mod outcome;
mod report;
mod run;
mod xml;

pub use discover::discover;
pub use helper::main;
pub use outcome::{Outcome, Report, TestResult};
pub use report::{Format, render, summary};
pub use run::{Listed, Options, Suite};
