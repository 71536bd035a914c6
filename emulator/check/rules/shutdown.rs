//! `shutdown`: the processor shut down.

use std::sync::Arc;

use super::Check;
use crate::arch::VirtAddr;
use crate::check::context::{Context, Proof};
use crate::check::{Finding, Findings, RuleId};
use crate::machine::StopReason;
use crate::trace::{Event, EventKind};

/// The last failure of a delivery.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Shutdown {
    failed: Option<Proof>,
    last: Option<Proof>,
}

impl Check for Shutdown {
    fn event(&mut self, event: &Arc<Event>, _: &Context<'_>, _: &mut Findings) {
        match &event.kind {
            EventKind::DeliveryFailed { then: Some(_), .. } => {
                self.failed = Some(Proof::of(event));
            }
            EventKind::DeliveryFailed { then: None, .. } => self.last = Some(Proof::of(event)),
            EventKind::Delivered(_) => self.failed = None,
            _ => {}
        }
    }

    fn end(&mut self, stop: &StopReason, cx: &Context<'_>, out: &mut Findings) {
        if *stop != StopReason::TripleFault {
            return;
        }
        let mut message = match &self.last {
            Some(_) => "triple fault: the processor shuts down".to_owned(),
            None => "a machine check that cannot be taken: the processor shuts down".to_owned(),
        };
        if cx.cpu.nmi.pending {
            message += "; an NMI was pending";
        }
        let events = self.failed.iter().chain(&self.last);
        out.push(Finding {
            rule: RuleId::Shutdown,
            severity: RuleId::Shutdown.severity(),
            at: cx.at,
            rip: VirtAddr(cx.cpu.regs.rip),
            message,
            events: events.map(Proof::event).collect(),
        });
    }
}
