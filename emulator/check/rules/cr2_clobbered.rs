//! `cr2-clobbered`: a page-fault handler reads another fault's address from CR2.

use std::sync::Arc;

use super::Check;
use crate::arch::{Vector, VirtAddr};
use crate::check::context::{Context, Proof};
use crate::check::{Findings, RuleId};
use crate::trace::{DeliveryId, Event, EventKind};

/// Page faults that are remembered; the oldest is forgotten for one more.
const MAX: usize = 64;

/// Page faults whose handlers have not read CR2.
#[derive(Clone, Eq, Debug, Default)]
pub struct Cr2Clobbered {
    unread: Vec<(DeliveryId, VirtAddr, Proof)>,
    /// The last page fault whose address went to CR2, beside those.
    last: Option<Proof>,
}

/// The last one is only told of.
impl PartialEq for Cr2Clobbered {
    fn eq(&self, other: &Self) -> bool {
        self.unread == other.unread
    }
}

impl Check for Cr2Clobbered {
    fn event(&mut self, event: &Arc<Event>, cx: &Context<'_>, out: &mut Findings) {
        match &event.kind {
            EventKind::Delivered(d) => {
                if let (Vector::PF, Some(address)) = (d.id.vector, d.cr2) {
                    if self.unread.len() >= MAX {
                        self.unread.remove(0);
                    }
                    let now = Proof::of(event);
                    self.last = Some(now.clone());
                    self.unread.push((d.id, address, now));
                }
            }
            EventKind::Cr2Read { value } => {
                // What is nested in it reads for itself.
                let reader = cx.cpu.activations.innermost().map(|a| a.id);
                let Some(i) = self.unread.iter().position(|u| Some(u.0) == reader) else {
                    return;
                };
                let (id, address, delivered) = self.unread.remove(i);
                if *value == address {
                    return;
                }
                let message = format!(
                    "the handler of {id} reads {value} from CR2: the fault was at {address}"
                );
                let now = Proof::of(event);
                let other = self.last.iter().filter(|p| p.0.at > delivered.0.at);
                let events: Vec<&Proof> = [&delivered]
                    .into_iter()
                    .chain(other)
                    .chain([&now])
                    .collect();
                out.report(RuleId::Cr2Clobbered, message, &events);
            }
            EventKind::Iret(_) | EventKind::Resumed { .. } => {
                self.unread.retain(|u| cx.is_open(u.0));
            }
            _ => {}
        }
    }
}
