//! Before an instruction that is hooked: whether it runs.

use iced_x86::{FlowControl, Instruction, Register};
use unicorn_engine_sys::{RegisterX86, uc_engine, uc_reg_read};

use super::super::classify::{Class, Guard};
use super::super::layout;
use super::{At, Halt, HookState, PROBE_BASE};
use crate::arch::{PAGE_SIZE, VirtAddr};

impl HookState {
    /// Whether the hooked instruction at `rip` needs a look.
    #[inline]
    pub(super) fn is_attended(&self, rip: u64) -> bool {
        let block = self.blocks.get(self.current);
        block.is_none_or(|b| b.is_attended(rip))
    }

    pub(super) fn on_code(&mut self, uc: *mut uc_engine, rip: u64) {
        let Some(block) = self.blocks.get(self.current) else {
            return;
        };
        let Some(special) = block.special_at(rip) else {
            // Only because it lies between two that are hooked for a reason.
            self.flags_seen = Some((rip, read_flags(uc)));
            return;
        };
        let (insn, class, may_pass) = (special.insn, special.class, special.may_pass);
        let alone = block.is_single();
        let at = |why| Halt::At { insn, why };
        if special.breakpoint {
            let Some(done) = block.counted_before(rip) else {
                return;
            };
            let icount = self.icount - u64::from(block.weight - done);
            if self.over != (rip, icount) {
                return self.stop(uc, at(At::Breakpoint));
            }
        }
        match class {
            None => self.flags_seen = Some((rip, read_flags(uc))),
            Some(Class::Intercept) => self.stop(uc, at(At::Intercept)),
            Some(Class::Guard(_)) if self.force => {}
            Some(Class::Guard(guard)) => {
                if may_pass && !self.guard_trips(uc, guard, &insn) {
                    self.flags_seen = Some((rip, read_flags(uc)));
                } else {
                    self.stop(uc, at(At::Guard(guard)));
                }
            }
            Some(Class::Alone | Class::PushFlags) if self.stepping => {}
            Some(Class::Alone) => self.stop(uc, at(At::Alone)),
            Some(Class::Flagged | Class::BitTest) => self.flags_seen = Some((rip, read_flags(uc))),
            Some(Class::PushFlags) => self.stop(uc, at(At::PushFlags)),
            // By itself already; hooked for a breakpoint, or because everything is.
            Some(Class::Rep) if alone => self.flags_seen = Some((rip, read_flags(uc))),
            Some(Class::Undefined) => self.stop(uc, at(At::Undefined)),
            Some(Class::Rep) => self.stop(uc, at(At::Rep)),
            Some(Class::SelfBranch) => {
                if self.icount >= self.limit {
                    self.stop(uc, Halt::Limit);
                } else {
                    self.icount += 1;
                }
            }
        }
    }

    fn guard_trips(&self, uc: *mut uc_engine, guard: Guard, insn: &Instruction) -> bool {
        let memory = (0..insn.op_count()).find(|&n| insn.op_kind(n) == iced_x86::OpKind::Memory);
        let address = || insn.virtual_address(memory?, 0, |reg, _, _| Some(read_register(uc, reg)));
        match guard {
            Guard::Alignment => address().is_none_or(|a| a % 16 != 0),
            Guard::WideStore => {
                // Any store of up to 512 bytes; the machine looks closer.
                let size = (insn.memory_size().size() as u64).max(16);
                address().is_none_or(|a| a % PAGE_SIZE + size > PAGE_SIZE)
            }
            Guard::CallTarget => {
                let target = match memory {
                    None if insn.flow_control() == FlowControl::Call => {
                        Some(insn.near_branch_target())
                    }
                    None => Some(read_register(uc, insn.op0_register())),
                    Some(_) => address().and_then(|a| self.peek(a)),
                };
                // What cannot be read here faults in the instruction itself.
                target.is_some_and(|t| !VirtAddr(t).is_canonical(self.la57))
            }
            Guard::Accumulator => memory.is_none() || read_register(uc, Register::RAX) >> 32 != 0,
            Guard::Mxcsr => true,
        }
    }

    /// Eight bytes at a linear address, where they lie in one page that may be read.
    fn peek(&self, at: u64) -> Option<u64> {
        if at % PAGE_SIZE > PAGE_SIZE - 8 {
            // Across a page: let the machine look.
            return Some(PROBE_BASE);
        }
        let grant = self.source()?.grant(VirtAddr(at).page(), self.cpl, true)?;
        let mut bytes = [0; 8];
        self.ram
            .read(grant.phys.0 + at % PAGE_SIZE, &mut bytes)
            .then(|| u64::from_le_bytes(bytes))
    }
}

pub(super) fn read_flags(uc: *mut uc_engine) -> u64 {
    read_uc(uc, RegisterX86::RFLAGS)
}

fn read_uc(uc: *mut uc_engine, reg: RegisterX86) -> u64 {
    let mut value = 0u64;
    // SAFETY: `uc` is live, and none of the registers asked for is wider than eight bytes.
    unsafe { uc_reg_read(uc, reg as i32, (&raw mut value).cast()) };
    value
}

/// A register of an address: general, or a segment for its base.
fn read_register(uc: *mut uc_engine, reg: Register) -> u64 {
    if reg.is_segment_register() {
        return match reg {
            Register::FS => read_uc(uc, RegisterX86::FS_BASE),
            Register::GS => read_uc(uc, RegisterX86::GS_BASE),
            _ => 0,
        };
    }
    const BASE: [RegisterX86; 16] = layout::GENERAL;
    let full = read_uc(uc, BASE[(reg.full_register().number()) & 15]);
    match reg.size() {
        4 => full & 0xffff_ffff,
        2 => full & 0xffff,
        _ => full,
    }
}
