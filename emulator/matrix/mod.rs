//! The matrix: every page-table strategy with every NMI strategy, swept, and what each costs.

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
mod strategy;
mod subject;
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
pub use strategy::{NMI, PAGES, Strategy, UnknownStrategy, find};
pub use subject::{Open, Subject};
pub use table::{METRICS, Metric, Table};
pub use text::text;
