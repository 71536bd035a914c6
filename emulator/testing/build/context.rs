//! The registers of the interrupted code.

use super::super::context::{Gs, KERNEL_FLAGS, Mode, USER_FLAGS};
use super::super::error::TestError;
use super::super::layout::{self, Stack, selector};
use super::machine::Builder;
use crate::arch::bits::pte;
use crate::arch::state::{SegReg, Segment, gpr};

impl Builder<'_> {
    /// The registers of the interrupted code.
    pub(super) fn context(&mut self) -> Result<(), TestError> {
        let case = self.case;
        let context = &case.context;
        let at = match &context.at {
            Some(place) => Some(case.program.resolve("context", place)?.0),
            None => None,
        };
        let user = context.mode != Mode::Kernel;
        if context.mode == Mode::User
            && let Some(at) = at
        {
            let entry = self.mapper.entry(&mut self.machine, at)?;
            self.mapper.set(&mut self.machine, at, entry | pte::U)?;
        }
        let (user_gs, kernel_gs) = match context.gs {
            Gs::Bases { user, kernel } => (user, kernel),
            Gs::Unused => (0, 0),
        };
        let regs = &mut self.machine.cpu_mut().regs;
        for (n, register) in regs.gpr.iter_mut().enumerate() {
            *register = 0x5eed_0000_0000_0055 | (n as u64) << 12;
        }
        // 8 modulo 16: delivery aligns the stack, whatever it was.
        let (rip, rsp, flags) = match context.mode {
            Mode::Kernel => (
                at.unwrap_or(layout::KERNEL_CODE + 0x10),
                Stack::Interrupted.top() - 0x108,
                KERNEL_FLAGS,
            ),
            Mode::User => (
                at.unwrap_or(layout::USER_CODE + 0x10),
                layout::USER_STACK - 0x108,
                USER_FLAGS,
            ),
            Mode::SyscallGap => {
                if let Some(at) = at {
                    regs.msr.lstar = at;
                }
                (layout::USER_SYSCALL, layout::USER_STACK - 0x108, USER_FLAGS)
            }
        };
        (regs.rip, regs.gpr[gpr::RSP], regs.rflags) = (rip, rsp, flags);
        if user {
            let data = Segment::flat_data(selector::USER_DS, 3);
            regs.seg = [data; 6];
            regs.seg[SegReg::Cs as usize] = Segment::flat_code64(selector::USER_CS, 3);
            regs.cpl = 3;
        }
        let (now, other) = if user {
            (user_gs, kernel_gs)
        } else {
            (kernel_gs, user_gs)
        };
        regs.segment_mut(SegReg::Gs).base = now;
        regs.msr.kernel_gs_base = other;
        for (register, value) in &context.registers {
            register.arrange(regs, *value)?;
        }
        for (register, place) in &context.places {
            let at = case.program.resolve(register.name(), place)?.0;
            register.arrange(&mut self.machine.cpu_mut().regs, at)?;
        }
        Ok(())
    }
}
