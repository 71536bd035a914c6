//! IN, OUT, INS, OUTS and who may execute them (SDM vol. 1, 19.5; vol. 2).

use iced_x86::{Instruction, OpKind, Register};

use super::checks::require;
use super::intercept::Routine;
use super::memory::{load_value, probe, store};
use super::operand::{register, set_register, string_operand};
use crate::arch::bits::rflags;
use crate::arch::descriptor::system_type;
use crate::arch::state::gpr;
use crate::arch::tss::IO_MAP_BASE;
use crate::arch::{Access, AccessKind, CpuState, Exception, Segment, Trap, VirtAddr};
use crate::system::{Bus, Cpu};

/// Checks that `size` ports from `port` on may be accessed: CPL ≤ IOPL, or all their bits in the
/// TSS's I/O permission map are 0.
///
/// # Errors
/// #GP(0); #PF of the TSS.
fn require_ports(cpu: &mut Cpu, bus: &mut dyn Bus, port: u16, size: u8) -> Result<(), Exception> {
    const READ: Access = Access::implicit(AccessKind::Read);
    if cpu.regs.cpl <= cpu.regs.iopl() {
        return Ok(());
    }
    let tr = cpu.regs.tr;
    let kind = (tr.attr >> Segment::TYPE_SHIFT & 0xf) as u8;
    let limit = u64::from(tr.limit);
    let is_tss = matches!(kind, system_type::TSS_AVAILABLE | system_type::TSS_BUSY);
    let field = u64::from(IO_MAP_BASE);
    require(tr.usable() && is_tss && field < limit, 0)?;
    let at = |offset: u64| VirtAddr(tr.base.wrapping_add(offset));
    let map = u64::from(cpu.read_u16(bus, at(field), READ, false)?);
    // Always two bytes: a wide access may reach over a byte's end.
    let byte = map + u64::from(port / 8);
    require(byte < limit, 0)?;
    let bits = u32::from(cpu.read_u16(bus, at(byte), READ, false)?);
    let mask = ((1 << size) - 1) << (port % 8);
    require(bits & mask == 0, 0)
}

/// The port that operand `operand` names.
fn port_operand(regs: &CpuState, insn: &Instruction, operand: u32) -> u16 {
    match insn.op_kind(operand) {
        OpKind::Immediate8 => u16::from(insn.immediate8()),
        _ => register(regs, Register::DX) as u16,
    }
}

/// The first port that `insn` is about to access, and how many; `None` for other instructions
/// and for REP with a count of 0.
#[must_use]
pub fn ports(regs: &CpuState, insn: &Instruction, routine: Routine) -> Option<(u16, u8)> {
    let (operand, size) = match routine {
        Routine::In => (1, insn.op0_register().size()),
        Routine::Out => (0, insn.op1_register().size()),
        Routine::Ins => (1, insn.memory_size().size()),
        Routine::Outs => (0, insn.memory_size().size()),
        _ => return None,
    };
    let memory = if operand == 1 { 0 } else { 1 };
    let mask = string_operand(regs, insn, memory).map_or(0, |(_, mask)| mask);
    if count(regs, insn, mask) == Some(0) {
        return None;
    }
    Some((port_operand(regs, insn, operand), size as u8))
}

/// IN.
///
/// # Errors
/// #GP(0) by IOPL and the I/O permission map; #PF of the TSS.
pub fn port_in(cpu: &mut Cpu, bus: &mut dyn Bus, insn: &Instruction) -> Result<(), Trap> {
    let target = insn.op0_register();
    let (port, size) = (port_operand(&cpu.regs, insn, 1), target.size() as u8);
    require_ports(cpu, bus, port, size)?;
    let value = bus.port_read(port, size);
    set_register(&mut cpu.regs, target, u64::from(value));
    Ok(())
}

