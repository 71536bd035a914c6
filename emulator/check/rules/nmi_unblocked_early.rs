//! `nmi-unblocked-early`: an IRET that does not return from the NMI unblocks NMIs.

use std::sync::Arc;

use super::Check;
use crate::check::context::{Context, Proof};
use crate::check::{Findings, RuleId};
use crate::trace::{DeliveryId, Event, EventKind, UnblockedBy};

/// Has no state: the microcode compares the popped context with the blocking NMI's, by value.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NmiUnblockedEarly;

impl Check for NmiUnblockedEarly {
    fn event(&mut self, event: &Arc<Event>, cx: &Context<'_>, out: &mut Findings) {
        let EventKind::NmiUnblocked {
            by,
            in_handler,
            blocked_by,
        } = &event.kind
        else {
            return;
        };
        let how = match by {
            UnblockedBy::NmiReturn => return,
            UnblockedBy::OtherIret => "an IRET",
            UnblockedBy::FaultingIret => "an IRET that faulted",
        };
        let name = |id: &Option<DeliveryId>, other: &str| {
            id.map_or_else(|| other.to_owned(), |id| id.to_string())
        };
        let message = match (in_handler, blocked_by) {
            (Some(handler), Some(nmi)) if handler != nmi => {
                format!("{how} of the {handler} handler unblocks NMIs inside {nmi}")
            }
            _ => format!(
                "{how} that does not return from {} unblocks NMIs",
                name(blocked_by, "the NMI"),
            ),
        };
        let now = Proof::of(event);
        let blocker = blocked_by.and_then(|id| cx.frames.get(id));
        match blocker {
            Some(frame) => out.report(RuleId::NmiUnblockedEarly, message, &[&frame.proof, &now]),
            None => out.report(RuleId::NmiUnblockedEarly, message, &[&now]),
        }
    }
}
