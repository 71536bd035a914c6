//! `nmi-unblocked-early`: an IRET that does not return from the NMI unblocks NMIs.

use std::sync::Arc;

use super::Check;
use crate::check::context::{Context, Proof};
use crate::check::{Findings, RuleId};
use crate::trace::{Event, EventKind, UnblockedBy};

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
        let message = match (in_handler, blocked_by) {
            (Some(handler), Some(nmi)) if handler != nmi => {
                format!("{how} in the handler of {handler} unblocks NMIs inside {nmi}")
            }
            _ => {
                let nmi = blocked_by.map_or_else(|| "the NMI".to_owned(), |id| id.to_string());
                format!("{how} unblocks NMIs, but does not return from {nmi}")
            }
        };
        let now = Proof::of(event);
        let blocker = blocked_by.and_then(|id| cx.frames.get(id));
        match blocker {
            Some(frame) => out.report(RuleId::NmiUnblockedEarly, message, &[&frame.proof, &now]),
            None => out.report(RuleId::NmiUnblockedEarly, message, &[&now]),
        }
    }
}
