//! Plots: lines over logarithmic axes, named at their ends, as SVG that needs no script.

mod chart;
mod labels;
mod scale;
mod svg;

pub use chart::{Chart, Line, Unit};
pub use scale::Scale;
