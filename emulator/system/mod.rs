//! The microcode: what the processor does that Unicorn does not.

pub mod activation;
pub mod bus;
pub mod cpu;
pub mod tlb;

pub use bus::Bus;
pub use cpu::{Cpu, InterruptShadow, NmiState};
