//! How often the cases reached each step.

use std::cell::RefCell;
use std::collections::BTreeMap;

/// Counts by step.
#[derive(Default)]
pub struct Coverage(RefCell<BTreeMap<String, u64>>);

impl Coverage {
    pub fn count(&self, step: impl Into<String>) {
        *self.0.borrow_mut().entry(step.into()).or_default() += 1;
    }

    pub fn count_if(&self, reached: bool, step: &str) {
        if reached {
            self.count(step);
        }
    }

    /// Prints all counts.
    ///
    /// # Panics
    /// If a step of `wanted` was reached less than once in 2000 cases; few cases tell nothing.
    pub fn check(&self, cases: u32, wanted: &[&str]) {
        let counts = self.0.borrow();
        println!("{cases} cases");
        for (step, n) in counts.iter() {
            println!("{n:9} {step}");
        }
        if cases < 1000 {
            return;
        }
        let least = u64::from(cases / 2000).max(1);
        let rare: Vec<_> = wanted
            .iter()
            .filter(|&&step| counts.get(step).is_none_or(|&n| n < least))
            .collect();
        assert!(rare.is_empty(), "reached too seldom: {rare:#?}");
    }
}
