//! Instructions that the engine stops before, for a look at their operands.

use iced_x86::{Instruction, Mnemonic, OpKind};

use super::Machine;
use super::stop::StopReason;
use crate::arch::bits::rflags;
use crate::arch::state::gpr;
use crate::arch::{Access, AccessKind, Exception, VirtAddr};
use crate::engine::Guard;
use crate::system::InterruptShadow;
use crate::system::insn::{DataAccess, data_accesses, near_branch};

impl Machine {
    /// An instruction at which a guard stopped.
    pub(super) fn guarded(&mut self, insn: &Instruction, guard: Guard) -> Option<StopReason> {
        self.note_place();
        if guard == Guard::CallTarget {
            let traced = self.instruction_if_traced(insn);
            self.show_microcode(insn);
            return match near_branch(&mut self.cpu, &mut self.world, insn) {
                Ok(_) => {
                    let place = self.world.log.place;
                    self.tell_instruction(place, traced);
                    self.cpu.shadow = InterruptShadow::None;
                    self.state.over_breakpoint = false;
                    let trap = self.cpu.regs.rflags & crate::arch::bits::rflags::TF != 0;
                    if trap {
                        self.cpu.pending_db |= crate::arch::bits::dr6::BS;
                    }
                    self.retire();
                    None
                }
                Err(crate::arch::Trap::Exception(e)) => self.fault(e),
                Err(crate::arch::Trap::NotModelled(what)) => Some(self.not_modelled(what)),
            };
        }
        if guard == Guard::Accumulator {
            return self.compare_and_exchange(insn);
        }
        if guard == Guard::Alignment {
            let mut accesses = std::mem::take(&mut self.scratch);
            data_accesses(&self.cpu.regs, insn, &mut accesses);
            let misaligned = accesses.iter().any(|a| a.size >= 16 && a.addr.0 % 16 != 0);
            self.scratch = accesses;
            if misaligned {
                return self.fault(Exception::gp(0));
            }
        }
        let accesses = match self.look(insn) {
            Ok(accesses) => accesses,
            Err(exception) => return self.fault(exception),
        };
        if guard == Guard::Mxcsr
            && let Some(what) = self.unmasks_sse(insn, &accesses)
        {
            return Some(what);
        }
        let stop = self.access_or_step(insn, &accesses);
        self.scratch = accesses;
        stop
    }

    /// CMPXCHG with 32-bit operands. The accumulator is written where the operands differ, and the
    /// destination where they are equal (SDM vol. 2, CMPXCHG); Unicorn clears the upper half of
    /// either in any case.
    pub(super) fn compare_and_exchange(&mut self, insn: &Instruction) -> Option<StopReason> {
        let accesses = match self.look(insn) {
            Ok(accesses) => accesses,
            Err(exception) => return self.fault(exception),
        };
        let (before, icount) = (self.cpu.regs.gpr, self.world.engine.icount());
        let stop = self.access_or_step(insn, &accesses);
        self.scratch = accesses;
        if self.world.engine.icount() != icount {
            let destination = (insn.op0_kind() == OpKind::Register)
                .then(|| insn.op0_register().full_register().number());
            let regs = &mut self.cpu.regs;
            let unwritten = if regs.rflags & rflags::ZF == 0 {
                destination
            } else {
                Some(gpr::RAX).filter(|_| destination != Some(gpr::RAX))
            };
            if let Some(n) = unwritten {
                regs.gpr[n] = before[n];
            }
        }
        stop
    }

    /// LDMXCSR and FXRSTOR that unmask an exception: Unicorn would never raise it.
    pub(super) fn unmasks_sse(
        &mut self,
        insn: &Instruction,
        accesses: &[DataAccess],
    ) -> Option<StopReason> {
        let at = accesses.first()?.addr.0;
        let at = if insn.mnemonic() == Mnemonic::Ldmxcsr {
            at
        } else {
            at.wrapping_add(24)
        };
        let access = Access::explicit(AccessKind::Read, self.cpu.regs.cpl);
        let mxcsr = self
            .cpu
            .read_u32(&mut self.world, VirtAddr(at), access, false)
            .ok()?;
        const MASKS: u32 = 0x1f80;
        (mxcsr & MASKS != MASKS)
            .then(|| self.not_modelled(format!("unmasked SSE exceptions (MXCSR = {mxcsr:#x})")))
    }
}
