//! `user-stack-in-kernel`: a frame is pushed at CPL 0 on a stack that the user chose.
//!
//! That is a page that CPL 3 may reach, or the very RSP with which SYSCALL came, within [`GAP`]
//! instructions. It is silent before CPL 3 has first been entered: a kernel that
//! never does may have any rights on its pages.

use std::sync::Arc;

use super::Check;
use crate::check::context::{Context, Proof};
use crate::check::{Findings, RuleId};
use crate::trace::{Delivery, Event, EventKind};

/// Instructions after SYSCALL within which an equal RSP is the user's.
pub const GAP: u64 = 64;

/// The time between SYSCALL and the kernel's first change of RSP.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Gap {
    rsp: u64,
    /// Deliveries so far.
    serial: u64,
    /// Instructions that have retired at its end.
    end: Proof,
}

/// Whether there is a user, and where its stack is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UserStackInKernel {
    seen_user: bool,
    gap: Option<Gap>,
}

impl UserStackInKernel {
    /// The machine is at a boundary.
    pub fn boundary(&mut self, cx: &Context<'_>) {
        let regs = &cx.cpu.regs;
        self.seen_user |= regs.cpl == 3;
        let Some(gap) = &self.gap else { return };
        let nested = cx
            .cpu
            .activations
            .innermost()
            .is_some_and(|a| a.id.serial > gap.serial);
        if regs.cpl == 3 || !nested && regs.rsp() != gap.rsp {
            self.gap = None;
        }
    }

    fn is_in_gap(&self, event: &Event, d: &Delivery, cx: &Context<'_>) -> bool {
        self.gap.as_ref().is_some_and(|gap| {
            let directly = cx
                .cpu
                .activations
                .open()
                .rev()
                .nth(1)
                .is_none_or(|a| a.id.serial <= gap.serial);
            let since = event.at.icount.saturating_sub(gap.end.0.at.icount);
            directly && d.pushed.rsp.0 == gap.rsp && since <= GAP
        })
    }
}

impl Check for UserStackInKernel {
    fn event(&mut self, event: &Arc<Event>, cx: &Context<'_>, out: &mut Findings) {
        match &event.kind {
            EventKind::Syscall { .. } => {
                self.gap = Some(Gap {
                    rsp: cx.cpu.regs.rsp(),
                    serial: cx.cpu.activations.last_serial(),
                    end: Proof::of(event),
                });
            }
            EventKind::Delivered(d) if event.cpl == 0 && d.ist == 0 && self.seen_user => {
                let user = cx.memory.is_user_page(d.frame) == Some(true);
                let in_gap = self.is_in_gap(event, d, cx);
                if !user && !in_gap {
                    return;
                }
                let why = if user {
                    "a page of the user's"
                } else {
                    "the stack that SYSCALL came with"
                };
                let message = format!("{} at CPL 0 pushes its frame on {why}, {}", d.id, d.frame);
                let now = Proof::of(event);
                match &self.gap {
                    Some(gap) if in_gap => {
                        let entry = gap.end.clone();
                        out.report(RuleId::UserStackInKernel, message, &[&entry, &now]);
                    }
                    _ => out.report(RuleId::UserStackInKernel, message, &[&now]),
                }
            }
            _ => {}
        }
    }
}
