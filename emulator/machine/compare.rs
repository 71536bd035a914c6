//! Two moments of one machine, compared as far as software can tell them apart.

use std::ops::Range;

use super::snapshot::Registers;
use super::{Machine, Mark};
use crate::arch::bits::rflags;
use crate::arch::state::gpr;
use crate::arch::{Access, AccessKind, CpuState, PAGE_SIZE, PhysAddr, VirtAddr};
use crate::engine::Page;
use crate::system::page_hash::PageMap;
use crate::trace::WalkOutcome;

/// In what the present moment is another than a marked one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Differences {
    /// Registers and states, by name.
    pub registers: Vec<String>,
    /// CR2.
    pub cr2: bool,
    /// Virtual time: the TSC and the devices' clocks.
    pub time: bool,
    /// What the consoles have been given since reset.
    pub output: bool,
    /// What the checks remember of what is not over yet.
    pub checks: bool,
    /// Bytes of RAM, by rising address; neighbours within a word of eight bytes are one range.
    pub memory: Vec<(Range<u64>, MemoryDifference)>,
    /// Entries of paging structures on which a cached translation depends that only one of the
    /// moments has. It agrees with memory: it is the same as long as they do not change.
    pub translations: Vec<PhysAddr>,
    /// Pages of which only one of the moments has a cached translation that does not agree with memory,
    /// or belongs to another PCID: which paging structures those are is not known.
    pub other_translations: Vec<VirtAddr>,
}

/// How bytes differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemoryDifference {
    /// In any way.
    Bytes,
    /// Only in what would be the A and D bits of a paging-structure entry (SDM vol. 3, 4.8).
    AccessedDirty,
}

impl Differences {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A and D.
const ACCESSED_DIRTY: u64 = 0x60;

fn registers(then: &CpuState, now: &CpuState, out: &mut Vec<String>) {
    let mut note = |differs: bool, name: &str| {
        if differs {
            out.push(name.to_owned());
        }
    };
    for (n, name) in gpr::NAMES.iter().enumerate() {
        note(then.gpr[n] != now.gpr[n], name);
    }
    note(then.rip != now.rip, "rip");
    note(then.rflags != now.rflags, "rflags");
    note(then.cpl != now.cpl, "cpl");
    for (n, name) in ["es", "cs", "ss", "ds", "fs", "gs"].iter().enumerate() {
        note(then.seg[n] != now.seg[n], name);
    }
    note(
        then.msr.kernel_gs_base != now.msr.kernel_gs_base,
        "kernel_gs_base",
    );
    note(then.cr0 != now.cr0, "cr0");
    note(then.cr3 != now.cr3, "cr3");
    note(then.cr4 != now.cr4, "cr4");
    note(then.dr6 != now.dr6, "dr6");
    note(then.dr7 != now.dr7 || then.dr != now.dr, "dr0-7");
    if out.is_empty() {
        let mut rest = now.clone();
        rest.cr2 = then.cr2;
        if rest != *then {
            out.push("system registers".to_owned());
        }
    }
}

/// The ranges in which two pages differ, none over a word's end.
fn bytes(at: u64, then: &[u8], now: &[u8], out: &mut Vec<(Range<u64>, MemoryDifference)>) {
    for word in (0..then.len()).step_by(8) {
        let value = |page: &[u8]| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&page[word..word + 8]);
            u64::from_le_bytes(eight)
        };
        let changed = value(then) ^ value(now);
        if changed == 0 {
            continue;
        }
        if changed & !ACCESSED_DIRTY == 0 {
            let start = at + word as u64;
            out.push((start..start + 1, MemoryDifference::AccessedDirty));
            continue;
        }
        let mut n = 0;
        while n < 8 {
            let from = n + (changed >> (8 * n)).trailing_zeros() as u64 / 8;
            let same = (from..8).find(|n| changed >> (8 * n) & 0xff == 0);
            n = same.unwrap_or(8);
            if from < n {
                let word = at + word as u64;
                out.push((word + from..word + n, MemoryDifference::Bytes));
            }
        }
    }
}

/// What only the first of two lists has.
fn only<T: PartialEq + Copy>(a: &[T], b: &[T]) -> Vec<T> {
    a.iter().filter(|e| !b.contains(e)).copied().collect()
}

/// A later moment of a run that began at a mark, to compare others with.
#[derive(Clone)]
pub struct Moment {
    registers: Registers,
    /// What pages hold then that have changed since the mark, or since an earlier one.
    pages: PageMap<Box<Page>>,
}

impl std::fmt::Debug for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Moment")
            .field("pages", &self.pages.len())
            .finish_non_exhaustive()
    }
}

impl Machine {
    /// The present moment, of a run that began at `mark`.
    pub fn moment(&mut self, mark: &Mark) -> Moment {
        self.show_checks();
        let changed = self.world.engine.changed_since(mark.moment);
        let mut pages = PageMap::default();
        for (at, _) in changed {
            let mut page = Box::new([0; PAGE_SIZE as usize]);
            if self.ram().read(at, &mut page[..]) {
                pages.insert(at, page);
            }
        }
        Moment {
            registers: self.save_registers(),
            pages,
        }
    }

