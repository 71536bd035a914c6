//! Builds 4-level page tables (SDM vol. 3, 4.5) before it is known where they will lie.

use crate::arch::PAGE_SIZE;
use crate::arch::bits::pte;

/// Bytes that one entry of a page directory maps.
pub const LARGE_PAGE: u64 = 2 << 20;

const ENTRIES: usize = 512;

#[derive(Clone, Copy)]
enum Entry {
    Absent,
    /// A finished entry that maps a page.
    Page(u64),
    /// The number of the table it points to.
    Table(usize),
}

/// Page tables; links between them are numbers until [`place`](Self::place) makes them addresses.
pub struct Tables {
    tables: Vec<[Entry; ENTRIES]>,
}

impl Default for Tables {
    fn default() -> Self {
        Self::new()
    }
}

impl Tables {
    /// One empty PML4.
    #[must_use]
    pub fn new() -> Self {
        Self {
            tables: vec![[Entry::Absent; ENTRIES]],
        }
    }

    /// How many bytes they take.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.tables.len() as u64 * PAGE_SIZE
    }

    /// Maps `vaddr..vaddr + size` to `paddr..`, whole 4 KiB pages of both, over what is mapped
    /// there: with 2 MiB pages where both are aligned and nothing smaller is mapped yet.
    /// `flags` are the bits of the last entry besides P.
    pub fn map(&mut self, vaddr: u64, paddr: u64, size: u64, flags: u64) {
        let mut done = 0;
        while done < size {
            let (v, p) = (vaddr.wrapping_add(done), paddr.wrapping_add(done));
            let directory = self.down(v, 3);
            let slot = index(v, 2);
            let small = matches!(self.tables[directory][slot], Entry::Table(_));
            if !small && (v | p).is_multiple_of(LARGE_PAGE) && size - done >= LARGE_PAGE {
                self.tables[directory][slot] = Entry::Page(p | pte::P | pte::PS | flags);
                done += LARGE_PAGE;
            } else {
                let table = self.down(v, 2);
                self.tables[table][index(v, 1)] = Entry::Page(p | pte::P | flags);
                done += PAGE_SIZE;
            }
        }
    }

    /// The number of the table that the entry of `level` for `v` points to, made if need be.
    fn down(&mut self, v: u64, level: u32) -> usize {
        let mut at = 0;
        for l in (level..=4).rev() {
            let slot = index(v, l);
            at = match self.tables[at][slot] {
                Entry::Table(t) => t,
                Entry::Absent => self.link(at, slot, [Entry::Absent; ENTRIES]),
                Entry::Page(large) => {
                    // Only 2 MiB pages are made, so this is a split into 4 KiB ones.
                    let mut small = [Entry::Absent; ENTRIES];
                    for (n, e) in small.iter_mut().enumerate() {
                        *e = Entry::Page((large & !pte::PS) + n as u64 * PAGE_SIZE);
                    }
                    self.link(at, slot, small)
                }
            };
        }
        at
    }

    fn link(&mut self, at: usize, slot: usize, table: [Entry; ENTRIES]) -> usize {
        let new = self.tables.len();
        self.tables[at][slot] = Entry::Table(new);
        self.tables.push(table);
        new
    }

    /// The bytes of all tables when the PML4 lies at `base` and the others follow it.
    ///
    /// Entries that point to tables have P and W set, A clear; supervisor at every level.
    #[must_use]
    pub fn place(&self, base: u64) -> Vec<u8> {
        let entry = |e: &Entry| match *e {
            Entry::Absent => 0,
            Entry::Page(e) => e,
            Entry::Table(n) => (base + n as u64 * PAGE_SIZE) | pte::P | pte::W,
        };
        let entries = self.tables.iter().flatten();
        entries.flat_map(|e| entry(e).to_le_bytes()).collect()
    }
}

/// The index for `v` in a table of `level`: 1 (PT) to 4 (PML4).
const fn index(v: u64, level: u32) -> usize {
    ((v >> (12 + 9 * (level - 1))) & 0x1ff) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0x4_0000;

    /// A walk as SDM vol. 3, 4.5.4 has it: the last entry and the page size.
    fn walk(bytes: &[u8], v: u64) -> Option<(u64, u64)> {
        let mut table = BASE;
        for level in (1..=4).rev() {
            let at = (table - BASE) as usize + index(v, level) * 8;
            let e = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
            if e & 1 == 0 {
                return None;
            }
            if level == 1 || e & 0x80 != 0 {
                return Some((e, 1 << (12 + 9 * (level - 1))));
            }
            table = e & 0x000f_ffff_ffff_f000;
        }
        None
    }

    #[test]
    fn large_pages_where_aligned_small_ones_elsewhere() {
        let mut t = Tables::new();
        t.map(0, 0, 5 << 20, pte::W);
        assert_eq!(
            t.size(),
            4 * 4096,
            "PML4, PDPT, PD, and a PT for the odd MiB"
        );
        let b = t.place(BASE);
        assert_eq!(walk(&b, 0), Some((0x83, 2 << 20)));
        assert_eq!(walk(&b, 0x3f_ffff), Some((0x20_0083, 2 << 20)));
        assert_eq!(walk(&b, 0x40_0000), Some((0x40_0003, 4096)));
        assert_eq!(walk(&b, 0x4f_f000), Some((0x4f_f003, 4096)));
        assert_eq!(walk(&b, 0x50_0000), None);
        assert_eq!(walk(&b, 0xffff_ffff_8000_0000), None);
    }

    #[test]
    fn a_page_inside_a_large_one_splits_it() {
        let mut t = Tables::new();
        t.map(0, 0, 4 << 20, pte::W);
        t.map(0x1000, 0x9000, 0x1000, pte::W | pte::PCD);
        let b = t.place(BASE);
        assert_eq!(walk(&b, 0), Some((0x3, 4096)));
        assert_eq!(walk(&b, 0x1000), Some((0x9013, 4096)));
        assert_eq!(walk(&b, 0x2000), Some((0x2003, 4096)));
        assert_eq!(walk(&b, 0x1f_f000), Some((0x1f_f003, 4096)));
        assert_eq!(walk(&b, 0x20_0000), Some((0x20_0083, 2 << 20)));
    }

    #[test]
    fn the_last_page_of_the_address_space() {
        let mut t = Tables::new();
        t.map(0xffff_ffff_ffff_f000, 0x7000, 0x1000, pte::W);
        t.map(0xffff_ffff_8000_0000, 0x20_0000, 0x20_1000, pte::W);
        let b = t.place(BASE);
        assert_eq!(walk(&b, u64::MAX), Some((0x7003, 4096)));
        assert_eq!(walk(&b, 0xffff_ffff_8000_0000), Some((0x20_0083, 2 << 20)));
        assert_eq!(walk(&b, 0xffff_ffff_8020_0000), Some((0x40_0003, 4096)));
        assert_eq!(walk(&b, 0xffff_ffff_8020_1000), None);
    }
}
