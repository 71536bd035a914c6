//! Sweeps: an event at every boundary of a run, and a verdict for each.

mod baseline;
mod checkpoint;
mod code;
mod driver;
mod error;
mod explore;
mod inputs;
mod judge;
mod liveness;
mod merge;
mod plan;
mod report;
mod schema;
mod tally;
mod verdict;

pub use baseline::{Baseline, Place};
pub use checkpoint::{Checkpoint, CheckpointHeader, PartRecord, SWEEP_MARK};
pub use code::Code;
pub use driver::{MakeMachine, OnPart, PART, Sweep};
pub use error::SweepError;
pub use inputs::inputs;
pub use liveness::{Fate, Liveness};
pub use merge::merge;
pub use plan::{Bound, Plan, Shot};
pub use report::{ClassReport, Column, Line, REPORT_VERSION, RangeReport, Report};
pub use schema::REPORT_SCHEMA;
pub use tally::{Class, Counts, Key, Spot, Tally, TallyRecord};
pub use verdict::{Outcome, Verdict};
