//! The microcode: what the processor does that Unicorn does not.

pub mod access;
pub mod activation;
pub mod boundary;
pub mod bus;
pub mod cpu;
pub mod debug;
pub mod delivery;
mod delivery_steps;
pub mod descriptor_table;
pub mod insn;
pub mod invalidate;
pub mod iret;
mod iret_frame;
pub mod page_hash;
pub mod pending_event;
pub mod software_interrupt;
pub mod syscall;
pub mod tlb;

pub(crate) use activation::SavedActivations;
pub use activation::{Activation, Activations};
pub use boundary::{Decision, Hold, Taken, Waiting, decide};
pub use bus::Bus;
pub use cpu::{Cpu, InterruptShadow, NmiState};
pub use delivery::{DeliveryOutcome, deliver};
pub use iret::iret;
pub use pending_event::PendingEvent;
pub use software_interrupt::{SoftwareInterrupt, software_interrupt};
pub use syscall::{syscall, sysret};
pub use tlb::{CachedTranslation, Grant, TlbView, TranslationCache};

#[cfg(test)]
mod delivery_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod iret_tests;
#[cfg(test)]
mod paging_tests;
#[cfg(test)]
mod rules_tests;
#[cfg(test)]
mod syscall_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tlb_tests;
