//! The result of a matrix, as it is shown and written.

use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::cost::CostRun;
use super::plan::{Axis, MatrixPlan};
use super::strategy::Strategy;

/// Version of the JSON form.
pub const MATRIX_VERSION: u32 = 1;

/// A strategy, as a report names it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StrategyReport {
    /// Its word.
    pub word: String,
    /// What it is.
    pub about: String,
}

impl From<&Strategy> for StrategyReport {
    fn from(s: &Strategy) -> Self {
        Self {
            word: s.word.to_owned(),
            about: s.about.to_owned(),
        }
    }
}

/// The sizes of one series of cost runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Series {
    /// What grows.
    pub axis: Axis,
    /// How much of it there is.
    pub sizes: Vec<u64>,
    /// What is defined besides: `PRIVATE=pd`.
    pub define: Vec<String>,
}

/// Everything that a matrix has shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MatrixReport {
    /// [`MATRIX_VERSION`].
    pub version: u32,
    /// The program.
    pub program: String,
    /// Whether all cells and cost runs were made.
    pub complete: bool,
    /// Levels of the sweeps.
    pub depth: u64,
    /// How many instructions a handler may take.
    pub patience: u64,
    /// The page-table strategies.
    pub pages: Vec<StrategyReport>,
    /// The NMI strategies.
    pub nmi: Vec<StrategyReport>,
    /// Cells that were wanted.
    pub wanted_cells: u64,
    /// Cells, by page-table strategy and then by NMI strategy.
    pub cells: Vec<Cell>,
    /// The NMI strategy of the cost runs.
    pub cost_nmi: String,
    /// The sizes of the cost runs.
    pub series: Vec<Series>,
    /// Cost runs that were wanted.
    pub wanted_costs: u64,
    /// The cost runs, by series, page-table strategy and size.
    pub costs: Vec<CostRun>,
}

impl MatrixReport {
    /// An empty one.
    pub(super) fn new(program: &str, plan: &MatrixPlan) -> Self {
        let sizes: u64 = plan.costs.iter().map(|s| s.sizes.len() as u64).sum();
        Self {
            version: MATRIX_VERSION,
            program: program.to_owned(),
            complete: false,
            depth: plan.depth as u64,
            patience: plan.patience,
            pages: plan.pages.iter().map(|&s| s.into()).collect(),
            nmi: plan.nmi.iter().map(|&s| s.into()).collect(),
            wanted_cells: if plan.cells {
                (plan.pages.len() * plan.nmi.len()) as u64
            } else {
                0
            },
            cells: Vec::new(),
            cost_nmi: plan.cost_nmi.word.to_owned(),
            series: plan
                .costs
                .iter()
                .map(|s| Series {
                    axis: s.axis,
                    sizes: s.sizes.clone(),
                    define: s.define.iter().map(ToString::to_string).collect(),
                })
                .collect(),
            wanted_costs: sizes * plan.pages.len() as u64,
            costs: Vec::new(),
        }
    }

    /// Whether some cell is bad.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        self.cells.iter().any(Cell::is_bad)
    }

    /// Whether something was not decided.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        self.cells.iter().any(Cell::is_undecided)
    }

    /// The cell of two strategies, if it was made.
    #[must_use]
    pub fn cell(&self, pages: &str, nmi: &str) -> Option<&Cell> {
        self.cells.iter().find(|c| c.pages == pages && c.nmi == nmi)
    }

    /// Cases of all sweeps.
    #[must_use]
    pub fn cases(&self) -> u64 {
        let all = self.cells.iter().map(|c| c.sweep.cases);
        all.fold(0, u64::saturating_add)
    }

    /// The cost runs of a page-table strategy in a series, by size.
    pub fn costs_of<'a>(
        &'a self,
        axis: Axis,
        pages: &'a str,
    ) -> impl Iterator<Item = &'a CostRun> + 'a {
        let all = self.costs.iter();
        all.filter(move |c| c.axis == axis && c.pages == pages)
    }

    /// What is missing, in words; `None`: nothing.
    #[must_use]
    pub fn partial(&self) -> Option<String> {
        (!self.complete).then(|| {
            format!(
                "not complete: {} of {} cells and {} of {} cost runs were made",
                self.cells.len(),
                self.wanted_cells,
                self.costs.len(),
                self.wanted_costs,
            )
        })
    }
}
