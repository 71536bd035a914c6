//! `frame-overwritten`: a delivery writes over the frame of one that has not been resumed.

use std::sync::Arc;

use super::Check;
use crate::check::context::{Context, Proof};
use crate::check::{Findings, RuleId};
use crate::trace::{Event, EventKind};

/// Has no state of its own: the CPU knows the frames of its activations.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FrameOverwritten;

impl Check for FrameOverwritten {
    fn event(&mut self, event: &Arc<Event>, cx: &Context<'_>, out: &mut Findings) {
        let EventKind::FrameOverwritten { frame, by } = &event.kind else {
            return;
        };
        let message = format!("the delivery of {by} writes over {frame}'s frame");
        let now = Proof::of(event);
        let proofs = [*frame, *by].map(|id| cx.frames.get(id).map(|f| f.proof.clone()));
        let mut events: Vec<&Proof> = proofs.iter().flatten().collect();
        events.push(&now);
        out.report(RuleId::FrameOverwritten, message, &events);
    }
}
