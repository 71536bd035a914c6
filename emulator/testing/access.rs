//! What a test may see and change of a running case: registers, memory, pages.

use super::arrange::Rights;
use super::build;
use super::mapper::Full;
use super::observed::Observed;
use super::register::{Register, SELECTOR};
use super::session::Session;
use crate::arch::VirtAddr;
use crate::machine::Machine;

impl Session {
    /// The machine.
    #[must_use]
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The machine, to change.
    pub const fn machine_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// What has been noted so far.
    #[must_use]
    pub const fn seen(&self) -> &Observed {
        &self.seen
    }

    /// A register's value.
    #[must_use]
    pub fn register(&self, register: Register) -> u64 {
        register.get(&self.machine.cpu().regs)
    }

    /// Sets a register. A selector by itself is an error of the test, which its run reports.
    pub fn set_register(&mut self, register: Register, value: u64) {
        if !register.set(&mut self.machine.cpu_mut().regs, value) {
            self.trouble = Some((register.name(), SELECTOR));
        }
    }

    /// Reads memory through the page tables. `false`: not all of it is mapped.
    pub fn read(&self, at: u64, bytes: &mut [u8]) -> bool {
        self.machine.peek_linear(VirtAddr(at), bytes)
    }

    /// The quadword at `at`; `None` where nothing is mapped.
    #[must_use]
    pub fn quad(&self, at: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(at, &mut bytes).then(|| u64::from_le_bytes(bytes))
    }

    /// Writes memory through the page tables, whatever the rights. `false`: not all is mapped.
    pub fn write(&mut self, at: u64, bytes: &[u8]) -> bool {
        build::poke(&mut self.machine, at, bytes)
    }

    /// Gives pages rights; those without a frame get one. `false`: there is no RAM for more.
    pub fn map(&mut self, at: u64, size: u64, rights: Rights) -> bool {
        let done = self
            .mapper
            .provide(&mut self.machine, at, size.min(1 << 30), rights);
        self.changed(done)
    }

    /// Makes pages not present.
    pub fn unmap(&mut self, at: u64, size: u64) {
        let done = self
            .mapper
            .withdraw(&mut self.machine, at, size.min(1 << 30));
        self.changed(done);
    }

    /// Forgets translations after a change from outside, as INVLPG would. `false`: it was not possible.
    fn changed(&mut self, done: Result<(), Full>) -> bool {
        self.machine.cpu_mut().tlb.forget();
        if done.is_err() {
            self.trouble = Some(("memory", "there is no RAM for more pages"));
        }
        done.is_ok()
    }
}
