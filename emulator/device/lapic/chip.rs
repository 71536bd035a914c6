//! The local APIC's registers and their values after reset.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::clock::TscClock;
use super::errors::ErrorStatus;
use super::lvt::{LVT_ENTRIES, MASKED};
use super::timer::Timer;
use super::vectors::VectorSet;
use crate::arch::{CpuModel, Vendor};

/// What is fixed about a local APIC.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LapicConfig {
    /// The x2APIC ID; its low 8 bits are the xAPIC ID.
    pub id: u32,
    /// IA32_APIC_BASE.EXTD exists (CPUID.01H:ECX.x2APIC).
    pub x2apic: bool,
    /// IA32_TSC_DEADLINE and the timer's mode exist (CPUID.01H:ECX.TSC_Deadline).
    pub tsc_deadline: bool,
    /// Whose rules hold where they differ.
    pub vendor: Vendor,
    /// Bits of a physical address, 32 to 52: bounds IA32_APIC_BASE.
    pub maxphyaddr: u8,
}

impl LapicConfig {
    /// The local APIC of CPU 0 of this model. TSC-deadline mode is Intel's.
    #[must_use]
    pub fn of(model: &CpuModel) -> Self {
        Self {
            id: 0,
            x2apic: model.features.x2apic,
            tsc_deadline: model.vendor == Vendor::Intel,
            vendor: model.vendor,
            maxphyaddr: model.maxphyaddr,
        }
    }
}

/// A local APIC. Never holds a vector below 16 in IRR or ISR.
///
/// Timing: the timer's input clock ticks once in each retired instruction. A count of `n` that is
/// written by the instruction at virtual time `t` reaches 0 at `t + n * divisor`.
///
/// Choices where the manuals leave one: the ID register is read-only; IPIs of lowest priority are
/// not supported (ESR "redirectable IPI"); EOI broadcasts cannot be suppressed; there is no LVT
/// CMCI; PPR\[3:0\] is TPR\[3:0\] if the classes of TPR and ISR are equal.
///
/// Not modelled: LINT0, LINT1, thermal and performance interrupts (their LVT entries can be
/// programmed, but nothing drives them), INIT and SMI to itself, other processors.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lapic {
    pub(super) config: LapicConfig,
    pub(super) clock: TscClock,
    /// IA32_APIC_BASE.
    pub(super) base: u64,
    /// The register page, while it is there: follows from `base`.
    pub(super) window: Option<Range<u64>>,
    pub(super) irr: VectorSet,
    pub(super) isr: VectorSet,
    pub(super) tmr: VectorSet,
    pub(super) tpr: u8,
    pub(super) svr: u32,
    /// In xAPIC mode; in x2APIC mode it follows from the ID.
    pub(super) ldr: u32,
    pub(super) dfr: u32,
    /// Destination in 63:32, as x2APIC has it; in xAPIC mode 63:56 only.
    pub(super) icr: u64,
    pub(super) errors: ErrorStatus,
    pub(super) lvt: [u32; LVT_ENTRIES],
    pub(super) timer: Timer,
}

/// SVR: APIC software enable.
pub(super) const SVR_ENABLE: u32 = 1 << 8;

impl Lapic {
    /// A local APIC after power-up: xAPIC mode at 0xfee00000, software-disabled.
    #[must_use]
    pub fn new(config: LapicConfig) -> Self {
        let mut lapic = Self {
            config,
            clock: TscClock::default(),
            base: 0,
            window: None,
            irr: VectorSet::default(),
            isr: VectorSet::default(),
            tmr: VectorSet::default(),
            tpr: 0,
            svr: 0xff,
            ldr: 0,
            dfr: u32::MAX,
            icr: 0,
            errors: ErrorStatus::default(),
            lvt: [MASKED; LVT_ENTRIES],
            timer: Timer::default(),
        };
        lapic.set_base(super::base::RESET);
        lapic
    }

    /// Whether `like`, one of the same kind, can come to this state.
    pub(super) fn can_be(&self, like: &Self) -> bool {
        let sets = [&self.irr, &self.isr, &self.tmr];
        let mut based = self.clone();
        based.set_base(self.base);
        (&self.config, self.clock) == (&like.config, like.clock)
            && self.is_base(self.base)
            && self.window == based.window
            && sets.iter().all(|set| set.is_legal())
            && self.timer.can_be()
    }

    /// Every register as after power-up, but not IA32_APIC_BASE (SDM vol. 3, "Local APIC State
    /// After Power-Up or Reset").
    pub(super) fn reset_registers(&mut self) {
        *self = Self {
            clock: self.clock,
            base: self.base,
            window: self.window.clone(),
            ..Self::new(self.config.clone())
        };
    }

    /// Whether software has enabled it in SVR. If not, it accepts no fixed interrupt and every LVT
    /// entry is masked; what IRR holds is still delivered, and IPIs and NMIs pass.
    #[must_use]
    pub const fn software_enabled(&self) -> bool {
        self.svr & SVR_ENABLE != 0
    }

    /// What is fixed about it.
    #[must_use]
    pub const fn config(&self) -> &LapicConfig {
        &self.config
    }

    /// Its page of registers in physical memory, which goes before RAM: in xAPIC mode only.
    #[must_use]
    pub fn window(&self) -> Option<Range<u64>> {
        self.window.clone()
    }

    /// Writes SVR. Clearing the enable bit masks every LVT entry (SDM vol. 3, "Local APIC State
    /// After It Has Been Software Disabled").
    pub(super) fn write_svr(&mut self, value: u32) {
        self.svr = value;
        if !self.software_enabled() {
            self.lvt.iter_mut().for_each(|entry| *entry |= MASKED);
        }
    }
}
