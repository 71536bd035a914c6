//! What a matrix is asked to do.

use super::strategy::{NMI, PAGES, Strategy};
use crate::load::{Define, DefineError};

/// What grows in a series of cost runs.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Axis {
    /// Tasks that are there when a mapping is made.
    Tasks,
    /// Mappings.
    Mappings,
    /// Tasks that are forked after that.
    Forks,
}

impl Axis {
    /// All.
    pub const ALL: [Self; 3] = [Self::Tasks, Self::Mappings, Self::Forks];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tasks => "tasks",
            Self::Mappings => "mappings",
            Self::Forks => "forks",
        }
    }

    /// What the program is told it by.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Tasks => "TASKS",
            Self::Mappings => "MAPPINGS",
            Self::Forks => "FORKS",
        }
    }
}

/// A series of cost runs: one thing grows, the others stay as the program has them by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CostSeries {
    /// What grows.
    pub axis: Axis,
    /// How much of it there is.
    pub sizes: Vec<u64>,
    /// What is defined besides.
    pub define: Vec<Define>,
}

impl CostSeries {
    /// The definitions of one of its runs.
    pub(super) fn definitions(&self, n: u64) -> Result<Vec<Define>, DefineError> {
        let mut all = self.define.clone();
        all.push(Define::number(self.axis.symbol(), n)?);
        Ok(all)
    }
}

/// Everything that a matrix depends on, beside the program.
#[derive(Clone, Debug)]
pub struct MatrixPlan {
    /// The rows: what page tables do.
    pub pages: Vec<&'static Strategy>,
    /// The columns: what NMI handlers do.
    pub nmi: Vec<&'static Strategy>,
    /// Whether the cells are made.
    pub cells: bool,
    /// Levels of the sweeps: 1, an NMI at every boundary of the window; 2, another one at every
    /// boundary of what that one caused.
    pub depth: usize,
    /// How many instructions a handler may take before the question is given up.
    pub patience: u64,
    /// The NMI strategy of all cost runs.
    pub cost_nmi: &'static Strategy,
    /// The cost runs, at most one series an axis.
    pub costs: Vec<CostSeries>,
}

/// 1, 3, 10, ... up to `most`, which is one of them.
fn decades(most: u64) -> Vec<u64> {
    let mut all = Vec::new();
    let mut n = 1u64;
    while n <= most {
        all.push(n);
        if n * 3 <= most {
            all.push(n * 3);
        }
        n *= 10;
    }
    all
}

fn words(all: &[&str]) -> Vec<Define> {
    all.iter().filter_map(|text| text.parse().ok()).collect()
}

impl Default for MatrixPlan {
    fn default() -> Self {
        Self {
            pages: PAGES.iter().collect(),
            nmi: NMI.iter().collect(),
            cells: true,
            depth: 2,
            patience: 500,
            cost_nmi: &NMI[2],
            costs: vec![
                CostSeries {
                    axis: Axis::Tasks,
                    sizes: decades(10_000),
                    define: Vec::new(),
                },
                // With an entry for 2 MiB, new mappings need new entries now and then; with one for
                // 512 GiB the first is the last.
                CostSeries {
                    axis: Axis::Mappings,
                    sizes: decades(10_000),
                    define: words(&["PRIVATE=pd", "TASKS=1000"]),
                },
                CostSeries {
                    axis: Axis::Forks,
                    sizes: decades(10_000),
                    define: Vec::new(),
                },
            ],
        }
    }
}

impl MatrixPlan {
    /// The same questions, answered in a few seconds: one NMI a run, and small sizes.
    #[must_use]
    pub fn quick(mut self) -> Self {
        self.depth = 1;
        for series in &mut self.costs {
            series.sizes.retain(|n| [1, 10, 100].contains(n));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_even_on_a_logarithmic_axis() {
        assert_eq!(decades(100), [1, 3, 10, 30, 100]);
        let plan = MatrixPlan::default();
        assert_eq!(plan.cost_nmi.word, "nestable");
        // The numbers of tasks.
        assert_eq!(plan.costs[0].sizes.first(), Some(&1));
        assert_eq!(plan.costs[0].sizes.last(), Some(&10_000));
        assert_eq!(plan.clone().quick().costs[0].sizes, [1, 10, 100]);
        assert_eq!(plan.costs[1].define.len(), 2);
    }
}
