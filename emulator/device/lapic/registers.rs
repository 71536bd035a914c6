//! The registers by address: which there are in each mode, and what reads and writes do.

use super::base::Mode;
use super::chip::Lapic;
use super::icr;
use super::lvt::LvtEntry;
use super::timer::DIVIDE_BITS;
use crate::device::DeviceContext;

/// One register. ISR, TMR and IRR are eight words each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Register {
    Id,
    Version,
    Tpr,
    Apr,
    Ppr,
    Eoi,
    RemoteRead,
    Ldr,
    Dfr,
    Svr,
    Isr(u8),
    Tmr(u8),
    Irr(u8),
    Esr,
    IcrLow,
    IcrHigh,
    Lvt(LvtEntry),
    InitialCount,
    CurrentCount,
    Divide,
    SelfIpi,
}

/// What software may do with a register in one mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rights {
    /// It does not exist.
    Reserved,
    ReadOnly,
    WriteOnly,
    ReadWrite,
}

impl Rights {
    pub(super) const fn read(self) -> bool {
        matches!(self, Self::ReadOnly | Self::ReadWrite)
    }

    pub(super) const fn write(self) -> bool {
        matches!(self, Self::WriteOnly | Self::ReadWrite)
    }
}

struct Row {
    /// Bits 11:4 of the address in the page; also the MSR's number less 0x800.
    index: u8,
    register: Register,
    xapic: Rights,
    x2apic: Rights,
}

#[rustfmt::skip]
const fn row(index: u8, register: Register, xapic: Rights, x2apic: Rights) -> Row {
    Row { index, register, xapic, x2apic }
}

/// SDM vol. 3, tables "Local APIC Register Address Map" and "Local APIC Register Address Map
/// Supported by x2APIC". The three vector sets, 0x10 to 0x27, are apart in [`find`].
#[rustfmt::skip]
const MAP: [Row; 22] = {
    use Register as R;
    use Rights::{ReadOnly as RO, ReadWrite as RW, Reserved as NO, WriteOnly as WO};
    [
        row(0x02, R::Id,           RO, RO), // xAPIC: writing is model-specific
        row(0x03, R::Version,      RO, RO),
        row(0x08, R::Tpr,          RW, RW),
        row(0x09, R::Apr,          RO, NO),
        row(0x0a, R::Ppr,          RO, RO),
        row(0x0b, R::Eoi,          WO, WO),
        row(0x0c, R::RemoteRead,   RO, NO),
        row(0x0d, R::Ldr,          RW, RO),
        row(0x0e, R::Dfr,          RW, NO),
        row(0x0f, R::Svr,          RW, RW),
        row(0x28, R::Esr,          RW, RW),
        row(0x30, R::IcrLow,       RW, RW), // x2APIC: 64 bits
        row(0x31, R::IcrHigh,      RW, NO),
        row(0x32, R::Lvt(LvtEntry::Timer),       RW, RW),
        row(0x33, R::Lvt(LvtEntry::Thermal),     RW, RW),
        row(0x34, R::Lvt(LvtEntry::Performance), RW, RW),
        row(0x35, R::Lvt(LvtEntry::Lint0),       RW, RW),
        row(0x36, R::Lvt(LvtEntry::Lint1),       RW, RW),
        row(0x37, R::Lvt(LvtEntry::Error),       RW, RW),
        row(0x38, R::InitialCount, RW, RW),
        row(0x39, R::CurrentCount, RO, RO),
        row(0x3e, R::Divide,       RW, RW),
    ]
};

/// The one register that only x2APIC has.
const SELF_IPI: u8 = 0x3f;

/// The register at `index` (see [`Row::index`]) in `mode`, and what may be done with it.
pub(super) fn find(index: u8, mode: Mode) -> Option<(Register, Rights)> {
    let word = index & 7;
    match index {
        0x10..=0x17 => return Some((Register::Isr(word), Rights::ReadOnly)),
        0x18..=0x1f => return Some((Register::Tmr(word), Rights::ReadOnly)),
        0x20..=0x27 => return Some((Register::Irr(word), Rights::ReadOnly)),
        SELF_IPI if mode == Mode::X2Apic => {
            return Some((Register::SelfIpi, Rights::WriteOnly));
        }
        _ => {}
    }
    let row = MAP.iter().find(|row| row.index == index)?;
    let rights = if mode == Mode::X2Apic {
        row.x2apic
    } else {
        row.xapic
    };
    (rights != Rights::Reserved).then_some((row.register, rights))
}

