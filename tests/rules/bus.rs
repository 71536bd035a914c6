//! The rest of the machine: RAM, and a list of what was told.

use iretrace::arch::PhysAddr;
use iretrace::system::Bus;
use iretrace::trace::{EventClass, EventKind};

use super::pages::ROOT;

pub struct RamBus {
    pub ram: Vec<u8>,
    pub wanted: EventClass,
    pub events: Vec<EventKind>,
    /// Where the leaf entries of the page tables lie.
    pub leaves: Vec<usize>,
    /// A write to the page tables that was none to a leaf entry.
    pub stray: Option<u64>,
}

impl Bus for RamBus {
    fn phys_read(&mut self, at: PhysAddr, buf: &mut [u8]) {
        let at = at.0 as usize;
        buf.copy_from_slice(&self.ram[at..at + buf.len()]);
    }

    fn phys_write(&mut self, at: PhysAddr, data: &[u8]) {
        let to = at.0 as usize;
        let leaf = data.len() == 8 && self.leaves.contains(&to);
        if at.0 + data.len() as u64 > ROOT && !leaf {
            self.stray = Some(at.0);
        }
        self.ram[to..to + data.len()].copy_from_slice(data);
    }

    fn is_ram(&self, at: PhysAddr) -> bool {
        at.0 < self.ram.len() as u64
    }

    fn port_read(&mut self, _: u16, _: u8) -> u32 {
        unreachable!("no port is read")
    }

    fn port_write(&mut self, _: u16, _: u8, _: u32) {
        unreachable!("no port is written")
    }

    fn tsc(&self) -> u64 {
        0
    }

    fn random(&mut self) -> u64 {
        0
    }

    fn apic_msr_read(&mut self, _: u32) -> Option<u64> {
        None
    }

    fn apic_msr_write(&mut self, _: u32, _: u64) -> bool {
        false
    }

    fn tpr(&self) -> u8 {
        0
    }

    fn set_tpr(&mut self, _: u8) {}

    fn flush_engine_tlb(&mut self) {}

    fn wants(&self, class: EventClass) -> bool {
        self.wanted.intersects(class)
    }

    fn emit(&mut self, kind: EventKind) {
        self.events.push(kind);
    }
}
