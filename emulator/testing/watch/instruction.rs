//! What is looked at before and after each instruction.

use iced_x86::{Instruction, Mnemonic, OpKind, Register as InsnRegister};

use super::super::defect::{Defect, DefectKind};
use super::super::observed::{Write, keep};
use super::super::session::Session;
use crate::arch::bits::rflags;
use crate::arch::state::SegReg;
use crate::arch::{AccessKind, CpuState, Vector};
use crate::system::insn::{data_accesses, is_iret};
use crate::trace::Event;

/// Whether it accesses memory through GS.
fn uses_gs(insn: &Instruction) -> bool {
    insn.mnemonic() != Mnemonic::Lea
        && insn.segment_prefix() == InsnRegister::GS
        && (0..insn.op_count()).any(|n| {
            matches!(
                insn.op_kind(n),
                OpKind::Memory
                    | OpKind::MemorySegSI
                    | OpKind::MemorySegESI
                    | OpKind::MemorySegRSI
                    | OpKind::MemorySegRDI
            )
        })
}

impl Session {
    /// Notes a defect, at this boundary.
    pub(super) fn defect(&mut self, kind: DefectKind, rip: u64, text: String) {
        let at = self.machine.boundary();
        self.seen.defect(Defect {
            kind,
            at,
            rip,
            text,
        });
    }

    /// A place of the code under test, by its symbol.
    pub(super) fn name(&self, at: u64) -> String {
        self.case.program.name_of(at)
    }

    /// `insn` is about to run.
    pub(in crate::testing) fn before_instruction(
        &mut self,
        regs: &CpuState,
        insn: Option<&Instruction>,
    ) {
        let Some(insn) = insn else { return };
        if !self.is_own(regs.rip) || self.seen.resumed.is_some() {
            return;
        }
        if is_iret(insn) && regs.cpl == 0 {
            if insn.mnemonic() == Mnemonic::Iretq {
                self.look_at_frame(regs);
            } else {
                let text = format!(
                    "{} at {} pops values of {} bits, and a frame of 64-bit mode has 64: IRETQ is needed \
                     (SDM vol. 2, IRET)",
                    self.insn_text(regs.rip).to_uppercase(),
                    self.name(regs.rip),
                    if insn.mnemonic() == Mnemonic::Iretd {
                        32
                    } else {
                        16
                    }
                );
                self.defect(DefectKind::IretSize, regs.rip, text);
            }
        }
        if regs.cpl == 0
            && uses_gs(insn)
            && let Some(text) = self.wrong_gs(regs)
        {
            let what = format!(
                "{} accesses memory through GS with {text}",
                self.name(regs.rip)
            );
            self.defect(DefectKind::WrongGs, regs.rip, what);
        }
        if insn.is_string_instruction() && regs.rflags & rflags::DF != 0 && !self.seen.std_seen {
            let text = format!(
                "the string instruction at {} goes down: DF is still the interrupted code's, and delivery \
                 does not clear it (SDM vol. 3, 6.12.1.3): CLD is missing",
                self.name(regs.rip)
            );
            self.defect(DefectKind::DirectionFlag, regs.rip, text);
        }
    }

    /// What is wrong with GS, if the bases are told apart.
    pub(super) fn wrong_gs(&self, regs: &CpuState) -> Option<String> {
        let (user, kernel) = self.case.context.gs_bases()?;
        let now = regs.segment(SegReg::Gs).base;
        if now != user {
            return None;
        }
        let from_user = self
            .seen
            .root
            .as_ref()
            .is_some_and(|r| r.before.segment(SegReg::Gs).base == user);
        Some(if from_user {
            format!(
                "the user's GS base ({user:#x}, the kernel's is {kernel:#x}): SWAPGS is missing"
            )
        } else {
            format!(
                "the user's GS base ({user:#x}): the interrupted code had the kernel's, and SWAPGS has taken it away"
            )
        })
    }

    /// An instruction has retired, or an iteration of REP is done.
    pub(in crate::testing) fn note_writes(&mut self, before: &CpuState, insn: &Instruction) {
        if self.seen.resumed.is_some() || !self.is_own(before.rip) {
            return;
        }
        let mut accesses = Vec::new();
        data_accesses(before, insn, &mut accesses);
        for a in accesses.iter().filter(|a| a.kind == AccessKind::Write) {
            let write = Write {
                at: a.addr.0,
                size: a.size,
                rip: before.rip,
            };
            keep(&mut self.seen.writes, &mut self.seen.left_out.writes, write);
        }
    }

    /// An instruction has retired.
    pub(in crate::testing) fn after_instruction(&mut self, before: &CpuState, insn: &Instruction) {
        if self.seen.resumed.is_some() || !self.is_own(before.rip) {
            return;
        }
        self.seen.instructions += 1;
        self.seen.std_seen |= insn.mnemonic() == Mnemonic::Std;
        if insn.mnemonic() == Mnemonic::Call {
            let regs = &self.machine.cpu().regs;
            let entry = (regs.rip, regs.rsp(), before.rip);
            keep(
                &mut self.seen.entries,
                &mut self.seen.left_out.entries,
                entry,
            );
        }
    }

    /// CR2 was read.
    pub(in crate::testing) fn cr2_read(&mut self, event: &Event, value: u64) {
        let open = self.machine.cpu().activations.open();
        let Some(serial) = open
            .rev()
            .find(|a| a.id.vector == Vector::PF)
            .map(|a| a.id.serial)
        else {
            return;
        };
        let deliveries = &self.seen.deliveries;
        let Some(cr2) = deliveries
            .iter()
            .find(|d| d.id.serial == serial)
            .and_then(|d| d.cr2)
        else {
            return;
        };
        if cr2.0 != value && self.is_own(event.rip.0) {
            let by = self
                .seen
                .cr2_loaded_by
                .clone()
                .map_or_else(String::new, |by| format!(" since {by}"));
            let text = format!(
                "CR2 is read too late: at {} it holds {value:#x}{by}, and not the fault's address {:#x}; \
                 read it before anything that can fault",
                self.name(event.rip.0),
                cr2.0
            );
            self.defect(DefectKind::Cr2TooLate, event.rip.0, text);
        }
    }

    /// The instruction at `rip`, in AT&T syntax as traces have it.
    pub(in crate::testing) fn insn_text(&self, rip: u64) -> String {
        use iced_x86::{Formatter, GasFormatter};
        let mut text = String::new();
        match self.instruction_at(rip) {
            Some(insn) => GasFormatter::new().format(&insn, &mut text),
            None => text.push_str("(nothing)"),
        }
        text
    }
}
