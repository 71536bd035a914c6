//! `never-resumed`: what was interrupted was not resumed before the end.

use std::sync::Arc;

use super::Check;
use super::frame_lost::FrameLost;
use crate::check::context::Context;
use crate::check::{Finding, Findings, RuleId};
use crate::trace::Event;

/// Has no state of its own: the CPU knows its activations.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NeverResumed;

impl Check for NeverResumed {
    fn event(&mut self, _: &Arc<Event>, _: &Context<'_>, _: &mut Findings) {}
}

impl NeverResumed {
    /// Lists the activations of which `lost` has not spoken.
    pub fn at_end(&mut self, lost: &FrameLost, cx: &Context<'_>, out: &mut Findings) {
        let rule = RuleId::NeverResumed;
        for a in cx.cpu.activations.open().filter(|a| !lost.reported(a.id)) {
            if out.is_full(rule, rule.severity()) {
                continue;
            }
            let delivered = cx.frames.get(a.id).map(|f| f.proof.event());
            out.push(Finding {
                rule,
                severity: rule.severity(),
                at: delivered.as_ref().map_or(cx.at, |e| e.at),
                rip: a.context.rip,
                message: format!("{} has not been resumed at the end", a.id),
                events: delivered.into_iter().collect(),
            });
        }
    }
}
