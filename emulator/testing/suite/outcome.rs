//! What became of tests.

use std::time::Duration;

/// What became of a test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Everything holds.
    Passed,
    /// Its golden trace was written.
    Blessed,
    /// Something does not hold.
    Failed {
        /// The cause, in one line.
        headline: String,
        /// Everything.
        text: String,
        /// Only the golden trace differs.
        golden: bool,
    },
    /// The test itself is wrong: a directive, the code, a file.
    Broken(String),
    /// The code needs what is not modelled.
    NotModelled(String),
    /// The run was interrupted before it.
    NotRun,
}

impl Outcome {
    /// Whether all is well.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        matches!(self, Self::Passed | Self::Blessed)
    }
}

/// One test and what became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TestResult {
    /// Its file.
    pub file: String,
    /// The line where it begins.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Instructions of the code under test.
    pub instructions: u64,
    /// How long it took, on the clock.
    pub took: Duration,
}

/// All results: of files that could not be read, then of tests, each in the order of the files.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// One for each test.
    pub results: Vec<TestResult>,
}

impl Report {
    /// How many are of this kind.
    pub fn count(&self, of: impl Fn(&Outcome) -> bool) -> usize {
        self.results.iter().filter(|r| of(&r.outcome)).count()
    }

    /// Whether all is well.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.results.iter().all(|r| r.outcome.is_good())
    }
}
