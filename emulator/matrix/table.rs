//! A report's tables, whatever they are shown in.

use super::cell::{BURST, Cell, PERIOD};
use super::cost::Cost;
use super::counts::{COUNT_COLUMNS, Counts};
use super::nmi_cost::MOST;
use super::plan::Axis;
use super::report::MatrixReport;
use crate::printable::grouped;
use crate::sweep::Verdict;

/// A table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// Its columns' heads.
    pub heads: Vec<String>,
    /// How many columns, from the left, are text; the others are numbers, but for `text_after`.
    pub text: usize,
    /// From this column on there is text again.
    pub text_after: usize,
    /// Rows, in groups that belong together.
    pub groups: Vec<Vec<Vec<String>>>,
}

/// What a run costs, as it is plotted and tabled.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// What it is.
    pub name: &'static str,
    /// The phases or symbols that it comes from.
    pub meaning: &'static str,
    /// The value.
    pub of: fn(&Cost) -> u64,
}

/// The metrics, in the reports' order.
pub const METRICS: [Metric; 5] = [
    Metric {
        name: "entries filled into tasks' tables",
        meaning: "count_fill_writes: after the table was made, by a fault or by a walk",
        of: |c| c.fill_writes,
    },
    Metric {
        name: "instructions to make mappings and fork",
        meaning: "from phase_map to phase_use",
        of: |c| c.map,
    },
    Metric {
        name: "instructions to use the mappings",
        meaning: "from phase_use to phase_end",
        of: |c| c.r#use,
    },
    Metric {
        name: "page-table writes in all",
        meaning: "count_pte_writes: every entry that is written, for new tasks too",
        of: |c| c.pte_writes,
    },
    Metric {
        name: "bytes of page tables",
        meaning: "count_table_bytes: for tasks and mappings",
        of: |c| c.table_bytes,
    },
];

fn groups(report: &MatrixReport, row: impl Fn(&Cell) -> Vec<String>) -> Vec<Vec<Vec<String>>> {
    let same = |a: &Cell, b: &Cell| a.pages == b.pages;
    report
        .cells
        .chunk_by(same)
        .map(|cells| {
            let rows = cells.iter().map(|c| {
                let mut all = vec![c.pages.clone(), c.nmi.clone()];
                all.extend(row(c));
                all
            });
            rows.collect()
        })
        .collect()
}

fn heads<'a>(more: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let first = ["pages", "NMI"].into_iter();
    first.chain(more).map(str::to_owned).collect()
}

/// The cells of [`COUNT_COLUMNS`].
fn counted(counts: &Counts) -> Vec<String> {
    let columns = COUNT_COLUMNS.iter();
    columns.map(|c| grouped((c.of)(counts))).collect()
}

/// `836, 841`: the boundaries of a schedule.
pub(super) fn boundaries(schedule: &[String]) -> String {
    let all = schedule.iter().map(|option| {
        let at = option.rsplit('=').next();
        at.unwrap_or_default()
    });
    all.collect::<Vec<_>>().join(", ")
}

/// What happened in the run that stands for each cell.
#[must_use]
pub fn counts(report: &MatrixReport) -> Table {
    let names = COUNT_COLUMNS.iter().map(|c| c.heading);
    Table {
        title: "The worst run of each cell".to_owned(),
        heads: heads(names.chain(["verdict", "NMIs at"])),
        text: 2,
        text_after: 2 + COUNT_COLUMNS.len(),
        groups: groups(report, |c| {
            let mut row = counted(&c.representative().counts);
            let schedule = c.worst.as_ref().filter(|_| c.undisturbed.success);
            row.push(c.short_verdict());
            row.push(schedule.map_or_else(String::new, |w| boundaries(&w.schedule)));
            row
        }),
    }
}

