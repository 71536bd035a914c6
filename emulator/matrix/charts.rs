//! The plots of a report: which cost is drawn over what.

use super::plan::Axis;
use super::plot::{Chart, Line, Unit};
use super::report::MatrixReport;
use super::strategy::PAGES;
use super::table::{METRICS, Metric, with};

/// A metric over an axis.
#[derive(Clone, Copy, Debug)]
struct Plot {
    axis: Axis,
    /// The number in [`METRICS`].
    metric: usize,
    unit: Unit,
    caption: &'static str,
}

const fn plot(axis: Axis, metric: usize, unit: Unit, caption: &'static str) -> Plot {
    Plot {
        axis,
        metric,
        unit,
        caption,
    }
}

/// The plots, in the page's order.
const PLOTS: [Plot; 7] = [
    plot(
        Axis::Tasks,
        0,
        Unit::Count,
        "A lazy fill is for whoever needs it; a walk is for everybody",
    ),
    plot(
        Axis::Tasks,
        1,
        Unit::Count,
        "Making a mapping: the walk pays for each task there is",
    ),
    plot(
        Axis::Mappings,
        0,
        Unit::Count,
        "An entry covers many mappings, so that it is filled in seldom",
    ),
    plot(
        Axis::Mappings,
        1,
        Unit::Count,
        "Making many mappings: the walk comes back for each new entry",
    ),
    plot(
        Axis::Tasks,
        2,
        Unit::Count,
        "Using a mapping: the same for any number of tasks",
    ),
    plot(
        Axis::Forks,
        0,
        Unit::Count,
        "Who is forked later has the entry from the start",
    ),
    plot(
        Axis::Tasks,
        4,
        Unit::Bytes,
        "Page tables: preallocation costs the same however many tasks there are",
    ),
];

/// A plot with its caption.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Captioned {
    pub(super) caption: &'static str,
    pub(super) chart: Chart,
}

/// All plots that have something to show.
pub(super) fn charts(report: &MatrixReport) -> Vec<Captioned> {
    PLOTS
        .iter()
        .filter_map(|plot| {
            let chart = chart(report, plot)?;
            Some(Captioned {
                caption: plot.caption,
                chart,
            })
        })
        .collect()
}

fn chart(report: &MatrixReport, plot: &Plot) -> Option<Chart> {
    let metric: &Metric = METRICS.get(plot.metric)?;
    let series = report.series.iter().find(|s| s.axis == plot.axis)?;
    let lines: Vec<Line> = report
        .pages
        .iter()
        .map(|s| Line {
            name: s.word.clone(),
            // The colour is the strategy's, whatever else is shown.
            color: PAGES.iter().position(|p| p.word == s.word).unwrap_or(0),
            points: report
                .costs_of(plot.axis, &s.word)
                .filter_map(|run| Some((run.n, (metric.of)(run.cost.as_ref()?))))
                .collect(),
        })
        .filter(|l| l.points.len() > 1)
        .collect();
    if lines.is_empty() {
        return None;
    }
    let axis = plot.axis.name();
    let x_name = format!("{axis}{}", with(&series.define));
    Some(Chart {
        title: format!("{}, as {axis} grow", metric.name),
        x_name,
        y_name: metric.name.to_owned(),
        unit: plot.unit,
        lines,
    })
}
