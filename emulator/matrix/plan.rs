//! What a matrix is asked to do.

use super::strategy::{NMI, PAGES, Strategy};
use super::subject::Size;

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

    /// The size that has so many of it, and as many of the others as the program has by itself.
    #[must_use]
    pub fn size(self, n: u64) -> Size {
        let mut size = Size::default();
        match self {
            Self::Tasks => size.tasks = Some(n),
            Self::Mappings => size.mappings = Some(n),
            Self::Forks => size.forks = Some(n),
        }
        size
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
    /// The sizes of the cost runs; an axis may be empty.
    pub costs: Vec<(Axis, Vec<u64>)>,
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

impl Default for MatrixPlan {
    fn default() -> Self {
        Self {
            pages: PAGES.iter().collect(),
            nmi: NMI.iter().collect(),
            cells: true,
            depth: 2,
            patience: 1_000,
            cost_nmi: &NMI[2],
            costs: vec![
                (Axis::Tasks, decades(10_000)),
                (Axis::Mappings, decades(1_000)),
                (Axis::Forks, decades(1_000)),
            ],
        }
    }
}

impl MatrixPlan {
    /// The same questions, answered in a few seconds: one NMI a run, and small sizes.
    #[must_use]
    pub fn quick(mut self) -> Self {
        self.depth = 1;
        for (_, sizes) in &mut self.costs {
            sizes.retain(|n| [1, 10, 100].contains(n));
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
        assert_eq!(plan.costs[0].1.first(), Some(&1));
        assert_eq!(plan.costs[0].1.last(), Some(&10_000));
        assert_eq!(plan.quick().costs[0].1, [1, 10, 100]);
    }
}
