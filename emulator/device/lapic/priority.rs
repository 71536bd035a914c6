//! Acceptance, priority and end of interrupts (SDM vol. 3, "Handling Interrupts").

use super::base::Mode;
use super::chip::Lapic;
use super::errors::esr;
use crate::arch::Vector;
use crate::device::{DeviceContext, Signal};
use crate::trace::Source;

/// What became of a fixed interrupt that arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acceptance {
    /// Its IRR bit is set now.
    Accepted,
    /// Its IRR bit was set: the two are one.
    Merged,
    /// A vector below 16: logged in ESR, not delivered.
    IllegalVector,
    /// The APIC is disabled, by software or globally.
    Disabled,
}

/// Bits 7:4: the priority class. A higher class interrupts a lower one.
const CLASS: u8 = 0xf0;

impl Lapic {
    /// A fixed, edge-triggered interrupt arrives. [`Signal::Irq`] is sent if it is accepted.
    pub fn raise_fixed(
        &mut self,
        vector: Vector,
        source: Source,
        ctx: &mut DeviceContext<'_>,
    ) -> Acceptance {
        if self.mode() == Mode::Disabled || !self.software_enabled() {
            return Acceptance::Disabled;
        }
        if vector.0 < 16 {
            self.log_error(esr::RECEIVE_ILLEGAL_VECTOR, ctx);
            return Acceptance::IllegalVector;
        }
        self.accept(vector.0, source, ctx)
    }

    /// Sets the IRR bit of a legal vector.
    pub(super) fn accept(
        &mut self,
        vector: u8,
        source: Source,
        ctx: &mut DeviceContext<'_>,
    ) -> Acceptance {
        if !self.irr.insert(vector) {
            return Acceptance::Merged;
        }
        self.tmr.remove(vector);
        ctx.signal(Signal::Irq {
            vector: Vector(vector),
            source,
        });
        Acceptance::Accepted
    }

    /// The processor priority register: the higher of the task's class and that of the highest
    /// vector in service ("Task and Processor Priorities").
    #[must_use]
    pub fn ppr(&self) -> u8 {
        let in_service = self.isr.highest().unwrap_or(0) & CLASS;
        if self.tpr & CLASS >= in_service {
            self.tpr
        } else {
            in_service
        }
    }

    /// The arbitration priority register (APM vol. 2, "Arbitration Priority Register").
    pub(super) fn apr(&self) -> u8 {
        let task = self.tpr & CLASS;
        let requested = self.irr.highest().unwrap_or(0) & CLASS;
        let in_service = self.isr.highest().unwrap_or(0) & CLASS;
        if task >= requested && task > in_service {
            self.tpr
        } else {
            task.max(requested).max(in_service)
        }
    }

    /// The interrupt that the APIC offers to the CPU: the highest in IRR, if its class is above
    /// PPR's. The CPU takes it if IF is set and no shadow holds it.
    #[must_use]
    pub fn pending_interrupt(&self) -> Option<Vector> {
        if self.mode() == Mode::Disabled {
            return None;
        }
        self.irr
            .highest()
            .filter(|vector| vector & CLASS > self.ppr() & CLASS)
            .map(Vector)
    }

    /// The CPU takes the interrupt: it moves from IRR to ISR. If none is offered any more, the
    /// spurious vector is given, without an ISR bit ("Spurious Interrupt").
    pub fn acknowledge(&mut self) -> Vector {
        let Some(vector) = self.pending_interrupt() else {
            return Vector(self.svr as u8);
        };
        self.irr.remove(vector.0);
        self.isr.insert(vector.0);
        vector
    }

    /// End of interrupt: the highest vector in service is done.
    pub(super) fn eoi(&mut self) {
        if let Some(vector) = self.isr.highest() {
            self.isr.remove(vector);
        }
    }

    /// CR8: TPR\[7:4\].
    #[must_use]
    pub const fn tpr(&self) -> u8 {
        self.tpr >> 4
    }

    /// MOV to CR8: sets TPR\[7:4\], clears TPR\[3:0\]. Bits above 3 of `class` are dropped.
    pub const fn set_tpr(&mut self, class: u8) {
        self.tpr = class << 4;
    }
}
