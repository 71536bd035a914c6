//! One cell: a page-table strategy with an NMI strategy, swept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::census::Census;
use super::counts::Counts;
use super::nmi_cost::NmiCost;
use crate::sweep::Verdict;

/// Where the window that is swept begins.
pub const WINDOW: &str = "window";

/// Where it ends.
pub const WINDOW_END: &str = "window_end";

/// How one run ended, and what happened in it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Run {
    /// The short name of the end: `guest-success`.
    pub end: String,
    /// The end in words.
    pub text: String,
    /// Whether the guest reported success.
    pub success: bool,
    /// The last line on the guest's console.
    pub said: String,
    /// Instructions.
    pub insns: u64,
    /// What happened.
    pub counts: Counts,
}

/// What the sweep of a cell came to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SweepSum {
    /// Boundaries of the window.
    pub boundaries: u64,
    /// Cases: injections at a boundary, at all levels.
    pub cases: u64,
    /// Cases that had to be run.
    pub runs: u64,
    /// Instructions that these retired.
    pub insns: u64,
    /// Cases by verdict.
    pub verdicts: BTreeMap<String, u64>,
    /// Runs that show what.
    pub census: Census,
}

/// The case that represents a cell: of the worst verdict, the one with the fewest injections, and the
/// earliest of these.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Worst {
    /// The verdict.
    pub verdict: Verdict,
    /// In words.
    pub what: String,
    /// The schedule, as options.
    pub schedule: Vec<String>,
    /// The command that runs it, from reset to the end.
    pub command: Vec<String>,
    /// That run.
    pub run: Run,
}

/// A run with many NMIs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Burst {
    /// The command.
    pub command: Vec<String>,
    /// What came of it.
    pub run: Run,
}

/// One cell.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cell {
    /// The page-table strategy.
    pub pages: String,
    /// The NMI strategy.
    pub nmi: String,
    /// The command of the undisturbed run.
    pub command: Vec<String>,
    /// The undisturbed run.
    pub undisturbed: Run,
    /// What an NMI at every boundary came to.
    pub sweep: SweepSum,
    /// The worst case; none if nothing could be injected.
    pub worst: Option<Worst>,
    /// [`BURST`] NMIs, one every [`PERIOD`] instructions from the window on.
    pub burst: Burst,
    /// What one NMI costs, if one is resumed.
    pub nmi_cost: Option<NmiCost>,
}

/// NMIs of [`Cell::burst`].
pub const BURST: u64 = 32;

/// Instructions between them.
pub const PERIOD: u64 = 32;

impl Cell {
    /// Whether the program alone fails, or some NMI makes it fail.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        !self.undisturbed.success || self.worst.as_ref().is_some_and(|w| w.verdict.is_bad())
    }

    /// Whether something was not decided.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        let names = Verdict::ALL.into_iter().filter(|v| v.is_undecided());
        let verdicts = &self.sweep.verdicts;
        names.into_iter().any(|v| verdicts.contains_key(v.name()))
    }

    /// The run whose counts stand for the cell: of the worst case, or undisturbed if the program
    /// fails by itself or nothing was injected.
    #[must_use]
    pub fn representative(&self) -> &Run {
        match &self.worst {
            Some(worst) if self.undisturbed.success => &worst.run,
            _ => &self.undisturbed,
        }
    }

    /// The verdict in a few words: `fine`, `frame-lost`, `hung`, `fails alone`.
    #[must_use]
    pub fn short_verdict(&self) -> String {
        match &self.worst {
            _ if !self.undisturbed.success => "fails alone".to_owned(),
            Some(w) if w.verdict == Verdict::Finding => w.what.clone(),
            Some(w) if w.verdict.is_bad() || w.verdict.is_undecided() => w.verdict.to_string(),
            _ => "fine".to_owned(),
        }
    }

    /// The verdict in words: `fine`, `finding: frame-lost`, `fails alone: triple-fault`.
    #[must_use]
    pub fn verdict(&self) -> String {
        if !self.undisturbed.success {
            let run = &self.undisturbed;
            let why = if run.said.is_empty() {
                &run.end
            } else {
                &run.said
            };
            return format!("fails alone: {why}");
        }
        match &self.worst {
            Some(w) if w.verdict.is_bad() || w.verdict.is_undecided() => {
                if w.what.is_empty() {
                    w.verdict.to_string()
                } else {
                    format!("{}: {}", w.verdict, w.what)
                }
            }
            _ => "fine".to_owned(),
        }
    }
}
