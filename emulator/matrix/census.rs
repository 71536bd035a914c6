//! How many of a sweep's runs show what.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::check::RuleId;
use crate::machine::Machine;
use crate::sweep::Oracle;

/// Runs of a sweep in which this happened at least once, from the window's beginning to their
/// verdict; what the undisturbed run shows before the injection counts too.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Census {
    /// An IRET unblocked NMIs early (`nmi-unblocked-early`).
    pub early_unblocks: u64,
    /// An NMI interrupted another (`nmi-reentered`).
    pub reentries: u64,
    /// An NMI was not served (`nmi-unserved`), or was pending for ever.
    pub nmis_lost: u64,
    /// A frame was lost (`frame-lost`).
    pub frames_lost: u64,
}

/// What is counted, by the rule that finds it, in the order of [`Census`].
const RULES: [RuleId; 4] = [
    RuleId::NmiUnblockedEarly,
    RuleId::NmiReentered,
    RuleId::NmiUnserved,
    RuleId::FrameLost,
];

/// Counts on all threads: sums do not depend on the order.
#[derive(Clone, Debug, Default)]
pub(super) struct Counter(Arc<[AtomicU64; RULES.len()]>);

impl Counter {
    /// Looks at each run where it was decided, and changes no verdict.
    pub(super) fn oracle(&self) -> Oracle {
        let sums = Arc::clone(&self.0);
        Oracle::new(move |machine, _| {
            for (sum, rule) in sums.iter().zip(RULES) {
                if shows(machine, rule) {
                    sum.fetch_add(1, Ordering::Relaxed);
                }
            }
            None
        })
    }

    /// The sums.
    pub(super) fn census(&self) -> Census {
        let [early_unblocks, reentries, nmis_lost, frames_lost] =
            std::array::from_fn(|n| self.0[n].load(Ordering::Relaxed));
        Census {
            early_unblocks,
            reentries,
            nmis_lost,
            frames_lost,
        }
    }
}

fn shows(machine: &Machine, rule: RuleId) -> bool {
    let waits = rule == RuleId::NmiUnserved && machine.cpu().nmi.pending;
    waits
        || machine
            .checks()
            .is_some_and(|c| c.of(rule).next().is_some())
}