/// Integrated APIC, six LVT entries, no suppression of EOI broadcasts.
const VERSION: u32 = 0x0005_0014;
/// Vector, software enable, focus processor checking.
const SVR_WRITABLE: u32 = 0x3ff;
const DFR_WRITABLE: u32 = 0xf000_0000;
const LDR_WRITABLE: u32 = 0xff00_0000;

impl Lapic {
    /// The bits that software can write. Others are dropped in xAPIC mode, and #GP in x2APIC mode.
    pub(super) fn writable(&self, register: Register) -> u32 {
        match register {
            Register::Tpr | Register::SelfIpi => 0xff,
            Register::Ldr | Register::IcrHigh => LDR_WRITABLE,
            Register::Dfr => DFR_WRITABLE,
            Register::Svr => SVR_WRITABLE,
            Register::IcrLow => icr::WRITABLE,
            Register::Lvt(entry) => entry.writable(self.config.tsc_deadline),
            Register::InitialCount => u32::MAX,
            Register::Divide => DIVIDE_BITS,
            // EOI and ESR take any value in xAPIC mode and only 0 in x2APIC mode.
            _ => 0,
        }
    }

    /// Reads a register that may be read.
    pub(super) fn read_register(&mut self, register: Register, ctx: &mut DeviceContext<'_>) -> u32 {
        match register {
            Register::Id if self.mode() == Mode::X2Apic => self.config.id,
            Register::Id => self.config.id << 24,
            Register::Version => VERSION,
            Register::Tpr => self.tpr.into(),
            Register::Apr => self.apr().into(),
            Register::Ppr => self.ppr().into(),
            Register::Ldr if self.mode() == Mode::X2Apic => self.x2apic_ldr(),
            Register::Ldr => self.ldr,
            Register::Dfr => self.dfr,
            Register::Svr => self.svr,
            Register::Isr(word) => self.isr.word(word),
            Register::Tmr(word) => self.tmr.word(word),
            Register::Irr(word) => self.irr.word(word),
            Register::Esr => self.errors.read(),
            Register::IcrLow => self.icr as u32,
            Register::IcrHigh => (self.icr >> 32) as u32,
            Register::Lvt(entry) => self.lvt[entry as usize],
            Register::InitialCount => self.timer.initial,
            Register::CurrentCount => self.current_count(ctx),
            Register::Divide => self.timer.divide(),
            Register::Eoi | Register::RemoteRead | Register::SelfIpi => 0,
        }
    }

    /// Writes a register that may be written; `value` has only writable bits, except for EOI and
    /// ESR, which do not look at it.
    pub(super) fn write_register(
        &mut self,
        register: Register,
        value: u32,
        ctx: &mut DeviceContext<'_>,
    ) {
        match register {
            Register::Tpr => self.tpr = value as u8,
            Register::Eoi => self.eoi(),
            Register::Ldr => self.ldr = value,
            Register::Dfr => self.dfr = value | !DFR_WRITABLE,
            Register::Svr => {
                // An expiry until now is still under the old mask.
                self.settle_timer(ctx);
                self.write_svr(value);
            }
            Register::Esr => self.errors.write(),
            Register::IcrLow => {
                self.icr = self.icr & !u64::from(u32::MAX) | u64::from(value);
                self.send_ipi(ctx);
            }
            Register::IcrHigh => {
                self.icr = self.icr & u64::from(u32::MAX) | u64::from(value) << 32;
            }
            Register::Lvt(entry) => self.write_lvt(entry, value, ctx),
            Register::InitialCount => self.write_initial_count(value, ctx),
            Register::Divide => self.write_divide(value, ctx),
            Register::SelfIpi => self.self_ipi(value as u8, ctx),
            // Read-only.
            Register::Id
            | Register::Version
            | Register::Apr
            | Register::Ppr
            | Register::RemoteRead
            | Register::Isr(_)
            | Register::Tmr(_)
            | Register::Irr(_)
            | Register::CurrentCount => {}
        }
    }
}
