//! `iretrace sweep`: an event at every boundary of a run, and a verdict for each.

mod args;
mod text;

pub use args::{SweepArgs, sweep};
