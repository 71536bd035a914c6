//! MOV to and from CR0, CR2, CR3, CR4 and CR8; CLTS, LMSW, SMSW (SDM vol. 2; vol. 3, 2.5 and 4.10.4).

use iced_x86::{Instruction, Register};

use super::checks::{require, require_cpl0, require_umip_allows};
use super::memory::{source_u16, store_word_or_register};
use super::operand::{register, set_register};
use crate::arch::bits::{cr0, cr3, cr4, efer};
use crate::arch::{Exception, Features, Hex, Trap, VirtAddr};
use crate::system::{Bus, Cpu};
use crate::trace::{EventClass, EventKind};

/// The CR0 bits that exist; ET is 1 whatever is written, others stay 0 (SDM vol. 3, 2.5).
const CR0_BITS: u64 = cr0::PE
    | cr0::MP
    | cr0::EM
    | cr0::TS
    | cr0::NE
    | cr0::WP
    | cr0::AM
    | cr0::NW
    | cr0::CD
    | cr0::PG;

/// Whether a feature is in the model.
type Present = fn(&Features) -> bool;

/// CR4 bits, and what must be in the model for them to be writable. VME and PVI are not here:
/// virtual-8086 mode is not modelled, and CPUID says so.
#[rustfmt::skip]
const CR4_BITS: &[(u64, Present)] = &[
    (cr4::TSD, |_| true),
    (cr4::DE, |_| true),
    (cr4::PSE, |_| true),
    (cr4::PAE, |_| true),
    (cr4::MCE, |_| true),
    (cr4::PGE, |f| f.pge),
    (cr4::PCE, |_| true),
    (cr4::OSFXSR, |_| true),
    (cr4::OSXMMEXCPT, |_| true),
    (cr4::UMIP, |f| f.umip),
    (cr4::LA57, |f| f.la57),
    (cr4::FSGSBASE, |f| f.fsgsbase),
    (cr4::PCIDE, |f| f.pcid),
    (cr4::SMEP, |f| f.smep),
    (cr4::SMAP, |f| f.smap),
    (cr4::PKE, |f| f.pku),
    (cr4::LASS, |f| f.lass),
];

/// The CR4 bits that this model lets software set.
#[must_use]
pub fn cr4_writable(features: &Features) -> u64 {
    CR4_BITS
        .iter()
        .filter(|(_, present)| present(features))
        .fold(0, |all, (bit, _)| all | bit)
}

/// Emits the write of a control or debug register.
pub fn control_written(bus: &mut dyn Bus, name: &str, old: u64, new: u64) {
    if bus.wants(EventClass::REG) {
        bus.emit(EventKind::ControlWrite {
            register: name.to_owned(),
            old: Hex(old),
            new: Hex(new),
        });
    }
}

/// MOV r, CRn.
///
/// # Errors
/// #UD for a register that does not exist; #GP(0) at CPL > 0.
pub fn mov_from_cr(cpu: &mut Cpu, bus: &mut dyn Bus, insn: &Instruction) -> Result<(), Trap> {
    let source = insn.op1_register();
    if !is_control(source) {
        return Err(Exception::ud().into());
    }
    require_cpl0(&cpu.regs)?;
    let value = match source {
        Register::CR0 => cpu.regs.cr0,
        Register::CR2 => {
            if bus.wants(EventClass::REG) {
                bus.emit(EventKind::Cr2Read {
                    value: VirtAddr(cpu.regs.cr2),
                });
            }
            cpu.regs.cr2
        }
        Register::CR3 => cpu.regs.cr3,
        Register::CR4 => cpu.regs.cr4,
        _ => u64::from(bus.tpr()),
    };
    set_register(&mut cpu.regs, insn.op0_register(), value);
    Ok(())
}

/// MOV CRn, r.
///
/// # Errors
/// #UD for a register that does not exist; #GP(0) at CPL > 0, for reserved bits and for combinations
/// that are not allowed; not modelled: leaving long mode.
pub fn mov_to_cr(cpu: &mut Cpu, bus: &mut dyn Bus, insn: &Instruction) -> Result<(), Trap> {
    let target = insn.op0_register();
    if !is_control(target) {
        return Err(Exception::ud().into());
    }
    require_cpl0(&cpu.regs)?;
    let value = register(&cpu.regs, insn.op1_register());
    match target {
        Register::CR0 => write_cr0(cpu, bus, value),
        Register::CR2 => {
            control_written(bus, "cr2", cpu.regs.cr2, value);
            cpu.regs.cr2 = value;
            Ok(())
        }
        Register::CR3 => Ok(write_cr3(cpu, bus, value)?),
        Register::CR4 => Ok(write_cr4(cpu, bus, value)?),
        _ => {
            require(value >> 4 == 0, 0)?;
            let old = u64::from(bus.tpr());
            control_written(bus, "cr8", old, value);
            bus.set_tpr(value as u8);
            Ok(())
        }
    }
}

