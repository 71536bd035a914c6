//! `--dump tables`: what the page tables map, as they are in memory now.
//!
//! Neighbours with the same flags and a contiguous frame are one row. Tables that map
//! themselves, and tables that are shared, are followed wherever they appear; the number of
//! rows and of entries that are read is bounded.

use std::fmt::Write as _;

use iretrace::arch::bits::{cr3, cr4, pte};
use iretrace::arch::paging::Entry;
use iretrace::arch::paging::entry::{level_shift, page_size};
use iretrace::arch::{PAGE_SIZE, PhysAddr};
use iretrace::machine::Machine;

use super::list::View;

/// Rows that are shown.
const MAX_ROWS: usize = 4096;
/// Tables that are read.
const MAX_TABLES: usize = 1 << 16;

/// `4 KiB`, `2 MiB`, `1 GiB`.
pub fn size_name(page: u64) -> &'static str {
    match page {
        0x1000 => "4 KiB",
        0x20_0000 => "2 MiB",
        _ => "1 GiB",
    }
}

/// Pages that are mapped alike, one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Range {
    virt: u64,
    phys: u64,
    size: u64,
    page: u64,
    flags: u64,
}

impl Range {
    /// Grows by `next` if that goes on where this ends.
    fn absorb(&mut self, next: &Self) -> bool {
        let goes_on = self.page == next.page
            && self.flags == next.flags
            && self.virt.wrapping_add(self.size) == next.virt
            && self.phys.wrapping_add(self.size) == next.phys;
        if goes_on {
            self.size = self.size.wrapping_add(next.size);
        }
        goes_on
    }
}

/// Everything that is mapped, by rising virtual address.
struct Reader<'m> {
    machine: &'m Machine,
    sign_bit: u32,
    ranges: Vec<Range>,
    tables: usize,
    cut: bool,
}

/// Appends them.
pub fn dump(view: View<'_>, out: &mut String) {
    let r = &view.machine.cpu().regs;
    let levels = if r.cr4 & cr4::LA57 != 0 { 5 } else { 4 };
    let _ = writeln!(out, "page tables, {levels} levels, cr3 {:#x}", r.cr3);
    let mut reader = Reader {
        machine: view.machine,
        sign_bit: 9 * u32::from(levels) + 11,
        ranges: Vec::new(),
        tables: 0,
        cut: false,
    };
    reader.table(levels, r.cr3 & cr3::ROOT, 0, pte::W | pte::U);
    for range in &reader.ranges {
        let last = range.virt.wrapping_add(range.size - 1);
        let _ = writeln!(
            out,
            "  {:016x}..{last:016x} -> {:012x}  {}{}",
            range.virt,
            range.phys,
            size_name(range.page),
            letters(range.flags)
        );
    }
    if reader.cut {
        let _ = writeln!(out, "  ... and more: the dump ends at {MAX_ROWS} rows");
    }
}

impl Reader<'_> {
    /// Reads the table of `level` at `table`; `rights` is what the levels above grant.
    fn table(&mut self, level: u8, table: u64, virt: u64, rights: u64) {
        self.tables += 1;
        if self.tables > MAX_TABLES {
            self.cut = true;
            return;
        }
        let mut bytes = [0; PAGE_SIZE as usize];
        if !self.machine.read_physical(PhysAddr(table), &mut bytes) {
            return;
        }
        for (index, entry) in bytes.chunks_exact(8).enumerate() {
            if self.cut {
                return;
            }
            let mut value = [0; 8];
            value.copy_from_slice(entry);
            let entry = Entry(u64::from_le_bytes(value));
            if !entry.present() {
                continue;
            }
            let mut at = virt | (index as u64) << level_shift(level);
            // The top level's upper half is the high half of the address space.
            if at & (1 << self.sign_bit) != 0 {
                at |= u64::MAX << self.sign_bit;
            }
            // W and U hold if every level grants them, XD if any level sets it.
            let combined = (rights & entry.0 & (pte::W | pte::U)) | ((rights | entry.0) & pte::XD);
            if entry.is_leaf(level) {
                self.push(level, at, entry, combined);
            } else if level > 1 {
                self.table(level - 1, entry.table(), at, combined);
            }
        }
    }

    fn push(&mut self, level: u8, virt: u64, entry: Entry, rights: u64) {
        const OWN: u64 = pte::A | pte::D | pte::G | pte::PCD | pte::PWT | 0xf << 59;
        let range = Range {
            virt,
            phys: entry.frame(level),
            size: page_size(level),
            page: page_size(level),
            flags: rights | (entry.0 & OWN),
        };
        if self
            .ranges
            .last_mut()
            .is_some_and(|last| last.absorb(&range))
        {
            return;
        }
        if self.ranges.len() >= MAX_ROWS {
            self.cut = true;
        } else {
            self.ranges.push(range);
        }
    }
}

/// The rights of all levels together, and the leaf's own bits.
fn letters(flags: u64) -> String {
    let mut text = String::new();
    for (bit, name) in [
        (pte::W, " W"),
        (pte::U, " U"),
        (pte::XD, " XD"),
        (pte::A, " A"),
        (pte::D, " D"),
        (pte::G, " G"),
        (pte::PCD, " PCD"),
        (pte::PWT, " PWT"),
    ] {
        if flags & bit != 0 {
            text.push_str(name);
        }
    }
    match Entry(flags).key() {
        0 => {}
        key => {
            let _ = write!(text, " PK{key}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_join_when_frame_and_flags_go_on() {
        let page = |virt, phys, flags| Range {
            virt,
            phys,
            size: 4096,
            page: 4096,
            flags,
        };
        let mut r = page(0x1000, 0x8000, pte::W);
        assert!(r.absorb(&page(0x2000, 0x9000, pte::W)));
        assert_eq!(r.size, 8192);
        assert!(!r.absorb(&page(0x3000, 0x9000, pte::W)), "another frame");
        assert!(!r.absorb(&page(0x3000, 0xa000, 0)), "other flags");
        assert!(!r.absorb(&page(0x4000, 0xb000, pte::W)), "a hole");
        assert!(r.absorb(&page(0x3000, 0xa000, pte::W)));
    }

    #[test]
    fn the_key_is_shown() {
        assert_eq!(letters(pte::W | 5 << 59), " W PK5");
    }
}
