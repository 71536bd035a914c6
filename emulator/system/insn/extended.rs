//! CPUID, XGETBV, XSETBV, RDPKRU, WRPKRU (SDM vol. 2).

use iced_x86::Register;

use super::checks::{require, require_cpl0, require_defined};
use super::control::control_written;
use super::operand::set_register;
use crate::arch::Trap;
use crate::arch::bits::{cr4, msr};
use crate::arch::cpuid::{self, cpuid};
use crate::arch::state::gpr;
use crate::system::{Bus, Cpu};

/// IA32_APIC_BASE: the local APIC is enabled.
const APIC_ENABLED: u64 = 1 << 11;

/// XCR0: x87 and SSE state, the only components of this CPU.
const XCR0_BITS: u64 = 0b11;

/// CPUID, at any CPL.
pub fn cpuid_insn(cpu: &mut Cpu, bus: &mut dyn Bus) {
    let (leaf, subleaf) = (cpu.regs.gpr[gpr::RAX] as u32, cpu.regs.gpr[gpr::RCX] as u32);
    let mut found = cpuid(&cpu.model, cpu.regs.cr4, leaf, subleaf);
    if leaf == 1
        && bus
            .apic_msr_read(msr::APIC_BASE)
            .is_none_or(|base| base & APIC_ENABLED == 0)
    {
        found.edx &= !cpuid::APIC;
    }
    let results = [
        (Register::EAX, found.eax),
        (Register::EBX, found.ebx),
        (Register::ECX, found.ecx),
        (Register::EDX, found.edx),
    ];
    for (register, value) in results {
        set_register(&mut cpu.regs, register, u64::from(value));
    }
}

fn edx_eax(cpu: &Cpu) -> u64 {
    cpu.regs.gpr[gpr::RDX] << 32 | cpu.regs.gpr[gpr::RAX] & 0xffff_ffff
}

/// XGETBV.
///
/// # Errors
/// #UD with CR4.OSXSAVE = 0; #GP(0) for another register than XCR0.
pub fn xgetbv(cpu: &mut Cpu) -> Result<(), Trap> {
    require_defined(cpu.regs.cr4 & cr4::OSXSAVE != 0)?;
    require(cpu.regs.gpr[gpr::RCX] as u32 == 0, 0)?;
    let value = cpu.regs.xcr0;
    set_register(&mut cpu.regs, Register::EAX, value);
    set_register(&mut cpu.regs, Register::EDX, value >> 32);
    Ok(())
}

/// XSETBV.
///
/// # Errors
/// #UD with CR4.OSXSAVE = 0; #GP(0) at CPL > 0, for another register than XCR0, for components that
/// do not exist, and without x87 state.
pub fn xsetbv(cpu: &mut Cpu, bus: &mut dyn Bus) -> Result<(), Trap> {
    require_defined(cpu.regs.cr4 & cr4::OSXSAVE != 0)?;
    require_cpl0(&cpu.regs)?;
    require(cpu.regs.gpr[gpr::RCX] as u32 == 0, 0)?;
    let value = edx_eax(cpu);
    require(value & !XCR0_BITS == 0 && value & 1 != 0, 0)?;
    control_written(bus, "xcr0", cpu.regs.xcr0, value);
    cpu.regs.xcr0 = value;
    Ok(())
}

/// RDPKRU.
///
/// # Errors
/// #UD with CR4.PKE = 0; #GP(0) if ECX is not 0.
pub fn rdpkru(cpu: &mut Cpu) -> Result<(), Trap> {
    require_defined(cpu.regs.cr4 & cr4::PKE != 0)?;
    require(cpu.regs.gpr[gpr::RCX] as u32 == 0, 0)?;
    let value = u64::from(cpu.regs.pkru);
    set_register(&mut cpu.regs, Register::EAX, value);
    set_register(&mut cpu.regs, Register::EDX, 0);
    Ok(())
}

/// WRPKRU.
///
/// # Errors
/// #UD with CR4.PKE = 0; #GP(0) if ECX or EDX is not 0.
pub fn wrpkru(cpu: &mut Cpu, bus: &mut dyn Bus) -> Result<(), Trap> {
    require_defined(cpu.regs.cr4 & cr4::PKE != 0)?;
    let r = &cpu.regs.gpr;
    require(r[gpr::RCX] as u32 == 0 && r[gpr::RDX] as u32 == 0, 0)?;
    let new = r[gpr::RAX] as u32;
    if std::mem::replace(&mut cpu.regs.pkru, new) != new {
        bus.flush_engine_tlb();
    }
    Ok(())
}
