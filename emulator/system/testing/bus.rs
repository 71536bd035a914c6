//! What is outside the CPU of a unit test.

use crate::arch::PhysAddr;
use crate::arch::bits::msr;
use crate::system::Bus;
use crate::trace::{EventClass, EventKind};

/// RAM, and everything that was told.
pub struct TestBus {
    pub ram: Vec<u8>,
    pub events: Vec<EventKind>,
    pub wanted: EventClass,
    pub flushes: u32,
    /// What every port reads as.
    pub port_value: u32,
    /// Writes to ports: number, size, value.
    pub port_writes: Vec<(u16, u8, u32)>,
    pub port_reads: Vec<(u16, u8)>,
    pub tsc: u64,
    pub tpr: u8,
    /// IA32_APIC_BASE.
    pub apic_base: Option<u64>,
}

impl Bus for TestBus {
    fn phys_read(&mut self, at: PhysAddr, buf: &mut [u8]) {
        let at = at.0 as usize;
        match self.ram.get(at..at.wrapping_add(buf.len())) {
            Some(bytes) => buf.copy_from_slice(bytes),
            None => buf.fill(0xff),
        }
    }

    fn phys_write(&mut self, at: PhysAddr, data: &[u8]) {
        let at = at.0 as usize;
        if let Some(bytes) = self.ram.get_mut(at..at.wrapping_add(data.len())) {
            bytes.copy_from_slice(data);
        }
    }

    fn is_ram(&self, at: PhysAddr) -> bool {
        at.0 < self.ram.len() as u64
    }

    fn port_read(&mut self, port: u16, size: u8) -> u32 {
        self.port_reads.push((port, size));
        self.port_value
    }

    fn port_write(&mut self, port: u16, size: u8, value: u32) {
        self.port_writes.push((port, size, value));
    }

    fn tsc(&self) -> u64 {
        self.tsc
    }

    fn random(&mut self) -> u64 {
        0x0123_4567_89ab_cdef
    }

    fn apic_msr_read(&mut self, number: u32) -> Option<u64> {
        self.apic_base.filter(|_| number == msr::APIC_BASE)
    }

    fn apic_msr_write(&mut self, number: u32, value: u64) -> bool {
        let known = self.apic_base.is_some() && number == msr::APIC_BASE;
        if known {
            self.apic_base = Some(value);
        }
        known
    }

    fn tpr(&self) -> u8 {
        self.tpr
    }

    fn set_tpr(&mut self, value: u8) {
        self.tpr = value;
    }

    fn flush_engine_tlb(&mut self) {
        self.flushes += 1;
    }

    fn wants(&self, class: EventClass) -> bool {
        self.wanted.intersects(class)
    }

    fn emit(&mut self, kind: EventKind) {
        self.events.push(kind);
    }
}
