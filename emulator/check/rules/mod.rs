//! One rule a file.

pub(super) mod cr2_clobbered;
pub(super) mod delivery_failed;
pub(super) mod double_fault;
pub(super) mod frame_lost;
pub(super) mod frame_overwritten;
pub(super) mod frame_returned_twice;
pub(super) mod never_resumed;
pub(super) mod nmi_merged;
pub(super) mod nmi_reentered;
pub(super) mod nmi_stuck;
pub(super) mod nmi_unblocked_early;
pub(super) mod nmi_unserved;
pub(super) mod red_zone_clobbered;
pub(super) mod shutdown;
pub(super) mod state_leak;
pub(super) mod unreachable_stimulus;
pub(super) mod user_stack_in_kernel;
pub(super) mod wrong_gs;

use std::sync::Arc;

use super::context::{Context, Proof};
use super::{Finding, Findings, RuleId, Severity};
use crate::machine::StopReason;
use crate::trace::Event;

/// A rule and its state.
pub(super) trait Check {
    /// An event has happened; the machine rests at the boundary after it.
    fn event(&mut self, event: &Arc<Event>, cx: &Context<'_>, out: &mut Findings);

    /// Nothing more will happen.
    fn end(&mut self, _stop: &StopReason, _cx: &Context<'_>, _out: &mut Findings) {}
}

impl Findings {
    /// Reports what `events` prove; the last one is where and when.
    pub(super) fn report(&mut self, rule: RuleId, message: String, events: &[&Proof]) {
        self.report_as(rule, rule.severity(), message, events);
    }

    /// The same, with a severity of its own.
    pub(super) fn report_as(
        &mut self,
        rule: RuleId,
        severity: Severity,
        message: String,
        events: &[&Proof],
    ) {
        let Some(last) = events.last() else { return };
        self.push(Finding {
            rule,
            severity,
            at: last.0.at,
            rip: last.0.rip,
            message,
            events: events.iter().map(|e| e.event()).collect(),
        });
    }

    /// Reports what one event shows.
    pub(super) fn report_event(&mut self, rule: RuleId, event: &Arc<Event>, message: String) {
        self.report(rule, message, &[&Proof::of(event)]);
    }
}
