//! Page tables in a machine's RAM, changed while it stands (SDM vol. 3, 4.5).

use super::arrange::Rights;
use crate::arch::bits::pte;
use crate::arch::{PAGE_SIZE, PhysAddr};
use crate::machine::Machine;

/// Frames that nobody has yet, and the tables' root.
#[derive(Clone, Debug)]
pub(super) struct Mapper {
    pub(super) root: u64,
    next: u64,
    end: u64,
}

const FRAME: u64 = 0x000f_ffff_ffff_f000;

const fn index(at: u64, level: u32) -> u64 {
    (at >> (12 + 9 * (level - 1))) & 0x1ff
}

/// Whether a page-directory entry maps a page of 2 MiB (SDM vol. 3, table 4-18).
const fn is_large(entry: u64) -> bool {
    entry & (pte::P | pte::PS) == pte::P | pte::PS
}

const fn leaf(rights: Rights) -> u64 {
    let mut bits = pte::P;
    if rights.user {
        bits |= pte::U;
    }
    if rights.write {
        bits |= pte::W;
    }
    if !rights.execute {
        bits |= pte::XD;
    }
    bits
}

/// No frame is left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Full;

impl Mapper {
    /// Takes frames from `next..end`, which are zero; the first one is the root.
    pub(super) const fn new(next: u64, end: u64) -> Self {
        Self {
            root: next,
            next: next + PAGE_SIZE,
            end,
        }
    }

    /// A frame of zeros.
    pub(super) const fn frame(&mut self) -> Result<u64, Full> {
        if self.next >= self.end {
            return Err(Full);
        }
        let frame = self.next;
        self.next += PAGE_SIZE;
        Ok(frame)
    }

    fn read(machine: &Machine, at: u64) -> u64 {
        let mut bytes = [0; 8];
        machine.read_physical(PhysAddr(at), &mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// Where the entry of the last level for `at` lies; tables are made if need be.
    fn slot(&mut self, machine: &mut Machine, at: u64) -> Result<u64, Full> {
        self.slot_at(machine, at, 1)
    }

    fn slot_at(&mut self, machine: &mut Machine, at: u64, last: u32) -> Result<u64, Full> {
        let mut table = self.root;
        for level in (last + 1..=4).rev() {
            let slot = table + 8 * index(at, level);
            let entry = Self::read(machine, slot);
            table = if level == 2 && is_large(entry) {
                self.split(machine, slot, entry)?
            } else if entry & pte::P != 0 {
                entry & FRAME
            } else {
                let new = self.frame()?;
                // Rights are the leaf's affair.
                let entry = new | pte::P | pte::W | pte::U;
                machine.write_physical(PhysAddr(slot), &entry.to_le_bytes());
                new
            };
        }
        Ok(table + 8 * index(at, last))
    }

    /// Puts a table of 512 entries in the place of a page-directory entry that maps 2 MiB.
    fn split(&mut self, machine: &mut Machine, slot: u64, large: u64) -> Result<u64, Full> {
        let table = self.frame()?;
        for n in 0..512 {
            let entry = (large & !pte::PS) + n * PAGE_SIZE;
            machine.write_physical(PhysAddr(table + 8 * n), &entry.to_le_bytes());
        }
        let entry = table | pte::P | pte::W | pte::U;
        machine.write_physical(PhysAddr(slot), &entry.to_le_bytes());
        Ok(table)
    }

    /// Whether the page of `at` is present; no table is made for the answer.
    fn is_present(&self, machine: &Machine, at: u64) -> bool {
        let mut table = self.root;
        for level in (1..=4).rev() {
            let entry = Self::read(machine, table + 8 * index(at, level));
            if entry & pte::P == 0 {
                return false;
            }
            if level == 2 && is_large(entry) {
                return true;
            }
            table = entry & FRAME;
        }
        true
    }

    /// Sets the page-directory entry for `at`, which maps a page of 2 MiB.
    pub(super) fn set_large(
        &mut self,
        machine: &mut Machine,
        at: u64,
        entry: u64,
    ) -> Result<(), Full> {
        let slot = self.slot_at(machine, at, 2)?;
        machine.write_physical(PhysAddr(slot), &entry.to_le_bytes());
        Ok(())
    }

    /// The entry for the page of `at`; 0 if there is none.
    pub(super) fn entry(&mut self, machine: &mut Machine, at: u64) -> Result<u64, Full> {
        let slot = self.slot(machine, at)?;
        Ok(Self::read(machine, slot))
    }

    /// Sets the entry for the page of `at`.
    pub(super) fn set(&mut self, machine: &mut Machine, at: u64, entry: u64) -> Result<(), Full> {
        let slot = self.slot(machine, at)?;
        machine.write_physical(PhysAddr(slot), &entry.to_le_bytes());
        Ok(())
    }

    /// Maps `size` bytes at `at` to the frames from `phys` on.
    pub(super) fn map(
        &mut self,
        machine: &mut Machine,
        at: u64,
        phys: u64,
        size: u64,
        rights: Rights,
    ) -> Result<(), Full> {
        for offset in (0..size).step_by(PAGE_SIZE as usize) {
            let frame = (phys + offset) & FRAME;
            self.set(machine, at.wrapping_add(offset), frame | leaf(rights))?;
        }
        Ok(())
    }

    /// Gives the pages of `at..at + size` these rights; a page without a frame gets one.
    pub(super) fn provide(
        &mut self,
        machine: &mut Machine,
        at: u64,
        size: u64,
        rights: Rights,
    ) -> Result<(), Full> {
        for page in pages(at, size) {
            let old = self.entry(machine, page)?;
            // The frame at 0 is one too, where all RAM is mapped at its own address.
            let frame = if old & (FRAME | pte::P) == 0 {
                self.frame()?
            } else {
                old & FRAME
            };
            self.set(machine, page, frame | leaf(rights))?;
        }
        Ok(())
    }

    /// Makes the pages of `at..at + size` not present; their frames stay theirs.
    pub(super) fn withdraw(
        &mut self,
        machine: &mut Machine,
        at: u64,
        size: u64,
    ) -> Result<(), Full> {
        for page in pages(at, size) {
            if self.is_present(machine, page) {
                let old = self.entry(machine, page)?;
                self.set(machine, page, old & FRAME)?;
            }
        }
        Ok(())
    }
}

/// The first and the last page that hold `at..at + size`.
pub(super) const fn bounds(at: u64, size: u64) -> (u64, u64) {
    let size = if size == 0 { 1 } else { size };
    let last = at.saturating_add(size - 1);
    (at & !(PAGE_SIZE - 1), last & !(PAGE_SIZE - 1))
}

/// The pages that hold `at..at + size`; at least one.
pub(super) fn pages(at: u64, size: u64) -> impl Iterator<Item = u64> {
    let (first, last) = bounds(at, size);
    (0..=(last - first) / PAGE_SIZE).map(move |n| first + n * PAGE_SIZE)
}
