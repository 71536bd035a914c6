//! IA32_APIC_BASE: where the registers are, and in which mode (SDM vol. 3, "x2APIC State
//! Transitions").

use super::chip::Lapic;
use crate::arch::PAGE_SIZE;

/// BSP flag, EN, base 0xfee00000.
pub(super) const RESET: u64 = 0xfee0_0000 | BSP | EN;

const BSP: u64 = 1 << 8;
const EXTD: u64 = 1 << 10;
const EN: u64 = 1 << 11;
/// Bits below the base address.
const LOW: u64 = PAGE_SIZE - 1;

/// EN and EXTD.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// EN = 0, EXTD = 0: as if there were no local APIC.
    Disabled,
    /// EN = 1, EXTD = 0: registers in memory.
    XApic,
    /// EN = 1, EXTD = 1: registers are MSRs.
    X2Apic,
}

impl Mode {
    /// `None`: EN = 0 with EXTD = 1, which is invalid.
    const fn of(base: u64) -> Option<Self> {
        match (base & EN != 0, base & EXTD != 0) {
            (false, false) => Some(Self::Disabled),
            (true, false) => Some(Self::XApic),
            (true, true) => Some(Self::X2Apic),
            (false, true) => None,
        }
    }

    /// Whether WRMSR may go from `self` to `new`: the arrows of figure "Local x2APIC State
    /// Transitions".
    const fn may_become(self, new: Self) -> bool {
        !matches!(
            (self, new),
            (Self::Disabled, Self::X2Apic) | (Self::X2Apic, Self::XApic)
        )
    }
}

impl Lapic {
    /// The mode that IA32_APIC_BASE selects.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        match Mode::of(self.base) {
            Some(mode) => mode,
            // Never stored: `write_base` refuses it.
            None => Mode::Disabled,
        }
    }

    /// IA32_APIC_BASE.
    #[must_use]
    pub const fn base(&self) -> u64 {
        self.base
    }

    /// Stores a valid value.
    pub(super) fn set_base(&mut self, value: u64) {
        self.base = value;
        let start = value & !LOW;
        self.window = (self.mode() == Mode::XApic).then(|| start..start.saturating_add(PAGE_SIZE));
    }

    /// Whether no reserved bit is set, and the mode is one.
    pub(super) fn is_base(&self, value: u64) -> bool {
        let address = ((1 << self.config.maxphyaddr.min(52)) - 1) & !LOW;
        let extd = if self.config.x2apic { EXTD } else { 0 };
        value & !(address | BSP | EN | extd) == 0 && Mode::of(value).is_some()
    }

    /// WRMSR to IA32_APIC_BASE. `false`: #GP(0), for a reserved bit, the invalid state, or a
    /// transition that is not allowed.
    pub(super) fn write_base(&mut self, value: u64) -> bool {
        if !self.is_base(value) {
            return false;
        }
        let old = self.mode();
        let Some(new) = Mode::of(value).filter(|new| old.may_become(*new)) else {
            return false;
        };
        self.set_base(value);
        match (old, new) {
            (_, Mode::Disabled) => self.reset_registers(),
            // "Any value written to the memory-mapped high 32 bits of the ICR is not preserved."
            (Mode::XApic, Mode::X2Apic) => self.icr &= u64::from(u32::MAX),
            _ => {}
        }
        true
    }
}
