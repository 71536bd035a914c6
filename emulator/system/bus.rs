//! What the microcode sees of the rest of the machine.

use crate::arch::PhysAddr;
use crate::trace::{EventClass, EventKind};

/// Physical memory, devices, the clock, and the trace: everything outside the CPU.
///
/// The machine implements it. Reads where nothing answers give all-ones and writes there are
/// dropped; the implementation reports both as [`EventKind::Mmio`].
pub trait Bus {
    /// Reads `buf.len()` bytes at `at` (never across a 4 KiB frame).
    fn phys_read(&mut self, at: PhysAddr, buf: &mut [u8]);

    /// Reads a paging-structure entry for a page walk.
    fn entry_read(&mut self, at: PhysAddr, entry: &mut [u8; 8]) {
        self.phys_read(at, entry);
    }

    /// Writes `data` at `at` (never across a 4 KiB frame). Drops translated code there.
    fn phys_write(&mut self, at: PhysAddr, data: &[u8]);

    /// Whether the frame that holds `at` is RAM.
    fn is_ram(&self, at: PhysAddr) -> bool;

    /// IN of 1, 2 or 4 bytes.
    fn port_read(&mut self, port: u16, size: u8) -> u32;

    /// OUT of 1, 2 or 4 bytes.
    fn port_write(&mut self, port: u16, size: u8, value: u32);

    /// The deterministic time-stamp counter, before IA32_TSC offset and adjust.
    fn tsc(&self) -> u64;

    /// A deterministic pseudo-random number for RDRAND and RDSEED.
    fn random(&mut self) -> u64;

    /// RDMSR of IA32_APIC_BASE, of 0x800..=0x8ff, or of IA32_TSC_DEADLINE. `None`: #GP(0).
    fn apic_msr_read(&mut self, number: u32) -> Option<u64>;

    /// WRMSR of the same. `false`: #GP(0).
    fn apic_msr_write(&mut self, number: u32, value: u64) -> bool;

    /// CR8: the task priority, 0 to 15.
    fn tpr(&self) -> u8;

    /// MOV to CR8.
    fn set_tpr(&mut self, value: u8);

    /// What the engine has cached of translations or rights may be wrong now: it asks again.
    fn flush_engine_tlb(&mut self);

    /// Whether anybody wants events of this class: ask before building a costly one.
    fn wants(&self, class: EventClass) -> bool;

    /// Emits an event at the current boundary.
    fn emit(&mut self, kind: EventKind);
}
