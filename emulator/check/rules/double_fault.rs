//! `double-fault`: a double fault was delivered.

use std::sync::Arc;

use super::Check;
use crate::arch::{EventType, Vector};
use crate::check::context::{Context, Proof};
use crate::check::{Findings, RuleId};
use crate::trace::{Event, EventKind};

/// The failure that leads to it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DoubleFault {
    failed: Option<Proof>,
}

impl Check for DoubleFault {
    fn event(&mut self, event: &Arc<Event>, _: &Context<'_>, out: &mut Findings) {
        match &event.kind {
            EventKind::DeliveryFailed { then, .. } => {
                self.failed = (*then == Some(Vector::DF)).then(|| Proof::of(event));
            }
            EventKind::Delivered(d) => {
                let failed = self.failed.take();
                // INT 8, and an interrupt with vector 8, are none.
                let interrupt = d.kind == EventType::External || d.kind.is_software();
                if d.id.vector != Vector::DF || interrupt {
                    return;
                }
                let message = format!("a double fault is delivered, {}", d.id);
                let now = Proof::of(event);
                let events: Vec<&Proof> = failed.iter().chain([&now]).collect();
                out.report(RuleId::DoubleFault, message, &events);
            }
            _ => {}
        }
    }
}
