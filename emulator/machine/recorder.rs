//! Which bytes of memory a run reads and writes, for whoever must know what is still needed.

use super::Machine;
use crate::arch::{PAGE_SIZE, PhysAddr, VirtAddr};
use crate::system::insn::{DataAccess, data_accesses};

/// What an access does to a byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Touch {
    /// Reads it; a read-modify-write too, and a write that may not happen.
    Read,
    /// Writes it, whatever it was.
    Write,
    /// Reads it as part of a paging-structure entry: the A and D bits do not matter.
    Walk,
}

/// One access to physical memory, within a 4 KiB frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PhysAccess {
    /// What is done.
    pub touch: Touch,
    /// The first byte.
    pub at: PhysAddr,
    /// Bytes.
    pub len: u32,
}

/// The accesses since they were last taken.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    pub(super) accesses: Vec<PhysAccess>,
}

impl Recorder {
    pub(super) fn note(&mut self, touch: Touch, at: PhysAddr, len: usize) {
        self.accesses.push(PhysAccess {
            touch,
            at,
            len: len as u32,
        });
    }
}

impl Machine {
    /// From now on every access to memory is recorded, and every instruction is a step by itself.
    pub fn record_accesses(&mut self, on: bool) {
        self.world.recorder = on.then(Recorder::default);
    }

    /// Moves what was recorded since the last call to the end of `to`.
    pub fn take_accesses(&mut self, to: &mut Vec<PhysAccess>) {
        if let Some(recorder) = &mut self.world.recorder {
            to.append(&mut recorder.accesses);
        }
    }

    /// Whether virtual time has had an effect since the last call, or a timer runs.
    pub fn take_clock_use(&mut self) -> bool {
        self.world.clock_used.take() || self.next_deadline().is_some()
    }

    /// What the instruction at RIP will access, if it runs: linear.
    pub(super) fn expected_accesses(&self) -> Vec<(Touch, VirtAddr, u32)> {
        let Some(insn) = self.peek_instruction() else {
            return Vec::new();
        };
        let mut accesses: Vec<DataAccess> = Vec::new();
        data_accesses(&self.cpu.regs, &insn, &mut accesses);
        let fetched = self.code_base().wrapping_add(self.cpu.regs.rip);
        let mut expected = vec![(Touch::Read, VirtAddr(fetched), insn.len() as u32)];
        for a in &accesses {
            let touch = if a.reads { Touch::Read } else { Touch::Write };
            expected.push((touch, a.addr, a.size));
        }
        // What is read is read before anything is written.
        expected.sort_by_key(|e| e.0 == Touch::Write);
        expected
    }

    /// The instruction has run.
    pub(super) fn record(&mut self, expected: &[(Touch, VirtAddr, u32)]) {
        let view = self.cpu.tlb_view();
        for &(touch, at, len) in expected {
            let mut done = 0;
            while done < len {
                let here = VirtAddr(at.0.wrapping_add(done.into()));
                let part = (len - done).min((PAGE_SIZE - here.0 % PAGE_SIZE) as u32);
                let cached = view
                    .grant(here.page(), self.cpu.regs.cpl, true)
                    .map(|g| PhysAddr(g.phys.0 + here.0 % PAGE_SIZE));
                if let Some(phys) = cached.or_else(|| self.translate_plain(here))
                    && let Some(recorder) = &mut self.world.recorder
                {
                    recorder.note(touch, phys, part as usize);
                }
                done += part;
            }
        }
    }
}
