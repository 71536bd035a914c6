//! What is looked at before and after each instruction.

use iced_x86::{Instruction, Mnemonic, OpKind, Register as InsnRegister};

use super::case::Until;
use super::defect::{Defect, DefectKind};
use super::observed::{MOST, Write};
use super::session::{End, Session};
use super::stub::Call;
use crate::arch::bits::rflags;
use crate::arch::state::SegReg;
use crate::arch::{AccessKind, CpuState, Vector};
use crate::system::Activation;
use crate::system::insn::{data_accesses, is_iret};
use crate::trace::Event;

/// RIP's slot of a frame: above the error code.
const fn slot(a: &Activation) -> u64 {
    a.frame.0.wrapping_add(a.len as u64 - 40)
}

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
    fn defect(&mut self, kind: DefectKind, rip: u64, text: String) {
        let at = self.machine.boundary();
        self.seen.defect(Defect {
            kind,
            at,
            rip,
            text,
        });
    }

    fn name(&self, at: u64) -> String {
        self.case.program.name_of(at)
    }

    /// `insn` is about to run.
    pub(super) fn before_instruction(&mut self, regs: &CpuState, insn: Option<&Instruction>) {
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
    fn wrong_gs(&self, regs: &CpuState) -> Option<String> {
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

    /// IRET is about to pop: is it the frame of the innermost delivery?
    fn look_at_frame(&mut self, regs: &CpuState) {
        let Some(&inner) = self.machine.cpu().activations.innermost() else {
            return;
        };
        let (rsp, rip) = (regs.rsp(), regs.rip);
        let wanted = slot(&inner);
        if rsp == wanted {
            return;
        }
        // A copy of a frame will do.
        let word = |n: u64| self.quad(rsp.wrapping_add(8 * n));
        let open = self.machine.cpu().activations.open();
        let popped = [word(0), word(1), word(3)];
        let is_copy = open.into_iter().any(|a| {
            popped
                == [
                    Some(a.context.rip.0),
                    Some(a.context.cs.0),
                    Some(a.context.rsp.0),
                ]
        });
        if is_copy {
            return;
        }
        let below = wanted.wrapping_sub(rsp);
        let place = self.name(rip);
        let values =
            popped[0].map_or_else(|| "what is not mapped".to_owned(), |v| format!("{v:#x}"));
        if below == 8 && inner.len == 48 {
            let text = format!(
                "the error code is still on the stack: the IRETQ at {place} pops it ({values}) as RIP; \
                 add 8 to RSP before it (SDM vol. 3, 6.13)"
            );
            self.defect(DefectKind::ErrorCodeNotPopped, rip, text);
        } else if below < 0x1000 && below % 8 == 0 {
            let code = if inner.len == 48 { 1 } else { 0 };
            let mut own: Vec<String> = Vec::new();
            for n in 0..(below / 8).saturating_sub(code).min(4) {
                let at = rsp.wrapping_add(8 * n);
                if let Some(w) = self.seen.writer_of(at) {
                    own.push(format!("{} ({})", self.insn_text(w.rip), self.name(w.rip)));
                }
            }
            let whose = if own.is_empty() {
                String::new()
            } else {
                format!(", stored by {}", own.join(", "))
            };
            let error_code = if code == 1 {
                ", the error code among them,"
            } else {
                ""
            };
            let text = format!(
                "IRETQ too early: at {place} RSP is {below} bytes below the frame, so {} quadwords{error_code} \
                 are still to be popped{whose}; it pops {values} as RIP",
                below / 8
            );
            self.defect(DefectKind::IretTooEarly, rip, text);
        } else {
            let above = rsp.wrapping_sub(wanted);
            let text = if above < 0x1000 {
                format!(
                    "IRETQ too late: at {place} RSP is {above} bytes above the frame, so too much was popped; \
                     it pops {values} as RIP"
                )
            } else {
                format!(
                    "the IRETQ at {place} pops no frame: RSP is {rsp:#x}, and the frame of {} is at {wanted:#x}; \
                     it pops {values} as RIP",
                    inner.id
                )
            };
            self.defect(DefectKind::IretTooLate, rip, text);
        }
    }

    /// An instruction has retired.
    pub(super) fn after_instruction(&mut self, before: &CpuState, insn: &Instruction) {
        if self.seen.resumed.is_some() || !self.is_own(before.rip) {
            return;
        }
        self.seen.instructions += 1;
        self.seen.std_seen |= insn.mnemonic() == Mnemonic::Std;
        let mut accesses = Vec::new();
        data_accesses(before, insn, &mut accesses);
        for a in accesses.iter().filter(|a| a.kind == AccessKind::Write) {
            if self.seen.writes.len() < MOST {
                self.seen.writes.push(Write {
                    at: a.addr.0,
                    size: a.size,
                    rip: before.rip,
                });
            }
        }
        if insn.mnemonic() == Mnemonic::Call && self.seen.entries.len() < MOST {
            let regs = &self.machine.cpu().regs;
            let entry = (regs.rip, regs.rsp(), before.rip);
            self.seen.entries.push(entry);
        }
    }

    /// CR2 was read.
    pub(super) fn cr2_read(&mut self, event: &Event, value: u64) {
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

    /// The machine is at a boundary: whether a stub begins there, and ends the run.
    pub(super) fn called(&mut self, rip: u64) -> Option<End> {
        let name = self.case.program.stub_at(rip)?.to_owned();
        let from = self.seen.last_rip;
        // A delivery in the stub, and the return to it, is no call.
        if self
            .case
            .program
            .stub_at(from & !(super::layout::STUB_SIZE - 1))
            .is_some()
            || self
                .seen
                .calls
                .last()
                .is_some_and(|c| c.at == self.machine.boundary())
        {
            return None;
        }
        let regs = self.machine.cpu().regs.clone();
        let call = Call {
            name: name.clone(),
            at: self.machine.boundary(),
            from,
            arguments: [7, 6, 2, 1, 8, 9].map(|n| regs.gpr[n]),
            rsp: regs.rsp(),
            cpl: regs.cpl,
        };
        if self.seen.root.is_some() && self.seen.resumed.is_none() {
            self.look_at_call(&call, &regs);
        }
        self.seen.cr2_loaded_by = Some(format!("the call of {name} at {}", self.name(from)));
        if self.seen.calls.len() < MOST {
            self.seen.calls.push(call.clone());
        }
        let acts: Vec<_> = self
            .case
            .on_call
            .iter()
            .filter(|a| a.0 == name)
            .map(|a| std::sync::Arc::clone(&a.1))
            .collect();
        for act in acts {
            act(self, &call);
        }
        match &self.case.until {
            Until::Call(wanted) if *wanted == name => Some(End::Called(name)),
            _ => None,
        }
    }

    fn look_at_call(&mut self, call: &Call, regs: &CpuState) {
        let (name, from) = (&call.name, self.name(call.from));
        let rip = call.from;
        if let Some(text) = self.misaligned(name, call.rsp, rip) {
            self.defect(DefectKind::MisalignedCall, rip, text);
        }
        if regs.rflags & rflags::DF != 0 {
            let text = format!(
                "the direction flag is set at the call of {name} at {from}: functions take it to be clear \
                 (System V ABI, 3.2.1), and delivery leaves the interrupted code's: CLD is missing"
            );
            self.defect(DefectKind::DirectionFlag, rip, text);
        }
        if regs.cpl == 0
            && let Some(text) = self.wrong_gs(regs)
        {
            let text = format!(
                "{name} is called at {from} with {text} (without_gs: the kernel does not use GS)"
            );
            self.defect(DefectKind::WrongGs, rip, text);
        }
    }

    /// What is wrong with RSP at the entry of a function, if something is.
    pub(super) fn misaligned(&self, name: &str, rsp: u64, from: u64) -> Option<String> {
        (!rsp.wrapping_add(8).is_multiple_of(16)).then(|| {
            format!(
                "the stack is misaligned at the call of {name} at {}: RSP + 8 is {:#x} at its entry, and must be a \
                 multiple of 16 (System V ABI, 3.2.2)",
                self.name(from),
                rsp.wrapping_add(8)
            )
        })
    }

    /// The instruction at `rip`, in AT&T syntax as traces have it.
    pub(super) fn insn_text(&self, rip: u64) -> String {
        use iced_x86::{Formatter, GasFormatter};
        let mut text = String::new();
        match self.instruction_at(rip) {
            Some(insn) => GasFormatter::new().format(&insn, &mut text),
            None => text.push_str("(nothing)"),
        }
        text
    }
}
