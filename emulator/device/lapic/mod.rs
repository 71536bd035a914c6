//! The local APIC (SDM vol. 3, "Advanced Programmable Interrupt Controller"), xAPIC and x2APIC.

mod base;
mod chip;
mod clock;
mod errors;
mod icr;
mod lvt;
mod mmio;
mod msr;
mod priority;
mod registers;
mod timer;
mod timer_mode;
mod vectors;

pub use base::Mode;
pub use chip::{Lapic, LapicConfig};
pub use clock::TscClock;
pub use priority::Acceptance;

#[cfg(test)]
mod tests;
