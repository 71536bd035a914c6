//! LAR, LSL, VERR, VERW: they answer in ZF, and fault only for their operand and the table
//! (SDM vol. 2; vol. 3, 5.10).

use iced_x86::{Instruction, Mnemonic};

use super::memory::source_u16;
use super::operand::set_register;
use crate::arch::bits::rflags;
use crate::arch::descriptor::system_type;
use crate::arch::{CpuState, Descriptor, Exception, Selector, Trap};
use crate::system::{Bus, Cpu};

/// System descriptor types that LAR accepts in IA-32e mode (SDM vol. 2, table 3-53).
const LAR_TYPES: [u8; 4] = [
    system_type::LDT,
    system_type::TSS_AVAILABLE,
    system_type::TSS_BUSY,
    system_type::CALL_GATE,
];

/// System descriptor types that LSL accepts in IA-32e mode (SDM vol. 2, table 3-60).
const LSL_TYPES: [u8; 3] = [
    system_type::LDT,
    system_type::TSS_AVAILABLE,
    system_type::TSS_BUSY,
];

/// The descriptor, if there is one that the CPL and RPL may see.
fn visible(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    selector: u16,
) -> Result<Option<Descriptor>, Exception> {
    let found = cpu.read_descriptor(bus, selector)?;
    let (cpl, rpl) = (cpu.regs.cpl, Selector(selector).rpl());
    Ok(found.filter(|d| d.is_conforming() || (cpl <= d.dpl() && rpl <= d.dpl())))
}

fn set_zf(regs: &mut CpuState, zf: bool) {
    regs.rflags &= !rflags::ZF;
    if zf {
        regs.rflags |= rflags::ZF;
    }
}

/// LAR: the type, S, DPL, P, AVL, L, D/B and G bits of a descriptor, in place.
///
/// # Errors
/// Faults of the operand; #PF of the table.
pub fn lar(cpu: &mut Cpu, bus: &mut dyn Bus, insn: &Instruction) -> Result<(), Trap> {
    let selector = source_u16(cpu, bus, insn, 1)?;
    let found =
        visible(cpu, bus, selector)?.filter(|d| !d.is_system() || LAR_TYPES.contains(&d.kind()));
    if let Some(d) = found {
        set_register(&mut cpu.regs, insn.op0_register(), u64::from(d.attr()));
    }
    set_zf(&mut cpu.regs, found.is_some());
    Ok(())
}

/// LSL: the limit in bytes.
///
/// # Errors
/// As [`lar`].
pub fn lsl(cpu: &mut Cpu, bus: &mut dyn Bus, insn: &Instruction) -> Result<(), Trap> {
    let selector = source_u16(cpu, bus, insn, 1)?;
    let found =
        visible(cpu, bus, selector)?.filter(|d| !d.is_system() || LSL_TYPES.contains(&d.kind()));
    if let Some(d) = found {
        set_register(&mut cpu.regs, insn.op0_register(), u64::from(d.limit()));
    }
    set_zf(&mut cpu.regs, found.is_some());
    Ok(())
}

/// VERR and VERW.
///
/// # Errors
/// As [`lar`].
pub fn verify(cpu: &mut Cpu, bus: &mut dyn Bus, insn: &Instruction) -> Result<(), Trap> {
    let selector = source_u16(cpu, bus, insn, 0)?;
    let found = visible(cpu, bus, selector)?;
    let zf = match insn.mnemonic() {
        Mnemonic::Verr => found.is_some_and(Descriptor::is_readable),
        _ => found.is_some_and(Descriptor::is_writable),
    };
    set_zf(&mut cpu.regs, zf);
    Ok(())
}
