//! RDTSC, RDTSCP, RDPMC, RDRAND, RDSEED: what would otherwise come from the host.

use iced_x86::{Instruction, Register};

use super::checks::{require, require_defined};
use super::operand::set_register;
use crate::arch::bits::{cr4, rflags};
use crate::arch::{Exception, Trap};
use crate::system::{Bus, Cpu};

/// The time-stamp counter as software reads it. What IA32_TSC_ADJUST adds is in the offset.
#[must_use]
pub fn time_stamp(cpu: &Cpu, bus: &dyn Bus) -> u64 {
    bus.tsc().wrapping_add(cpu.regs.msr.tsc_offset)
}

/// RDTSC.
///
/// # Errors
/// #GP(0) at CPL > 0 with CR4.TSD.
pub fn rdtsc(cpu: &mut Cpu, bus: &mut dyn Bus) -> Result<(), Trap> {
    require(cpu.regs.cpl == 0 || cpu.regs.cr4 & cr4::TSD == 0, 0)?;
    let value = time_stamp(cpu, bus);
    set_register(&mut cpu.regs, Register::EAX, value);
    set_register(&mut cpu.regs, Register::EDX, value >> 32);
    Ok(())
}

/// RDTSCP.
///
/// # Errors
/// #UD if the CPU has none; #GP(0) as [`rdtsc`].
pub fn rdtscp(cpu: &mut Cpu, bus: &mut dyn Bus) -> Result<(), Trap> {
    require_defined(cpu.model.features.rdtscp)?;
    rdtsc(cpu, bus)?;
    let aux = cpu.regs.msr.tsc_aux;
    set_register(&mut cpu.regs, Register::ECX, aux);
    Ok(())
}

/// RDPMC: CPUID reports no counters, so every ECX is an invalid one.
///
/// # Errors
/// Always #GP(0).
pub fn rdpmc() -> Result<(), Trap> {
    Err(Exception::gp(0).into())
}

/// RDRAND and RDSEED: a deterministic number, always with CF = 1; the other status flags are 0.
///
/// # Errors
/// #UD unless `present`.
pub fn random(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    insn: &Instruction,
    present: bool,
) -> Result<(), Trap> {
    require_defined(present)?;
    let value = bus.random();
    set_register(&mut cpu.regs, insn.op0_register(), value);
    cpu.regs.rflags = cpu.regs.rflags & !rflags::STATUS | rflags::CF;
    Ok(())
}
