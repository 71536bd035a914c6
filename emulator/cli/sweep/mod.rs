//! `iretrace sweep`: an event at every boundary of a run, and a verdict for each.

mod args;
mod gather;
mod html;
mod progress;
mod report_args;
mod shard;
mod text;

pub use args::{SweepArgs, sweep};
pub use report_args::{ReportArgs, exit_code};
