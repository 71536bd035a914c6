//! `frame-returned-twice`: an IRET uses a frame whose delivery has already been resumed.

use std::sync::Arc;

use super::Check;
use crate::check::context::{Context, Proof};
use crate::check::{Findings, RuleId};
use crate::trace::{Event, EventKind};

/// Has no state of its own: see [`crate::check::Frames`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FrameReturnedTwice;

impl FrameReturnedTwice {
    /// `lost`: `frame-lost` has spoken of this IRET.
    pub fn event_unless(
        &mut self,
        lost: bool,
        event: &Arc<Event>,
        cx: &Context<'_>,
        out: &mut Findings,
    ) {
        if !lost {
            self.event(event, cx, out);
        }
    }
}

impl Check for FrameReturnedTwice {
    fn event(&mut self, event: &Arc<Event>, cx: &Context<'_>, out: &mut Findings) {
        let EventKind::Iret(r) = &event.kind else {
            return;
        };
        let Some(writer) = r.of.filter(|_| r.resumes != r.of) else {
            return;
        };
        if let Some(frame) = cx.frames.get(writer).filter(|f| f.is_stale()) {
            let message = format!("an IRET pops {writer}'s frame, but {writer} has been resumed");
            let now = Proof::of(event);
            out.report(RuleId::FrameReturnedTwice, message, &[&frame.proof, &now]);
        }
    }
}
