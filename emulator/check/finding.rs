//! What a rule found, and the list of it.

use std::sync::Arc;

use serde::Serialize;

use super::{RuleId, Severity};
use crate::arch::VirtAddr;
use crate::trace::{Boundary, Event};

/// What a rule found, once. Symbols are added where it is printed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// The rule.
    pub rule: RuleId,
    /// How bad.
    pub severity: Severity,
    /// When it became certain.
    pub at: Boundary,
    /// The instruction that did it, or before which it came.
    pub rip: VirtAddr,
    /// What happened, in one line without symbols.
    pub message: String,
    /// The events that prove it, in their order.
    pub events: Vec<Event>,
}

/// Findings of one rule and severity that are kept.
pub const MAX_A_RULE: u16 = 50;

/// Findings in their order; bounded, since a hostile guest can make any number.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Findings {
    // Shared by all snapshots that have it.
    list: Vec<Arc<Finding>>,
    counts: [[u16; 3]; RuleId::COUNT],
    dropped: u64,
}

impl Findings {
    /// Adds one.
    pub(super) fn push(&mut self, finding: Finding) {
        let count = &mut self.counts[finding.rule as usize][finding.severity as usize];
        if *count >= MAX_A_RULE {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        *count += 1;
        self.list.push(Arc::new(finding));
    }

    /// Whether one of this rule would be dropped: then it need not be made.
    pub(super) fn is_full(&mut self, rule: RuleId, severity: Severity) -> bool {
        let full = self.counts[rule as usize][severity as usize] >= MAX_A_RULE;
        if full {
            self.dropped = self.dropped.saturating_add(1);
        }
        full
    }

    /// All that are kept.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Finding> + DoubleEndedIterator {
        self.list.iter().map(|f| &**f)
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many were not kept.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }
}
