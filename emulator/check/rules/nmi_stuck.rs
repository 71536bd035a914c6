//! `nmi-stuck`: NMIs are still blocked although every NMI has been resumed.

use std::sync::Arc;

use super::Check;
use crate::arch::{EventType, Vector};
use crate::check::context::{Context, Proof};
use crate::check::{Findings, RuleId};
use crate::trace::{DeliveryId, Event, EventKind};

/// Who blocks NMIs, and whether it has been said.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NmiStuck {
    /// NMIs are blocked.
    blocked: bool,
    /// What was delivered instead of the NMI that blocks them.
    stand_in: Option<DeliveryId>,
    /// An NMI's delivery has failed, and what follows is not delivered yet.
    failed: bool,
    nmi: Option<Proof>,
    told: bool,
}

impl Check for NmiStuck {
    fn event(&mut self, event: &Arc<Event>, cx: &Context<'_>, out: &mut Findings) {
        match &event.kind {
            EventKind::NmiBlocked => {
                *self = Self {
                    blocked: true,
                    ..Self::default()
                };
            }
            EventKind::DeliveryFailed { vector, .. } if *vector == Vector::NMI && self.blocked => {
                self.failed = true;
            }
            EventKind::Delivered(d) if d.kind == EventType::Nmi => {
                self.nmi = Some(Proof::of(event));
            }
            EventKind::Delivered(d) if self.failed => {
                self.failed = false;
                self.stand_in = Some(d.id);
                self.nmi = Some(Proof::of(event));
            }
            EventKind::NmiUnblocked { .. } => *self = Self::default(),
            EventKind::Resumed { .. } | EventKind::Sysret { .. } | EventKind::Iret(_) => {
                self.look(event, cx, out);
            }
            _ => {}
        }
    }
}

impl NmiStuck {
    /// Control has left some handler.
    fn look(&mut self, event: &Arc<Event>, cx: &Context<'_>, out: &mut Findings) {
        let activations = &cx.cpu.activations;
        let inside = activations.open().any(|a| a.kind == EventType::Nmi)
            || self.stand_in.is_some_and(|id| cx.is_open(id))
            // One that is forgotten may be an NMI.
            || activations.forgotten() != 0;
        if !cx.cpu.nmi.blocked || !self.blocked || inside || std::mem::replace(&mut self.told, true)
        {
            return;
        }
        let message = "the NMI has been resumed without IRET: NMIs stay blocked".to_owned();
        let now = Proof::of(event);
        match &self.nmi {
            Some(nmi) => out.report(RuleId::NmiStuck, message, &[nmi, &now]),
            None => out.report(RuleId::NmiStuck, message, &[&now]),
        }
    }
}
