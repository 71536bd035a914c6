//! `user-stack-in-kernel`: a frame is pushed at CPL 0 on a stack that the user chose.
//!
//! That is a page that CPL 3 may reach; or the very RSP with which SYSCALL came, until the kernel
//! loads another, for [`GAP`] instructions at most, in which the machine runs step by step; or whatever RSP is
//! when SYSRET is next, which does not load it. It is silent before CPL 3 has first been entered: a
//! kernel that never does may have any rights on its pages.

use std::sync::Arc;

use super::Check;
use crate::arch::VirtAddr;
use crate::check::context::{Context, Look, Proof};
use crate::check::{Findings, RuleId};
use crate::system::Cpu;
use crate::trace::{Boundary, Delivery, Event, EventKind};

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

impl Gap {
    /// Whether a handler runs that came within it.
    fn is_interrupted(&self, cpu: &Cpu) -> bool {
        let innermost = cpu.activations.innermost();
        innermost.is_some_and(|a| a.id.serial > self.serial)
    }

    /// Whether it is too long ago.
    fn is_over(&self, now: Boundary) -> bool {
        now.icount.saturating_sub(self.end.0.at.icount) > GAP
    }
}

/// Whether the instruction at `rip` is SYSRET.
fn is_sysret(rip: VirtAddr, memory: &dyn Look) -> bool {
    let mut bytes = [0; 3];
    memory.peek(rip, &mut bytes[..2]) && bytes[..2] == [0x0f, 0x07]
        || memory.peek(rip, &mut bytes)
            && (0x40..0x50).contains(&bytes[0])
            && bytes[1..] == [0x0f, 0x07]
}

impl UserStackInKernel {
    /// Whether the kernel's next change of RSP must be seen.
    pub fn is_armed(&self, cpu: &Cpu) -> bool {
        self.gap.as_ref().is_some_and(|g| !g.is_interrupted(cpu))
    }

    /// The machine is at a boundary, or before an instruction that is looked at.
    pub fn boundary(&mut self, cx: &Context<'_>) {
        let regs = &cx.cpu.regs;
        self.seen_user |= regs.cpl == 3;
        let Some(gap) = &self.gap else { return };
        let moved = !gap.is_interrupted(cx.cpu) && regs.rsp() != gap.rsp;
        if regs.cpl == 3 || moved || gap.is_over(cx.at) {
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
            directly && d.pushed.rsp.0 == gap.rsp && !gap.is_over(event.at)
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
                let why = if user {
                    "a page of the user's"
                } else if in_gap {
                    "the stack that SYSCALL came with"
                } else if is_sysret(d.pushed.rip, cx.memory) {
                    "the stack that SYSRET gives back"
                } else {
                    return;
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