/// OUT.
///
/// # Errors
/// As [`port_in`].
pub fn port_out(cpu: &mut Cpu, bus: &mut dyn Bus, insn: &Instruction) -> Result<(), Trap> {
    let source = insn.op1_register();
    let (port, size) = (port_operand(&cpu.regs, insn, 0), source.size() as u8);
    require_ports(cpu, bus, port, size)?;
    bus.port_write(port, size, register(&cpu.regs, source) as u32);
    Ok(())
}

/// Whether a REP instruction has iterations left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Iteration {
    /// That was the last one, or there is no REP prefix, or the count was 0.
    Done,
    /// RIP stays.
    More,
}

/// INS: one iteration. A count of 0 needs the right to the port all the same: I/O-sensitive
/// instructions are refused as such (SDM vol. 1, 19.5.1), which hardware does before it looks at rCX.
///
/// # Errors
/// As [`port_in`]; faults of the destination, before the port is read.
pub fn ins(cpu: &mut Cpu, bus: &mut dyn Bus, insn: &Instruction) -> Result<Iteration, Trap> {
    let (at, mask) = string_operand(&cpu.regs, insn, 0).ok_or_else(Exception::ud)?;
    let size = insn.memory_size().size().min(4);
    let port = port_operand(&cpu.regs, insn, 1);
    require_ports(cpu, bus, port, size as u8)?;
    if count(&cpu.regs, insn, mask) == Some(0) {
        return Ok(Iteration::Done);
    }
    probe(cpu, bus, &at, size as u64, AccessKind::Write)?;
    let value = bus.port_read(port, size as u8);
    store(cpu, bus, &at, &value.to_le_bytes()[..size])?;
    Ok(advance(cpu, insn, gpr::RDI, mask, size as u64))
}

/// OUTS: one iteration. A count of 0: as for [`ins`].
///
/// # Errors
/// As [`port_in`]; faults of the source.
pub fn outs(cpu: &mut Cpu, bus: &mut dyn Bus, insn: &Instruction) -> Result<Iteration, Trap> {
    let (at, mask) = string_operand(&cpu.regs, insn, 1).ok_or_else(Exception::ud)?;
    let size = insn.memory_size().size().min(4);
    let port = port_operand(&cpu.regs, insn, 0);
    require_ports(cpu, bus, port, size as u8)?;
    if count(&cpu.regs, insn, mask) == Some(0) {
        return Ok(Iteration::Done);
    }
    let value = load_value(cpu, bus, &at, size)?;
    bus.port_write(port, size as u8, value as u32);
    Ok(advance(cpu, insn, gpr::RSI, mask, size as u64))
}

/// rCX under a REP prefix (either one repeats, SDM vol. 2, REP).
fn count(regs: &CpuState, insn: &Instruction, mask: u64) -> Option<u64> {
    let repeats =
        insn.is_string_instruction() && (insn.has_rep_prefix() || insn.has_repne_prefix());
    repeats.then(|| regs.gpr[gpr::RCX] & mask)
}

/// Moves the index register by DF, counts rCX down.
fn advance(cpu: &mut Cpu, insn: &Instruction, index: usize, mask: u64, size: u64) -> Iteration {
    let step = if cpu.regs.rflags & rflags::DF == 0 {
        size
    } else {
        size.wrapping_neg()
    };
    let left = count(&cpu.regs, insn, mask).map(|n| n.wrapping_sub(1) & mask);
    let regs = &mut cpu.regs.gpr;
    regs[index] = with_low(regs[index], regs[index].wrapping_add(step), mask);
    match left {
        None => Iteration::Done,
        Some(left) => {
            regs[gpr::RCX] = with_low(regs[gpr::RCX], left, mask);
            if left == 0 {
                Iteration::Done
            } else {
                Iteration::More
            }
        }
    }
}

/// A register after a write in address size: 16 bits leave the rest, 32 bits clear it.
const fn with_low(old: u64, new: u64, mask: u64) -> u64 {
    if mask == 0xffff {
        old & !mask | new & mask
    } else {
        new & mask
    }
}
