//! Sweeps: an event at every boundary of a run, and a verdict for each.

mod baseline;
mod driver;
mod error;
mod explore;
mod judge;
mod liveness;
mod plan;
mod report;
mod tally;
mod verdict;

pub use baseline::{Baseline, Place};
pub use driver::{MakeMachine, OnPart, PART, Sweep};
pub use error::SweepError;
pub use liveness::{Fate, Liveness};
pub use plan::{Bound, Plan, Shot};
pub use report::{ClassReport, Column, Line, REPORT_VERSION, RangeReport, Report};
pub use tally::{Class, Counts, Key, Spot, Tally, TallyRecord};
pub use verdict::{Outcome, Verdict};