fn is_control(r: Register) -> bool {
    matches!(
        r,
        Register::CR0 | Register::CR2 | Register::CR3 | Register::CR4 | Register::CR8
    )
}

fn write_cr0(cpu: &mut Cpu, bus: &mut dyn Bus, value: u64) -> Result<(), Trap> {
    let has = |bit| value & bit != 0;
    require(value >> 32 == 0, 0)?;
    require(has(cr0::PE) || !has(cr0::PG), 0)?;
    require(has(cr0::CD) || !has(cr0::NW), 0)?;
    let old = cpu.regs.cr0;
    if old & cr0::PG != 0 && !has(cr0::PG) {
        // SDM vol. 2, MOV CR: #GP in 64-bit mode, and with PCIDE anywhere.
        require(!cpu.regs.is_64bit() && cpu.regs.cr4 & cr4::PCIDE == 0, 0)?;
        return Err(Trap::NotModelled(
            "CR0.PG is cleared: leaving long mode".to_owned(),
        ));
    }
    if cpu.regs.msr.efer & efer::LMA == 0 {
        return Err(Trap::NotModelled(
            "CR0 is written outside long mode".to_owned(),
        ));
    }
    commit_cr0(cpu, bus, value & CR0_BITS | cr0::ET);
    Ok(())
}

fn commit_cr0(cpu: &mut Cpu, bus: &mut dyn Bus, new: u64) {
    let (old, cr4) = (cpu.regs.cr0, cpu.regs.cr4);
    control_written(bus, "cr0", old, new);
    cpu.regs.cr0 = new;
    cpu.control_changed(bus, old, cr4);
}

fn write_cr3(cpu: &mut Cpu, bus: &mut dyn Bus, value: u64) -> Result<(), Exception> {
    let mut reserved = !0 << cpu.model.maxphyaddr.min(63);
    if cpu.regs.cr4 & cr4::PCIDE != 0 {
        reserved &= !cr3::NO_FLUSH;
    }
    require(value & reserved == 0, 0)?;
    control_written(bus, "cr3", cpu.regs.cr3, value & !cr3::NO_FLUSH);
    cpu.load_cr3(bus, value);
    Ok(())
}

fn write_cr4(cpu: &mut Cpu, bus: &mut dyn Bus, value: u64) -> Result<(), Exception> {
    require(value & !cr4_writable(&cpu.model.features) == 0, 0)?;
    let old = cpu.regs.cr4;
    let lma = cpu.regs.msr.efer & efer::LMA != 0;
    if lma {
        require(value & cr4::PAE != 0, 0)?;
        require((old ^ value) & cr4::LA57 == 0, 0)?;
    }
    if value & !old & cr4::PCIDE != 0 {
        require(lma && cpu.regs.cr3 & cr3::PCID == 0, 0)?;
    }
    control_written(bus, "cr4", old, value);
    let cr0 = cpu.regs.cr0;
    cpu.regs.cr4 = value;
    cpu.control_changed(bus, cr0, old);
    Ok(())
}

/// CLTS.
///
/// # Errors
/// #GP(0) at CPL > 0.
pub fn clts(cpu: &mut Cpu, bus: &mut dyn Bus) -> Result<(), Trap> {
    require_cpl0(&cpu.regs)?;
    commit_cr0(cpu, bus, cpu.regs.cr0 & !cr0::TS);
    Ok(())
}

/// LMSW: loads PE, MP, EM and TS; PE cannot be cleared.
///
/// # Errors
/// #GP(0) at CPL > 0; faults of the operand.
pub fn lmsw(cpu: &mut Cpu, bus: &mut dyn Bus, insn: &Instruction) -> Result<(), Trap> {
    require_cpl0(&cpu.regs)?;
    let source = u64::from(source_u16(cpu, bus, insn, 0)?);
    let loaded = cr0::PE | cr0::MP | cr0::EM | cr0::TS;
    let old = cpu.regs.cr0;
    commit_cr0(cpu, bus, old & !loaded | source & loaded | old & cr0::PE);
    Ok(())
}

/// SMSW: CR0 to a register of any width, or its low word to memory.
///
/// # Errors
/// #GP(0) by CR4.UMIP; faults of the operand.
pub fn smsw(cpu: &mut Cpu, bus: &mut dyn Bus, insn: &Instruction) -> Result<(), Trap> {
    require_umip_allows(&cpu.regs)?;
    let value = cpu.regs.cr0;
    Ok(store_word_or_register(cpu, bus, insn, value)?)
}
