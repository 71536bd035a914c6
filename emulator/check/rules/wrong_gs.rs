//! `wrong-gs`: the kernel uses the user's GS base, or the user gets the kernel's.
//!
//! Only values are known, so it is silent while both bases are equal, and before the first entry
//! from CPL 3. Between such an entry and SWAPGS the machine runs step by step, and each
//! instruction is looked at before it runs; after [`STEPS`] of them the kernel is taken to be
//! one that does not use GS, until the next entry.

use std::sync::Arc;

use iced_x86::{Instruction, Mnemonic, OpKind, Register};

use crate::arch::{SegReg, VirtAddr};
use crate::check::context::{Context, Proof};
use crate::check::{Finding, Findings, RuleId};
use crate::system::Cpu;
use crate::trace::{Event, EventKind};

/// Instructions looked at after an entry from CPL 3.
pub const STEPS: u32 = 10_000;

/// The bases that user and kernel had.
#[derive(Clone, Eq, Debug, Default)]
pub struct WrongGs {
    last_cpl: u8,
    /// GS.base as it was last at CPL 3.
    user: Option<u64>,
    /// IA32_KERNEL_GS_BASE at the last entry from CPL 3, where it was another.
    kernel: Option<u64>,
    /// Instructions that are still looked at.
    steps: u32,
    entry: Option<Proof>,
}

/// How many instructions are left makes no difference, as long as there are some.
impl PartialEq for WrongGs {
    fn eq(&self, other: &Self) -> bool {
        let rest = |s: &Self| (s.last_cpl, s.user, s.kernel, s.steps != 0);
        rest(self) == rest(other)
    }
}

fn base(cpu: &Cpu) -> u64 {
    cpu.regs.segment(SegReg::Gs).base
}

impl WrongGs {
    /// Whether the next instructions must be looked at one by one.
    pub fn is_armed(&self, cpu: &Cpu) -> bool {
        self.steps != 0
            && cpu.regs.cpl == 0
            && self.user == Some(base(cpu))
            && cpu.regs.msr.kernel_gs_base != base(cpu)
    }

    /// The machine is at a boundary, `events` lead there.
    pub fn boundary(&mut self, events: &[Arc<Event>], cx: &Context<'_>, out: &mut Findings) {
        let cpu = cx.cpu;
        let from = std::mem::replace(&mut self.last_cpl, cpu.regs.cpl);
        match (from, cpu.regs.cpl) {
            (3, 3) => self.user = Some(base(cpu)),
            (_, 3) => {
                self.entered_user(events, cx, out);
                self.user = Some(base(cpu));
                // All else is of this stay in the kernel alone.
                (self.kernel, self.steps, self.entry) = (None, 0, None);
            }
            (3, _) => {
                let kernel = cpu.regs.msr.kernel_gs_base;
                self.kernel = Some(kernel).filter(|k| self.user != Some(*k));
                self.steps = STEPS;
                let is_entry = |e: &&Arc<Event>| {
                    matches!(e.kind, EventKind::Delivered(_) | EventKind::Syscall { .. })
                };
                self.entry = events.iter().rev().find(is_entry).map(Proof::of);
            }
            _ => {}
        }
    }

    fn entered_user(&self, events: &[Arc<Event>], cx: &Context<'_>, out: &mut Findings) {
        let now = base(cx.cpu);
        let swapped = self.kernel == Some(now)
            && self.user.is_some_and(|u| u != now)
            && self.user == Some(cx.cpu.regs.msr.kernel_gs_base);
        let is_exit =
            |e: &&Arc<Event>| matches!(e.kind, EventKind::Iret(_) | EventKind::Sysret { .. });
        let exit = events.iter().rev().find(is_exit).map(Proof::of);
        if let (true, Some(exit)) = (swapped, exit) {
            let message = format!("CPL 3 is entered with the kernel's GS base {now:#x}");
            let events: Vec<&Proof> = self.entry.iter().chain([&exit]).collect();
            out.report(RuleId::WrongGs, message, &events);
        }
    }

    /// `insn` is about to run.
    pub fn instruction(&mut self, insn: &Instruction, cx: &Context<'_>, out: &mut Findings) {
        self.steps = self.steps.saturating_sub(1);
        if !is_gs_relative(insn) {
            return;
        }
        self.steps = 0;
        let gs = base(cx.cpu);
        out.push(Finding {
            rule: RuleId::WrongGs,
            severity: RuleId::WrongGs.severity(),
            at: cx.at,
            rip: VirtAddr(cx.cpu.regs.rip),
            message: format!("`{insn}` at CPL 0 goes through the user's GS base {gs:#x}"),
            events: self.entry.iter().map(Proof::event).collect(),
        });
    }
}

/// Whether it accesses memory through GS.
fn is_gs_relative(insn: &Instruction) -> bool {
    insn.segment_prefix() == Register::GS
        && !matches!(insn.mnemonic(), Mnemonic::Lea | Mnemonic::Nop)
        && (0..insn.op_count()).any(|i| {
            matches!(
                insn.op_kind(i),
                OpKind::Memory
                    | OpKind::MemorySegSI
                    | OpKind::MemorySegESI
                    | OpKind::MemorySegRSI
                    | OpKind::MemorySegDI
                    | OpKind::MemorySegEDI
                    | OpKind::MemorySegRDI
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Decoder, DecoderOptions};

    #[test]
    fn an_access_through_gs_is_known() {
        let decode = |bytes: &[u8]| Decoder::new(64, bytes, DecoderOptions::NONE).decode();
        // mov rax, gs:[8]; mov rax, fs:[8]; mov rax, [rax]; lea rax, gs:[rax]; gs lodsb; gs nop
        let rows: [(&[u8], bool); 6] = [
            (&[0x65, 0x48, 0x8b, 0x04, 0x25, 8, 0, 0, 0], true),
            (&[0x64, 0x48, 0x8b, 0x04, 0x25, 8, 0, 0, 0], false),
            (&[0x48, 0x8b, 0x00], false),
            (&[0x65, 0x48, 0x8d, 0x00], false),
            (&[0x65, 0xac], true),
            (&[0x65, 0x90], false),
        ];
        for (bytes, through_gs) in rows {
            assert_eq!(is_gs_relative(&decode(bytes)), through_gs, "{bytes:x?}");
        }
    }
}
