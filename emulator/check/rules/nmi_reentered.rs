//! `nmi-reentered`: an NMI is delivered while another has not been resumed.

use std::sync::Arc;

use super::Check;
use crate::arch::EventType;
use crate::check::context::{Context, Proof};
use crate::check::{Findings, RuleId};
use crate::trace::{Event, EventKind};

/// Has no state of its own: the CPU knows its activations.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NmiReentered;

impl Check for NmiReentered {
    fn event(&mut self, event: &Arc<Event>, cx: &Context<'_>, out: &mut Findings) {
        let EventKind::Delivered(d) = &event.kind else {
            return;
        };
        if d.kind != EventType::Nmi {
            return;
        }
        let outer = cx
            .cpu
            .activations
            .open()
            .rev()
            .find(|a| a.kind == EventType::Nmi && a.id.serial < d.id.serial);
        let Some(outer) = outer else { return };
        let message = format!("{} is delivered while {} is unresumed", d.id, outer.id);
        let now = Proof::of(event);
        match cx.frames.get(outer.id) {
            Some(frame) => out.report(RuleId::NmiReentered, message, &[&frame.proof, &now]),
            None => out.report(RuleId::NmiReentered, message, &[&now]),
        }
    }
}
