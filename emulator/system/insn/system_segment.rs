//! LLDT, LTR, SLDT, STR, LGDT, LIDT, SGDT, SIDT (SDM vol. 2; vol. 3, 2.4 and 7.2.3).

use iced_x86::{Code, Instruction, Mnemonic};

use super::checks::{is_canonical_base, require, require_cpl0, require_umip_allows};
use super::memory::{load, require_memory, source_u16, store, store_word_or_register};
use crate::arch::descriptor::system_type;
use crate::arch::{Exception, Segment, Selector, SystemDescriptor, TableRegister, Trap, Vector};
use crate::system::{Bus, Cpu};

/// The 16-byte descriptor of a GDT selector, after all checks for LDTR or TR.
fn checked_descriptor(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    selector: Selector,
    kind: u8,
) -> Result<SystemDescriptor, Exception> {
    let code = selector.error_code();
    require(!selector.is_local(), code)?;
    let d = cpu
        .read_system_descriptor(bus, selector.0)?
        .ok_or(Exception::gp(code))?;
    require(d.low.is_system() && d.low.kind() == kind, code)?;
    require(d.upper_type() == 0, code)?;
    if !d.low.present() {
        return Err(Exception::with_code(Vector::NP, code));
    }
    require(is_canonical_base(cpu, d.base()), code)?;
    Ok(d)
}

/// LLDT. A null selector makes LDTR unusable.
///
/// # Errors
/// #GP(0) at CPL > 0; #GP or #NP of the selector; faults of the operand and of the GDT.
pub fn lldt(cpu: &mut Cpu, bus: &mut dyn Bus, insn: &Instruction) -> Result<(), Trap> {
    require_cpl0(&cpu.regs)?;
    let selector = Selector(source_u16(cpu, bus, insn, 0)?);
    cpu.regs.ldtr = if selector.is_null() {
        Segment::null(selector.0)
    } else {
        checked_descriptor(cpu, bus, selector, system_type::LDT)?.segment(selector.0)
    };
    Ok(())
}

/// LTR: the TSS must be available, and becomes busy.
///
/// # Errors
/// #GP(0) at CPL > 0 and for a null selector; #GP or #NP of the selector; faults of the operand and
/// of the GDT.
pub fn ltr(cpu: &mut Cpu, bus: &mut dyn Bus, insn: &Instruction) -> Result<(), Trap> {
    require_cpl0(&cpu.regs)?;
    let selector = Selector(source_u16(cpu, bus, insn, 0)?);
    require(!selector.is_null(), 0)?;
    let d = checked_descriptor(cpu, bus, selector, system_type::TSS_AVAILABLE)?;
    cpu.regs.tr = cpu.set_busy(bus, selector.0, d)?.segment(selector.0);
    Ok(())
}

/// SLDT and STR.
///
/// # Errors
/// #GP(0) by CR4.UMIP; faults of the operand.
pub fn store_selector(cpu: &mut Cpu, bus: &mut dyn Bus, insn: &Instruction) -> Result<(), Trap> {
    require_umip_allows(&cpu.regs)?;
    let selector = match insn.mnemonic() {
        Mnemonic::Sldt => cpu.regs.ldtr.selector,
        _ => cpu.regs.tr.selector,
    };
    Ok(store_word_or_register(cpu, bus, insn, selector.into())?)
}

/// Bytes of the base in the operand of LGDT and its like.
fn base_size(cpu: &Cpu) -> usize {
    if cpu.regs.is_64bit() { 8 } else { 4 }
}

/// SGDT and SIDT: the limit, then the base.
///
/// # Errors
/// #GP(0) by CR4.UMIP; faults of the operand.
pub fn store_table(cpu: &mut Cpu, bus: &mut dyn Bus, insn: &Instruction) -> Result<(), Trap> {
    require_umip_allows(&cpu.regs)?;
    let table = match insn.mnemonic() {
        Mnemonic::Sgdt => cpu.regs.gdtr,
        _ => cpu.regs.idtr,
    };
    let at = require_memory(&cpu.regs, insn)?;
    let mut bytes = [0; 10];
    bytes[..2].copy_from_slice(&table.limit.to_le_bytes());
    bytes[2..].copy_from_slice(&table.base.to_le_bytes());
    let size = 2 + base_size(cpu);
    Ok(store(cpu, bus, &at, &bytes[..size])?)
}

/// LGDT and LIDT.
///
/// # Errors
/// #GP(0) at CPL > 0, and for a base that is not canonical; faults of the operand.
pub fn load_table(cpu: &mut Cpu, bus: &mut dyn Bus, insn: &Instruction) -> Result<(), Trap> {
    require_cpl0(&cpu.regs)?;
    let at = require_memory(&cpu.regs, insn)?;
    let mut bytes = [0; 10];
    let size = 2 + base_size(cpu);
    load(cpu, bus, &at, &mut bytes[..size])?;
    let [l0, l1, base @ ..] = bytes;
    let mut base = u64::from_le_bytes(base);
    if matches!(insn.code(), Code::Lgdt_m1632_16 | Code::Lidt_m1632_16) {
        base &= 0x00ff_ffff;
    }
    require(is_canonical_base(cpu, base), 0)?;
    let table = TableRegister {
        base,
        limit: u16::from_le_bytes([l0, l1]),
    };
    match insn.mnemonic() {
        Mnemonic::Lgdt => cpu.regs.gdtr = table,
        _ => cpu.regs.idtr = table,
    }
    Ok(())
}
