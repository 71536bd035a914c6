//! The local vector table (SDM vol. 3, "Local Vector Table").

use super::chip::Lapic;

/// One entry of the table; the number is the index among the registers from 0x320 on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LvtEntry {
    Timer = 0,
    Thermal = 1,
    Performance = 2,
    Lint0 = 3,
    Lint1 = 4,
    Error = 5,
}

pub(super) const LVT_ENTRIES: usize = 6;

/// The mask bit, the same in every entry.
pub(super) const MASKED: u32 = 1 << 16;

/// Bits 7:0.
const VECTOR: u32 = 0xff;
/// Bits 10:8.
const DELIVERY_MODE: u32 = 7 << 8;
/// Bits 13 and 15: input pin polarity, trigger mode. Remote IRR (14) and delivery status (12) are
/// read-only, and 0 since no level-triggered input exists.
const PIN: u32 = 1 << 13 | 1 << 15;
/// Bits 18:17, the second only with TSC-deadline mode.
const PERIODIC: u32 = 1 << 17;
const TSC_DEADLINE: u32 = 1 << 18;

/// What the two bits of the timer's entry say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TimerMode {
    OneShot,
    Periodic,
    TscDeadline,
    /// Both bits set. The timer stands still.
    Reserved,
}

impl TimerMode {
    /// Whether the initial count drives the timer.
    pub(super) const fn counts(self) -> bool {
        matches!(self, Self::OneShot | Self::Periodic)
    }
}

impl LvtEntry {
    /// The bits that software can write.
    pub(super) const fn writable(self, tsc_deadline: bool) -> u32 {
        VECTOR
            | MASKED
            | match self {
                Self::Timer if tsc_deadline => PERIODIC | TSC_DEADLINE,
                Self::Timer => PERIODIC,
                Self::Thermal | Self::Performance => DELIVERY_MODE,
                Self::Lint0 | Self::Lint1 => DELIVERY_MODE | PIN,
                Self::Error => 0,
            }
    }
}

impl Lapic {
    pub(super) const fn masked(&self, entry: LvtEntry) -> bool {
        self.lvt[entry as usize] & MASKED != 0
    }

    pub(super) const fn vector(&self, entry: LvtEntry) -> u8 {
        self.lvt[entry as usize] as u8
    }

    pub(super) const fn timer_mode(&self) -> TimerMode {
        let entry = self.lvt[LvtEntry::Timer as usize];
        match (entry & TSC_DEADLINE != 0, entry & PERIODIC != 0) {
            (false, false) => TimerMode::OneShot,
            (false, true) => TimerMode::Periodic,
            (true, false) => TimerMode::TscDeadline,
            (true, true) => TimerMode::Reserved,
        }
    }

    /// Stores an entry. While the APIC is software-disabled the mask bit cannot be cleared.
    pub(super) const fn store_lvt(&mut self, entry: LvtEntry, value: u32) {
        let forced = if self.software_enabled() { 0 } else { MASKED };
        self.lvt[entry as usize] = value & entry.writable(self.config.tsc_deadline) | forced;
    }
}
