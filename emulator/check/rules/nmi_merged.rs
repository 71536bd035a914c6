//! `nmi-merged`: an NMI arrives while one is pending, and is lost.

use std::sync::Arc;

use super::Check;
use crate::check::context::{Context, Proof};
use crate::check::{Findings, RuleId};
use crate::trace::{Event, EventKind};

/// The NMI that waits.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NmiMerged {
    raised: Option<Proof>,
}

impl Check for NmiMerged {
    fn event(&mut self, event: &Arc<Event>, _: &Context<'_>, out: &mut Findings) {
        match &event.kind {
            // The first raise after the latch was emptied is the one that waits.
            EventKind::NmiRaised { .. } if self.raised.is_none() => {
                self.raised = Some(Proof::of(event));
            }
            EventKind::NmiBlocked => self.raised = None,
            EventKind::NmiMerged => {
                let message = "an NMI arrives while one is pending: the two are one".to_owned();
                let now = Proof::of(event);
                match &self.raised {
                    Some(first) => out.report(RuleId::NmiMerged, message, &[first, &now]),
                    None => out.report(RuleId::NmiMerged, message, &[&now]),
                }
            }
            _ => {}
        }
    }
}
