//! A local APIC, a clock, and the signals since they were last looked at.

use crate::arch::{CpuModel, PhysAddr, Vector, Vendor};
use crate::device::lapic::{Lapic, LapicConfig};
use crate::device::{Concern, Device, DeviceContext, Signal};
use crate::trace::Source;

#[rustfmt::skip]
pub(super) mod reg {
    pub(in super::super) const ID: u64 = 0x20;
    pub(in super::super) const TPR: u64 = 0x80;
    pub(in super::super) const PPR: u64 = 0xa0;
    pub(in super::super) const EOI: u64 = 0xb0;
    pub(in super::super) const LDR: u64 = 0xd0;
    pub(in super::super) const DFR: u64 = 0xe0;
    pub(in super::super) const SVR: u64 = 0xf0;
    pub(in super::super) const ISR: u64 = 0x100;
    pub(in super::super) const IRR: u64 = 0x200;
    pub(in super::super) const ESR: u64 = 0x280;
    pub(in super::super) const ICR: u64 = 0x300;
    pub(in super::super) const ICR_HIGH: u64 = 0x310;
    pub(in super::super) const LVT_TIMER: u64 = 0x320;
    pub(in super::super) const LVT_LINT0: u64 = 0x350;
    pub(in super::super) const LVT_ERROR: u64 = 0x370;
    pub(in super::super) const INITIAL: u64 = 0x380;
    pub(in super::super) const CURRENT: u64 = 0x390;
    pub(in super::super) const DIVIDE: u64 = 0x3e0;
}

pub(super) const MASKED: u32 = 0x1_0000;
pub(super) const APIC_BASE: u32 = 0x1b;
/// BSP, base 0xfee00000; with EN, EXTD.
pub(super) const DISABLED: u64 = 0xfee0_0100;
pub(super) const XAPIC: u64 = 0xfee0_0900;
pub(super) const X2APIC: u64 = 0xfee0_0d00;

pub(super) struct Rig {
    pub(super) lapic: Lapic,
    pub(super) now: u64,
    pub(super) signals: Vec<Signal>,
}

impl Rig {
    /// As after reset.
    pub(super) fn reset() -> Self {
        Self::with(LapicConfig::of(&CpuModel::of(Vendor::Intel)))
    }

    pub(super) fn with(config: LapicConfig) -> Self {
        Self {
            lapic: Lapic::new(config),
            now: 1000,
            signals: Vec::new(),
        }
    }

    /// Software-enabled, spurious vector 0xff, divisor 1.
    pub(super) fn enabled() -> Self {
        let mut rig = Self::reset();
        rig.write(reg::SVR, 0x1ff);
        rig.write(reg::DIVIDE, 0b1011);
        rig
    }

    /// The same in x2APIC mode, with this ID.
    pub(super) fn x2apic(id: u32) -> Self {
        let mut config = LapicConfig::of(&CpuModel::of(Vendor::Intel));
        config.id = id;
        let mut rig = Self::with(config);
        assert!(rig.wrmsr(APIC_BASE, X2APIC));
        assert!(rig.wrmsr(0x80f, 0x1ff));
        assert!(rig.wrmsr(0x83e, 0b1011));
        rig
    }

    pub(super) fn with_ctx<R>(
        &mut self,
        act: impl FnOnce(&mut Lapic, &mut DeviceContext<'_>) -> R,
    ) -> R {
        let mut ctx = DeviceContext::new(self.now, &mut self.signals);
        act(&mut self.lapic, &mut ctx)
    }

    pub(super) fn read(&mut self, offset: u64) -> u32 {
        self.read_sized(offset, 4) as u32
    }

    pub(super) fn read_sized(&mut self, offset: u64, size: u8) -> u64 {
        let at = PhysAddr((self.lapic.base() & !0xfff) + offset);
        self.with_ctx(|lapic, ctx| lapic.mmio_read(at, size, ctx))
    }

    pub(super) fn write(&mut self, offset: u64, value: u32) {
        self.write_sized(offset, 4, value.into());
    }

    pub(super) fn write_sized(&mut self, offset: u64, size: u8, value: u64) {
        let at = PhysAddr((self.lapic.base() & !0xfff) + offset);
        self.with_ctx(|lapic, ctx| lapic.mmio_write(at, size, value, ctx));
    }

    pub(super) fn rdmsr(&mut self, number: u32) -> Option<u64> {
        self.with_ctx(|lapic, ctx| lapic.msr_read(number, ctx))
    }

    pub(super) fn wrmsr(&mut self, number: u32, value: u64) -> bool {
        self.with_ctx(|lapic, ctx| lapic.msr_write(number, value, ctx))
    }

    pub(super) fn raise(&mut self, vector: u8) -> super::super::Acceptance {
        self.with_ctx(|lapic, ctx| lapic.raise_fixed(Vector(vector), Source::Schedule, ctx))
    }

    /// Goes to `now` from deadline to deadline, as the machine does, and gives the vectors that
    /// the timer raised, each with its time. Each is taken and ended at once.
    pub(super) fn run_to(&mut self, now: u64) -> Vec<(u64, u8)> {
        let mut raised = Vec::new();
        while let Some(at) = self.lapic.next_deadline().filter(|at| *at <= now) {
            assert!(
                at > self.now,
                "a deadline must lie ahead: {at} at {}",
                self.now
            );
            self.now = at;
            self.with_ctx(|lapic, ctx| lapic.tick(ctx));
            for (vector, source) in self.irqs() {
                assert_eq!(source, Source::Timer);
                raised.push((at, vector));
            }
            while self.lapic.pending_interrupt().is_some() {
                self.lapic.acknowledge();
                self.write(reg::EOI, 0);
            }
        }
        self.now = now;
        raised
    }

    /// Takes the accepted vectors out of the signals.
    pub(super) fn irqs(&mut self) -> Vec<(u8, Source)> {
        let mut irqs = Vec::new();
        self.signals.retain(|signal| match signal {
            Signal::Irq { vector, source } => {
                irqs.push((vector.0, *source));
                false
            }
            _ => true,
        });
        irqs
    }

    /// Takes all signals, which must be reports, and gives their concerns.
    pub(super) fn reports(&mut self) -> Vec<Concern> {
        self.signals
            .drain(..)
            .map(|signal| match signal {
                Signal::Report {
                    device: "lapic",
                    concern,
                    ..
                } => concern,
                other => panic!("not a report: {other:?}"),
            })
            .collect()
    }

    /// Writes ESR, then reads it, as software must.
    pub(super) fn esr(&mut self) -> u32 {
        self.write(reg::ESR, 0);
        self.read(reg::ESR)
    }

    pub(super) fn pending(&self) -> Option<u8> {
        self.lapic.pending_interrupt().map(|vector| vector.0)
    }
}
