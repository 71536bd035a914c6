//! `unreachable-stimulus`: something was injected where the processor cannot take it.

use std::sync::Arc;

use super::Check;
use crate::arch::bits::rflags;
use crate::check::context::{Context, Proof};
use crate::check::{Findings, RuleId};
use crate::system::InterruptShadow;
use crate::trace::{Event, EventKind, HeldBy, Source};

/// The NMI that the schedule has raised at this boundary.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UnreachableStimulus {
    raised: Option<Proof>,
}

const fn is_injected(source: Source) -> bool {
    matches!(source, Source::Schedule | Source::Host)
}

impl Check for UnreachableStimulus {
    fn event(&mut self, event: &Arc<Event>, cx: &Context<'_>, out: &mut Findings) {
        match &event.kind {
            EventKind::NmiRaised { source } => {
                self.raised = is_injected(*source).then(|| Proof::of(event));
            }
            EventKind::NmiLatched { held_by } => {
                let Some(raised) = self.raised.take() else {
                    return;
                };
                let why = match held_by {
                    HeldBy::Blocked => "NMIs are blocked",
                    HeldBy::MovSsShadow => "it lies in the shadow of MOV SS",
                    HeldBy::StiShadow => "it lies in the shadow of STI",
                    HeldBy::Priority => return,
                };
                if raised.0.at == event.at {
                    let message = format!("no NMI can be taken at this boundary: {why}");
                    let now = Proof::of(event);
                    out.report(RuleId::UnreachableStimulus, message, &[&raised, &now]);
                }
            }
            EventKind::Delivered(_) => self.raised = None,
            EventKind::IrqRaised { source, .. } if is_injected(*source) => {
                let why = if cx.cpu.regs.rflags & rflags::IF == 0 {
                    "IF is 0"
                } else {
                    match cx.cpu.shadow {
                        InterruptShadow::MovSs => "it lies in the shadow of MOV SS",
                        InterruptShadow::Sti => "it lies in the shadow of STI",
                        InterruptShadow::None => return,
                    }
                };
                let message = format!("no interrupt can be taken at this boundary: {why}");
                out.report_event(RuleId::UnreachableStimulus, event, message);
            }
            _ => {}
        }
    }
}
