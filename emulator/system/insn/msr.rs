//! RDMSR and WRMSR over a table of registers (SDM vol. 4, chapter 2; vol. 2, WRMSR).

use super::checks::{is_canonical_base, require, require_cpl0};
use super::operand::set_register;
use crate::arch::bits::{cr0, efer, msr};
use crate::arch::state::gpr;
use crate::arch::{Exception, Hex, SegReg, Trap, Vendor};
use crate::system::insn::counter::time_stamp;
use crate::system::{Bus, Cpu};
use crate::trace::{Direction, EventClass, EventKind};
use iced_x86::Register;

/// What WRMSR accepts.
#[derive(Clone, Copy)]
enum Write {
    /// These bits; a 1 in another raises #GP(0).
    Bits(u64),
    /// These bits; others are dropped.
    Truncate(u64),
    /// A canonical address.
    Canonical,
    /// Eight memory types (SDM vol. 3, 12.12.2): 2, 3 and above 7 raise #GP(0).
    MemoryTypes,
    /// Nothing: always #GP(0).
    Nothing,
    /// By [`write_efer`].
    Efer,
    /// By [`write_time_stamp`].
    TimeStamp,
    /// By [`write_time_stamp_adjust`].
    TimeStampAdjust,
}

/// One register.
struct Row {
    number: u32,
    /// Whether this CPU has it.
    present: fn(&Cpu) -> bool,
    /// Where it is stored; `None`: it reads as 0, or by a rule of its own.
    slot: Option<fn(&mut Cpu) -> &mut u64>,
    write: Write,
}

const fn row(number: u32, slot: fn(&mut Cpu) -> &mut u64, write: Write) -> Row {
    Row {
        number,
        present: |_| true,
        slot: Some(slot),
        write,
    }
}

#[rustfmt::skip]
const TABLE: &[Row] = &[
    Row { number: msr::TSC, present: |_| true, slot: None, write: Write::TimeStamp },
    row(msr::TSC_ADJUST, |c| &mut c.regs.msr.tsc_adjust, Write::TimeStampAdjust),
    // Bits 63:16 are "not used", which is not "reserved".
    row(msr::SYSENTER_CS, |c| &mut c.regs.msr.sysenter_cs, Write::Truncate(0xffff_ffff)),
    row(msr::SYSENTER_ESP, |c| &mut c.regs.msr.sysenter_esp, Write::Canonical),
    row(msr::SYSENTER_EIP, |c| &mut c.regs.msr.sysenter_eip, Write::Canonical),
    // No banks.
    Row { number: msr::MCG_CAP, present: |_| true, slot: None, write: Write::Nothing },
    // RIPV, EIPV, MCIP.
    row(msr::MCG_STATUS, |c| &mut c.regs.msr.mcg_status, Write::Bits(0b111)),
    // Fast strings only; Intel's alone.
    Row {
        number: msr::MISC_ENABLE,
        present: |c| c.model.vendor == Vendor::Intel,
        slot: Some(|c| &mut c.regs.msr.misc_enable),
        write: Write::Bits(1),
    },
    row(msr::PAT, |c| &mut c.regs.msr.pat, Write::MemoryTypes),
    row(msr::EFER, |c| &mut c.regs.msr.efer, Write::Efer),
    row(msr::STAR, |c| &mut c.regs.msr.star, Write::Bits(u64::MAX)),
    row(msr::LSTAR, |c| &mut c.regs.msr.lstar, Write::Canonical),
    row(msr::CSTAR, |c| &mut c.regs.msr.cstar, Write::Canonical),
    row(msr::SFMASK, |c| &mut c.regs.msr.sfmask, Write::Bits(0xffff_ffff)),
    row(msr::FS_BASE, |c| &mut c.regs.segment_mut(SegReg::Fs).base, Write::Canonical),
    row(msr::GS_BASE, |c| &mut c.regs.segment_mut(SegReg::Gs).base, Write::Canonical),
    row(msr::KERNEL_GS_BASE, |c| &mut c.regs.msr.kernel_gs_base, Write::Canonical),
    Row {
        number: msr::TSC_AUX,
        present: |c| c.model.features.rdtscp,
        slot: Some(|c| &mut c.regs.msr.tsc_aux),
        write: Write::Bits(0xffff_ffff),
    },
];

fn find(cpu: &Cpu, number: u32) -> Result<&'static Row, Exception> {
    TABLE
        .iter()
        .find(|row| row.number == number && (row.present)(cpu))
        .ok_or(Exception::gp(0))
}

/// Whether the local APIC answers for `number`.
const fn belongs_to_apic(number: u32) -> bool {
    matches!(
        number,
        msr::APIC_BASE | msr::TSC_DEADLINE | msr::X2APIC_FIRST..=msr::X2APIC_LAST
    )
}

