//! `frame-lost`: a delivery cannot be resumed any more, as its frame was overwritten.

use std::sync::Arc;

use super::Check;
use crate::arch::VirtAddr;
use crate::check::context::{Context, Proof};
use crate::check::{Findings, RuleId};
use crate::machine::StopReason;
use crate::trace::{DeliveryId, Event, EventKind, FrameValues};

/// Overwritten frames that are remembered.
const MAX: usize = 64;

/// A frame that was overwritten while its delivery was unresumed.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Overwritten {
    frame: DeliveryId,
    by: DeliveryId,
    overwriting: Proof,
    lost: bool,
}

/// The frames that were overwritten.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FrameLost {
    overwritten: Vec<Overwritten>,
}

impl FrameLost {
    /// Whether `id` has been reported: then it need not be said again that it is unresumed.
    pub fn reported(&self, id: DeliveryId) -> bool {
        self.overwritten.iter().any(|o| o.frame == id && o.lost)
    }

    fn report(&mut self, i: usize, cx: &Context<'_>, at: Option<&Arc<Event>>, out: &mut Findings) {
        let o = &mut self.overwritten[i];
        o.lost = true;
        let (frame, by) = (o.frame, o.by);
        let message = match at {
            Some(_) => format!(
                "{frame} cannot be resumed: its IRET pops the frame of {by}, which has been resumed"
            ),
            None => format!("{frame} can no longer be resumed: {by} wrote over its frame"),
        };
        let proofs = [frame, by].map(|id| cx.frames.get(id).map(|f| f.proof.clone()));
        let now = at.map(Proof::of);
        let mut events: Vec<&Proof> = proofs.iter().flatten().collect();
        events.push(&o.overwriting);
        events.extend(&now);
        out.report(RuleId::FrameLost, message, &events);
    }
}

impl Check for FrameLost {
    fn event(&mut self, event: &Arc<Event>, cx: &Context<'_>, out: &mut Findings) {
        self.overwritten.retain(|o| cx.is_open(o.frame));
        match &event.kind {
            EventKind::FrameOverwritten { frame, by } if self.overwritten.len() < MAX => {
                self.overwritten.push(Overwritten {
                    frame: *frame,
                    by: *by,
                    overwriting: Proof::of(event),
                    lost: false,
                });
            }
            EventKind::Iret(r) => {
                let Some(writer) = r.of.filter(|_| r.resumes != r.of) else {
                    return;
                };
                if !cx.frames.get(writer).is_some_and(|f| f.is_stale()) {
                    return;
                }
                let lost = self
                    .overwritten
                    .iter()
                    .rposition(|o| o.by == writer && !o.lost && cx.is_open(o.frame));
                if let Some(i) = lost {
                    self.report(i, cx, Some(event), out);
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, _: &StopReason, cx: &Context<'_>, out: &mut Findings) {
        for i in 0..self.overwritten.len() {
            let o = &self.overwritten[i];
            // Who resets a stack pointer has given up what lies there; a frame that was written
            // while its handler ran on that very stack was wanted.
            let wanted = cx.frames.get(o.by).is_some_and(|f| f.on_live_stack);
            if o.lost || !wanted || !cx.is_open(o.frame) {
                continue;
            }
            let open = cx.cpu.activations.open().find(|a| a.id == o.frame);
            if open.is_some_and(|a| !has_copy(cx, a.frame, &a.context)) {
                self.report(i, cx, None, out);
            }
        }
    }
}

/// Whether software has put a copy of the frame aside: on its stack, or on the present one.
fn has_copy(cx: &Context<'_>, frame: VirtAddr, wanted: &FrameValues) -> bool {
    const PAGE: u64 = 4096;
    const AROUND: u64 = 4;
    let wanted = [
        wanted.rip.0,
        wanted.cs.0,
        wanted.rflags.0,
        wanted.rsp.0,
        wanted.ss.0,
    ];
    [frame.0, cx.cpu.regs.rsp()].into_iter().any(|stack| {
        let from = (stack & !(PAGE - 1)).wrapping_sub(AROUND * PAGE);
        let mut quads: Vec<u64> = Vec::new();
        for page in 0..=2 * AROUND {
            let mut bytes = [0; PAGE as usize];
            let at = VirtAddr(from.wrapping_add(page * PAGE));
            if !cx.memory.peek(at, &mut bytes) {
                quads.clear();
                continue;
            }
            let kept = quads.len().saturating_sub(4);
            quads.drain(..kept);
            quads.extend(bytes.chunks_exact(8).map(|b| {
                let mut quad = [0; 8];
                quad.copy_from_slice(b);
                u64::from_le_bytes(quad)
            }));
            if quads.windows(5).any(|w| w == wanted) {
                return true;
            }
        }
        false
    })
}
