//! `iretrace matrix`: every page-table strategy with every NMI strategy, swept, and what each costs.

mod args;
mod progress;

pub use args::{MatrixArgs, matrix};