/// The value of an MSR.
///
/// # Errors
/// #GP(0) if this CPU has no such register.
pub fn read_msr(cpu: &mut Cpu, bus: &mut dyn Bus, number: u32) -> Result<u64, Exception> {
    if belongs_to_apic(number) {
        return bus.apic_msr_read(number).ok_or(Exception::gp(0));
    }
    let row = find(cpu, number)?;
    Ok(match (row.write, row.slot) {
        (Write::TimeStamp, _) => time_stamp(cpu, bus),
        (_, Some(slot)) => *slot(cpu),
        (_, None) => 0,
    })
}

/// Writes an MSR.
///
/// # Errors
/// #GP(0) if this CPU has no such register, or for a value that it does not take.
pub fn write_msr(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    number: u32,
    value: u64,
) -> Result<(), Exception> {
    if belongs_to_apic(number) {
        return require(bus.apic_msr_write(number, value), 0);
    }
    let row = find(cpu, number)?;
    let stored = match row.write {
        Write::Bits(mask) => {
            require(value & !mask == 0, 0)?;
            value
        }
        Write::Truncate(mask) => value & mask,
        Write::Canonical => {
            require(is_canonical_base(cpu, value), 0)?;
            value
        }
        Write::MemoryTypes => {
            let valid = value
                .to_le_bytes()
                .iter()
                .all(|t| matches!(t, 0 | 1 | 4..=7));
            require(valid, 0)?;
            value
        }
        Write::Nothing => return Err(Exception::gp(0)),
        Write::Efer => return write_efer(cpu, bus, value),
        Write::TimeStamp => {
            write_time_stamp(cpu, bus, value);
            return Ok(());
        }
        Write::TimeStampAdjust => {
            write_time_stamp_adjust(cpu, value);
            return Ok(());
        }
    };
    if let Some(slot) = row.slot {
        *slot(cpu) = stored;
    }
    Ok(())
}

/// IA32_EFER: bits of absent features are reserved, LMA is read-only, LME cannot change while
/// paging is on (SDM vol. 3, 2.2.1; vol. 4, table 2-2).
fn write_efer(cpu: &mut Cpu, bus: &mut dyn Bus, value: u64) -> Result<(), Exception> {
    let features = &cpu.model.features;
    let mut writable = efer::LME;
    if features.syscall {
        writable |= efer::SCE;
    }
    if features.nx {
        writable |= efer::NXE;
    }
    require(value & !(writable | efer::LMA) == 0, 0)?;
    let old = cpu.regs.msr.efer;
    let paging = cpu.regs.cr0 & cr0::PG != 0;
    require(!paging || (old ^ value) & efer::LME == 0, 0)?;
    cpu.regs.msr.efer = value & writable | old & efer::LMA;
    if (old ^ value) & efer::NXE != 0 {
        bus.flush_engine_tlb();
    }
    Ok(())
}

/// A write to the counter moves IA32_TSC_ADJUST by as much (SDM vol. 3, 18.17.3).
fn write_time_stamp(cpu: &mut Cpu, bus: &dyn Bus, value: u64) {
    let moved = value.wrapping_sub(time_stamp(cpu, bus));
    let m = &mut cpu.regs.msr;
    m.tsc_offset = m.tsc_offset.wrapping_add(moved);
    m.tsc_adjust = m.tsc_adjust.wrapping_add(moved);
}

/// A write to IA32_TSC_ADJUST moves the counter by as much (SDM vol. 3, 18.17.3).
fn write_time_stamp_adjust(cpu: &mut Cpu, value: u64) {
    let m = &mut cpu.regs.msr;
    let moved = value.wrapping_sub(m.tsc_adjust);
    m.tsc_offset = m.tsc_offset.wrapping_add(moved);
    m.tsc_adjust = value;
}

fn accessed(bus: &mut dyn Bus, number: u32, direction: Direction, value: u64) {
    if bus.wants(EventClass::REG) {
        bus.emit(EventKind::Msr {
            number: Hex(u64::from(number)),
            direction,
            value: Hex(value),
        });
    }
}

/// RDMSR.
///
/// # Errors
/// #GP(0) at CPL > 0, or for an unknown register.
pub fn rdmsr(cpu: &mut Cpu, bus: &mut dyn Bus) -> Result<(), Trap> {
    require_cpl0(&cpu.regs)?;
    let number = cpu.regs.gpr[gpr::RCX] as u32;
    let value = read_msr(cpu, bus, number)?;
    set_register(&mut cpu.regs, Register::EAX, value);
    set_register(&mut cpu.regs, Register::EDX, value >> 32);
    accessed(bus, number, Direction::Read, value);
    Ok(())
}

/// WRMSR.
///
/// # Errors
/// #GP(0) at CPL > 0, for an unknown register, or for a value that it does not take.
pub fn wrmsr(cpu: &mut Cpu, bus: &mut dyn Bus) -> Result<(), Trap> {
    require_cpl0(&cpu.regs)?;
    let r = &cpu.regs.gpr;
    let number = r[gpr::RCX] as u32;
    let value = r[gpr::RDX] << 32 | r[gpr::RAX] & 0xffff_ffff;
    write_msr(cpu, bus, number, value)?;
    accessed(bus, number, Direction::Write, value);
    Ok(())
}
