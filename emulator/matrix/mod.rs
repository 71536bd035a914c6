//! The matrix: every page-table strategy with every NMI strategy, swept, and what each costs.
//!
//! One program has all strategies, and is told by definitions which of them to be made of (`PAGES`,
//! `NMI`) and how large to be (`TASKS`, `MAPPINGS`, `FORKS`). A [`Cell`] is one pair of strategies:
//! a [sweep](crate::sweep) of the program from `window` to `window_end`, with an NMI at every boundary
//! and another one at every boundary of what the first one caused; the run of its worst case, with
//! what happened in it counted ([`Counts`]); a burst of NMIs; and what one NMI costs. A [`CostRun`]
//! is one page-table strategy at one size, without injections.
//!
//! A program of one's own needs these symbols: `window`, `window_end`; `nmi_body` (or `nmi_touch`),
//! without which no NMI is found to be unserved; the [`PHASES`]; and quads named `count_faults`,
//! `count_pte_writes`, `count_fill_writes` and `count_table_bytes`.
//!
//! The same program and plan give the same [`MatrixReport`], whatever the number of threads.

mod cell;
mod census;
mod charts;
mod cost;
mod counts;
mod error;
mod html;
mod markdown;
mod nmi_cost;
mod plan;
pub mod plot;
mod report;
mod runner;
mod schema;
mod strategy;
mod subject;
mod sweep_cell;
mod table;
mod text;

pub use cell::{BURST, Burst, Cell, PERIOD, Run, SweepSum, WINDOW, WINDOW_END, Worst};
pub use census::Census;
pub use cost::{Cost, CostRun, PHASES};
pub use counts::{COUNT_COLUMNS, CountColumn, Counts};
pub use error::MatrixError;
pub use html::html;
pub use markdown::markdown;
pub use nmi_cost::NmiCost;
pub use plan::{Axis, CostSeries, MatrixPlan};
pub use report::{MATRIX_VERSION, MatrixReport, Series, StrategyReport};
pub use runner::{Matrix, Progress};
pub use schema::MATRIX_SCHEMA;
pub use strategy::{NMI, PAGES, Strategy, UnknownStrategy, find};
pub use subject::{Open, Subject};
pub use table::{METRICS, Metric, Table};
pub use text::text;
