//! `nmi-unserved`: an NMI was delivered, but its work was never done.

use std::sync::Arc;

use super::Check;
use crate::arch::EventType;
use crate::check::context::{Context, Proof};
use crate::check::{Findings, RuleId};
use crate::machine::StopReason;
use crate::system::Cpu;
use crate::trace::{DeliveryId, Event, EventKind};

/// The first NMI since the body was last entered.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NmiUnserved {
    waits: Option<(DeliveryId, Proof)>,
}

impl NmiUnserved {
    /// The next instruction is at RIP.
    pub fn boundary(&mut self, cx: &Context<'_>) {
        if self.waits.is_some() && is_body(cx.cpu, cx) {
            self.waits = None;
        }
    }
}

fn is_body(cpu: &Cpu, cx: &Context<'_>) -> bool {
    cx.config.nmi_body.is_some_and(|at| at.0 == cpu.regs.rip)
}

impl Check for NmiUnserved {
    fn event(&mut self, event: &Arc<Event>, cx: &Context<'_>, _: &mut Findings) {
        if let EventKind::Delivered(d) = &event.kind
            && d.kind == EventType::Nmi
            && cx.config.nmi_body.is_some()
            && self.waits.is_none()
        {
            self.waits = Some((d.id, Proof::of(event)));
        }
    }

    fn end(&mut self, _: &StopReason, cx: &Context<'_>, out: &mut Findings) {
        if let Some((id, delivered)) = &self.waits
            // It may still come to it.
            && !cx.cpu.activations.open().any(|a| a.kind == EventType::Nmi)
        {
            let message = format!("{id} has been resumed, and nothing was done for it since");
            out.report(RuleId::NmiUnserved, message, &[delivered]);
        }
    }
}
