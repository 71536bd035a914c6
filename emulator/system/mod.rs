//! The microcode: what the processor does that Unicorn does not.

pub mod access;
pub mod activation;
pub mod bus;
pub mod cpu;
pub mod descriptor_table;
pub mod invalidate;
pub mod page_hash;
pub mod tlb;

pub use bus::Bus;
pub use cpu::{Cpu, InterruptShadow, NmiState};
pub use tlb::{Grant, TlbView, TranslationCache};
