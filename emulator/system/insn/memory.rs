//! Memory and register operands as values, and the stack: what all groups share.

use iced_x86::{Instruction, OpKind};

use super::operand::{
    MemoryOperand, memory_operand, register, segment_register, set_register, stack_mask,
};
use crate::arch::state::gpr;
use crate::arch::{Access, AccessKind, CpuState, Exception, SegReg, VirtAddr};
use crate::system::{Bus, Cpu};

/// Reads a memory operand with the rights of the CPL.
///
/// # Errors
/// #GP(0) or #SS(0) of the address; #PF.
pub fn load(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    at: &MemoryOperand,
    buf: &mut [u8],
) -> Result<(), Exception> {
    at.check(&cpu.regs, buf.len() as u64, AccessKind::Read)?;
    let access = Access::explicit(AccessKind::Read, cpu.regs.cpl);
    cpu.read(bus, at.linear, buf, access, at.is_stack())
}

/// Reads a memory operand of up to 8 bytes, zero-extended.
///
/// # Errors
/// As [`load`].
pub fn load_value(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    at: &MemoryOperand,
    size: usize,
) -> Result<u64, Exception> {
    let mut bytes = [0; 8];
    load(cpu, bus, at, &mut bytes[..size.min(8)])?;
    Ok(u64::from_le_bytes(bytes))
}

/// Writes a memory operand with the rights of the CPL.
///
/// # Errors
/// As [`load`]; then nothing has been written.
pub fn store(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    at: &MemoryOperand,
    data: &[u8],
) -> Result<(), Exception> {
    at.check(&cpu.regs, data.len() as u64, AccessKind::Write)?;
    let access = Access::explicit(AccessKind::Write, cpu.regs.cpl);
    cpu.write(bus, at.linear, data, access, at.is_stack())
}

/// Checks that a memory operand can be accessed, without accessing it.
///
/// # Errors
/// As [`load`].
pub fn probe(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    at: &MemoryOperand,
    size: u64,
    kind: AccessKind,
) -> Result<(), Exception> {
    at.check(&cpu.regs, size, kind)?;
    let access = Access::explicit(kind, cpu.regs.cpl);
    cpu.probe(bus, at.linear, size, access, at.is_stack())
}

/// The ModRM memory operand; #UD for an encoding that has none.
///
/// # Errors
/// #UD.
pub fn require_memory(regs: &CpuState, insn: &Instruction) -> Result<MemoryOperand, Exception> {
    memory_operand(regs, insn).ok_or_else(Exception::ud)
}

/// A 16-bit source: a register's low word, or a word in memory (selectors, the MSW).
///
/// # Errors
/// As [`load`].
pub fn source_u16(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    insn: &Instruction,
    operand: u32,
) -> Result<u16, Exception> {
    let value = if insn.op_kind(operand) == OpKind::Register {
        register(&cpu.regs, insn.op_register(operand))
    } else {
        let at = require_memory(&cpu.regs, insn)?;
        load_value(cpu, bus, &at, 2)?
    };
    Ok(value as u16)
}

/// Writes `value` to operand 0: to a register in its width, to memory always as a word (SLDT, STR,
/// SMSW).
///
/// # Errors
/// As [`load`].
pub fn store_word_or_register(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    insn: &Instruction,
    value: u64,
) -> Result<(), Exception> {
    if insn.op0_kind() == OpKind::Register {
        set_register(&mut cpu.regs, insn.op0_register(), value);
        return Ok(());
    }
    let at = require_memory(&cpu.regs, insn)?;
    store(cpu, bus, &at, &(value as u16).to_le_bytes())
}

/// The segment register that operand `operand` names.
#[must_use]
pub fn segment_operand(insn: &Instruction, operand: u32) -> SegReg {
    segment_register(insn.op_register(operand))
}

/// A stack pointer on its way: nothing is committed before [`commit`](Self::commit).
#[derive(Clone, Copy, Debug)]
pub struct StackCursor {
    pointer: u64,
    mask: u64,
}

impl StackCursor {
    /// The current stack.
    #[must_use]
    pub fn new(regs: &CpuState) -> Self {
        let mask = stack_mask(regs);
        Self {
            pointer: regs.rsp() & mask,
            mask,
        }
    }

    /// Pops `size` bytes, 2, 4 or 8.
    ///
    /// # Errors
    /// #SS(0), #PF.
    pub fn pop(&mut self, cpu: &mut Cpu, bus: &mut dyn Bus, size: usize) -> Result<u64, Exception> {
        let at = MemoryOperand::at(&cpu.regs, SegReg::Ss, self.pointer);
        let value = load_value(cpu, bus, &at, size)?;
        self.release(size as u64);
        Ok(value)
    }

    /// Pushes the low `size` bytes, 2, 4 or 8, of each of `values`, after checking that all fit.
    ///
    /// # Errors
    /// #SS(0), #PF; then nothing has been written.
    pub fn push(
        &mut self,
        cpu: &mut Cpu,
        bus: &mut dyn Bus,
        size: usize,
        values: &[u64],
    ) -> Result<(), Exception> {
        self.probe_push(cpu, bus, size, values.len())?;
        for value in values {
            self.pointer = self.pointer.wrapping_sub(size as u64) & self.mask;
            let at = MemoryOperand::at(&cpu.regs, SegReg::Ss, self.pointer);
            store(cpu, bus, &at, &value.to_le_bytes()[..size.min(8)])?;
        }
        Ok(())
    }

    /// Checks that `count` values of `size` bytes can be pushed, the first push first.
    ///
    /// # Errors
    /// #SS(0), #PF.
    pub fn probe_push(
        &self,
        cpu: &mut Cpu,
        bus: &mut dyn Bus,
        size: usize,
        count: usize,
    ) -> Result<(), Exception> {
        let mut pointer = self.pointer;
        for _ in 0..count {
            pointer = pointer.wrapping_sub(size as u64) & self.mask;
            let at = MemoryOperand::at(&cpu.regs, SegReg::Ss, pointer);
            probe(cpu, bus, &at, size as u64, AccessKind::Write)?;
        }
        Ok(())
    }

    /// Drops `bytes`, as RET imm16 does.
    pub fn release(&mut self, bytes: u64) {
        self.pointer = self.pointer.wrapping_add(bytes) & self.mask;
    }

    /// The linear address of the top.
    #[must_use]
    pub fn top(&self, regs: &CpuState) -> VirtAddr {
        MemoryOperand::at(regs, SegReg::Ss, self.pointer).linear
    }

    /// Writes rSP: a 16-bit stack leaves the rest of it.
    pub fn commit(&self, regs: &mut CpuState) {
        let rsp = &mut regs.gpr[gpr::RSP];
        *rsp = if self.mask == 0xffff {
            *rsp & !0xffff | self.pointer
        } else {
            self.pointer
        };
    }
}
