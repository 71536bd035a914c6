//! What has changed in memory.

use iretrace::arch::PhysAddr;
use iretrace::machine::Machine;

/// A and D.
const ACCESSED_DIRTY: u8 = 0x60;

/// All of RAM at one moment.
pub struct Memory(Vec<u8>);

/// Everything in RAM.
pub fn remember(machine: &Machine) -> Memory {
    let mut bytes = vec![0; machine.config().ram_size as usize];
    machine.read_physical(PhysAddr(0), &mut bytes);
    Memory(bytes)
}

impl Memory {
    fn quad(&self, at: u64) -> u64 {
        let at = at as usize;
        match self.0.get(at..at + 8) {
            Some(b) => u64::from_le_bytes(b.try_into().unwrap_or_default()),
            None => 0,
        }
    }

    /// The pages that are page tables of `cr3`: told from their entries alone.
    fn tables(&self, (cr3, levels): (u64, usize)) -> Vec<u64> {
        const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
        const PRESENT: u64 = 1;
        const HUGE: u64 = 0x80;
        let mut all = vec![cr3 & ADDRESS];
        let mut level = all.clone();
        for above in (1..levels).rev() {
            let mut next = Vec::new();
            for table in level {
                for entry in (0..512).map(|i| self.quad(table + 8 * i)) {
                    let leaf = above < 3 && entry & HUGE != 0;
                    if entry & PRESENT != 0 && !leaf {
                        next.push(entry & ADDRESS);
                    }
                }
            }
            next.sort_unstable();
            next.dedup();
            all.extend(&next);
            level = next;
        }
        all
    }

    /// The runs of bytes that differ from `later` and lie in none of `except`: (address, length).
    /// A and D bits of the page tables of `root`, CR3 and how many levels, are left out.
    pub fn changes(
        &self,
        later: &Self,
        root: (u64, usize),
        except: &[(u64, u64)],
    ) -> Vec<(u64, u64)> {
        let tables = self.tables(root);
        let mut runs: Vec<(u64, u64)> = Vec::new();
        let pages = self.0.chunks(4096).zip(later.0.chunks(4096)).enumerate();
        for (page, (old, new)) in pages.filter(|(_, (old, new))| old != new) {
            let base = page as u64 * 4096;
            let is_table = tables.contains(&base);
            for (i, (a, b)) in old.iter().zip(new).enumerate() {
                let at = base + i as u64;
                let mark = is_table && i % 8 == 0 && a & 1 != 0 && (a ^ b) & !ACCESSED_DIRTY == 0;
                let excepted = except
                    .iter()
                    .any(|&(from, len)| at.wrapping_sub(from) < len);
                if a == b || mark || excepted {
                    continue;
                }
                match runs.last_mut() {
                    Some((from, len)) if *from + *len == at => *len += 1,
                    _ => runs.push((at, 1)),
                }
            }
        }
        runs
    }

    /// Whether any byte of a range differs.
    pub fn differs(&self, later: &Self, (from, len): (u64, u64)) -> bool {
        let range = from as usize..(from + len) as usize;
        self.0.get(range.clone()) != later.0.get(range)
    }

    /// The leaf entry of a 4 KiB page, by a walk that looks at no rights.
    pub fn pte(&self, (cr3, levels): (u64, usize), at: u64) -> u64 {
        const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
        let mut entry = cr3;
        for shift in [48, 39, 30, 21, 12].into_iter().skip(5 - levels) {
            entry = self.quad((entry & ADDRESS) + 8 * (at >> shift & 0x1ff));
        }
        entry
    }

    /// The quadword at a physical address.
    pub fn at(&self, at: u64) -> u64 {
        self.quad(at)
    }
}