    /// Compares the present moment, of a run that began at `mark`, with `then`, which another run
    /// from there, or from an earlier moment that leads there, has come to.
    pub fn differences_from(&mut self, then: &Moment, mark: &Mark) -> Differences {
        self.show_checks();
        self.compare(&then.registers, mark, Some(&then.pages))
    }

    /// From now on, what the consoles were given up to now is no difference to `mark`.
    pub const fn excuse_output(&mut self, mark: &Mark) {
        self.world.output = mark.registers.output;
    }

    /// From now on, what the consoles were given up to now is no difference to `then`.
    pub const fn excuse_output_to(&mut self, then: &Moment) {
        self.world.output = then.registers.output;
    }

    /// Compares the present moment with `mark`, which may be any that has not been forgotten.
    ///
    /// Not compared are the instruction count, the numbers of deliveries, and what the trace remembers.
    pub fn differences(&mut self, mark: &Mark) -> Differences {
        self.show_checks();
        self.compare(&mark.registers, mark, None)
    }

    fn compare(
        &mut self,
        then: &Registers,
        mark: &Mark,
        later: Option<&PageMap<Box<Page>>>,
    ) -> Differences {
        let mut d = Differences::default();
        // Between iterations of REP what is saved has RF set: the next iteration clears it again.
        let between = then.state.in_rep && !self.state.in_rep;
        let mut now = self.cpu.regs.clone();
        if between {
            now.rflags = now.rflags & !rflags::RF | then.cpu.regs.rflags & rflags::RF;
        }
        registers(&then.cpu.regs, &now, &mut d.registers);
        d.cr2 = then.cpu.regs.cr2 != self.cpu.regs.cr2;
        let mut note = |same: bool, name: &str| {
            if !same {
                d.registers.push(name.to_owned());
            }
        };
        let (a, b) = (&then.cpu, &self.cpu);
        note(a.nmi.pending == b.nmi.pending, "NMI pending");
        note(a.nmi.blocked == b.nmi.blocked, "NMIs blocked");
        note(a.shadow == b.shadow, "interrupt shadow");
        note(a.pending_db == b.pending_db, "pending #DB");
        note(a.halted == b.halted, "halted");
        note(
            a.activations.same_but_for_numbers(&b.activations),
            "unresumed deliveries",
        );
        let (s, t) = (&then.state, &self.state);
        note(s.machine_check == t.machine_check, "pending #MC");
        note(s.injected == t.injected, "pending exception");
        note(s.direct == t.direct, "pending interrupts");
        note(between || s.in_rep == t.in_rep, "REP progress");
        note(then.signals == self.world.signals, "signals of devices");
        note(then.random == self.world.random, "RDRAND");
        note(then.devices == self.world.devices.save(), "devices");
        note(then.schedule == self.schedule, "schedule");
        d.output = then.output != self.world.output;
        // What a halted CPU waits for comes at a time of its own.
        d.time = then.now() != self.world.now() && !(a.halted && b.halted);
        d.checks = match (&then.checks, &self.checks) {
            (Some(a), Some(b)) => !a.same_state(b),
            (a, b) => a.is_some() != b.is_some(),
        };
        let now = self.world.engine.snapshot();
        let same = self.world.engine.same_fpu(&then.engine, &now);
        if !same {
            d.registers.push("x87 or SSE registers".to_owned());
        }
        self.compare_memory(mark, later, &mut d);
        self.compare_translations(then, &mut d);
        d
    }

    fn compare_memory(&self, mark: &Mark, later: Option<&PageMap<Box<Page>>>, d: &mut Differences) {
        let mut changed = self.world.engine.changed_since(mark.moment);
        if let Some(later) = later {
            for page in &mut changed {
                if let Some(then) = later.get(&page.0) {
                    page.1 = then;
                }
            }
            let known: Vec<u64> = changed.iter().map(|c| c.0).collect();
            let others = later.iter().filter(|(at, _)| !known.contains(at));
            changed.extend(others.map(|(at, page)| (*at, &**page)));
        }
        changed.sort_unstable_by_key(|c| c.0);
        let mut now = [0; PAGE_SIZE as usize];
        for (at, then) in changed {
            if self.ram().read(at, &mut now) && now != *then {
                bytes(at, then, &now, &mut d.memory);
            }
        }
    }

    fn compare_translations(&self, then: &Registers, d: &mut Differences) {
        let (then, now) = (&then.cpu.tlb, &self.cpu.tlb);
        if then == now {
            return;
        }
        let context = self.cpu.paging_context();
        let (then, now) = (then.entries(), now.entries());
        let mut odd = only(&then, &now);
        odd.extend(only(&now, &then));
        for (pcid, at, cached) in odd {
            let walk = self.walk(at, Access::implicit(AccessKind::Read));
            let agrees = matches!(
                walk.outcome,
                WalkOutcome::Mapped { phys, page_size }
                    if phys == cached.phys(at) && page_size == cached.page_size
            );
            if !agrees || (pcid != context.pcid() && !cached.global) {
                d.other_translations.push(at);
                continue;
            }
            for step in walk.steps {
                if !d.translations.contains(&step.entry_at) {
                    d.translations.push(step.entry_at);
                }
            }
        }
    }
}