/// What the sweeps did.
#[must_use]
pub fn sweeps(report: &MatrixReport) -> Table {
    let more = [
        "boundaries",
        "cases",
        "bad",
        "runs",
        "early",
        "re-entered",
        "lost",
        "frames lost",
    ];
    Table {
        title: "All runs of each cell's sweep: cases, and runs that show what".to_owned(),
        heads: heads(more),
        text: 2,
        text_after: usize::MAX,
        groups: groups(report, |c| {
            let s = &c.sweep;
            let bad = Verdict::ALL.into_iter().filter(|v| v.is_bad());
            let bad = bad.filter_map(|v| s.verdicts.get(v.name())).sum();
            let (boundaries, k) = (s.boundaries, &s.census);
            let numbers = [
                boundaries,
                s.cases,
                bad,
                s.runs,
                k.early_unblocks,
                k.reentries,
                k.nmis_lost,
                k.frames_lost,
            ];
            numbers.map(grouped).to_vec()
        }),
    }
}

/// What a burst of NMIs did.
#[must_use]
pub fn bursts(report: &MatrixReport) -> Table {
    let names = COUNT_COLUMNS.iter().map(|c| c.heading);
    Table {
        title: format!(
            "A burst of {BURST} NMIs, one every {PERIOD} instructions from the window on"
        ),
        heads: heads(names.chain(["end"])),
        text: 2,
        text_after: 2 + COUNT_COLUMNS.len(),
        groups: groups(report, |c| {
            let run = &c.burst.run;
            let mut row = counted(&run.counts);
            row.push(run.end.clone());
            row
        }),
    }
}

/// What one NMI costs.
#[must_use]
pub fn nmi_costs(report: &MatrixReport) -> Table {
    let long = report
        .cells
        .iter()
        .any(|c| c.sweep.boundaries > MOST as u64);
    let first = if long {
        format!(" (the first {} of them)", grouped(MOST as u64))
    } else {
        String::new()
    };
    Table {
        title: format!("Instructions of one NMI, over the window's boundaries{first}"),
        heads: heads(["least", "most", "CR3 writes of that"]),
        text: 2,
        text_after: usize::MAX,
        groups: groups(report, |c| {
            let shown = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), grouped);
            let cost = c.nmi_cost;
            vec![
                shown(cost.map(|k| k.least)),
                shown(cost.map(|k| k.most)),
                shown(cost.map(|k| k.cr3_writes)),
            ]
        }),
    }
}

/// A metric as an axis grows.
#[must_use]
pub fn costs(report: &MatrixReport, axis: Axis, metric: &Metric) -> Option<Table> {
    let series = report.series.iter().find(|s| s.axis == axis)?;
    if series.sizes.is_empty() {
        return None;
    }
    let mut heads = vec![axis.name().to_owned()];
    heads.extend(series.sizes.iter().map(|&n| grouped(n)));
    let rows = report.pages.iter().map(|s| {
        let mut row = vec![s.word.clone()];
        row.extend(series.sizes.iter().map(|&n| {
            let run = report.costs_of(axis, &s.word).find(|c| c.n == n);
            match run.map(|r| &r.cost) {
                None => String::new(),
                Some(None) => "-".to_owned(),
                Some(Some(cost)) => grouped((metric.of)(cost)),
            }
        }));
        row
    });
    let name = capital(metric.name);
    Some(Table {
        title: format!("{name}, as {} grow{}", axis.name(), with(&series.define)),
        heads,
        text: 1,
        text_after: usize::MAX,
        groups: vec![rows.collect()],
    })
}

/// With a capital letter at its beginning.
pub(super) fn capital(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

/// ` (PRIVATE=pd)`, or nothing.
pub(super) fn with(define: &[String]) -> String {
    if define.is_empty() {
        String::new()
    } else {
        format!(" ({})", define.join(", "))
    }
}

/// All tables of numbers behind the first one.
#[must_use]
pub fn rest(report: &MatrixReport) -> Vec<Table> {
    let mut all = Vec::new();
    if !report.cells.is_empty() {
        all.extend([sweeps(report), bursts(report), nmi_costs(report)]);
    }
    for axis in Axis::ALL {
        all.extend(METRICS.iter().filter_map(|m| costs(report, axis, m)));
    }
    all
}
