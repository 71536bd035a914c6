//! The program with its definitions, and what is in its memory.

use std::collections::{BTreeMap, BTreeSet};

use iretrace::arch::PhysAddr;
use iretrace::load::{Image, LoadOptions};
use iretrace::machine::{MachineConfig, StopReason, Until};
use iretrace::trace::{Delivery, EventClass, EventKind};

use crate::machine::{Bench, NMI, PF};

pub const PAGES: [&str; 10] = [
    "lazy",
    "prealloc",
    "walk",
    "walk-racy",
    "direct",
    "pretouch",
    "switch",
    "huge-stale",
    "stack",
    "lower",
];
pub const NMIS: [&str; 5] = ["naive", "no-iret", "nestable", "three-state", "no-touch"];

pub const PAGE: u64 = 4096;
pub const PRIVATE_ENTRIES: u64 = 64;
const PRESENT: u64 = 1;
const LARGE: u64 = 0x80;
const FRAME: u64 = 0x000f_ffff_ffff_f000;

/// Everything that the machine tells, but for walks, instructions and data accesses.
pub fn usual() -> EventClass {
    EventClass::all() - EventClass::INSN - EventClass::MEM - EventClass::WALK
}

pub fn image(define: &[&str]) -> Image {
    let options = LoadOptions {
        define: define.iter().map(|d| d.parse().expect(d)).collect(),
        ..LoadOptions::default()
    };
    Image::open("@thread", &options).unwrap_or_else(|e| panic!("{define:?}: {e}"))
}

pub fn load(define: &[&str], classes: EventClass) -> Bench {
    load_image(image(define), classes, 1_000_000)
}

/// A run that never ends is cut off after so many instructions.
pub fn load_image(image: Image, classes: EventClass, max_insns: u64) -> Bench {
    let config = MachineConfig {
        ram_size: 512 << 20,
        max_insns,
        ..MachineConfig::default()
    };
    Bench::of_image(image, config, classes)
}

/// Runs it to its end, with injections.
pub fn run(define: &[&str], schedule: &[&str]) -> Ran {
    let mut bench = load(define, usual()).schedule(schedule);
    let stop = bench.machine.run(Until::Never);
    bench.machine.finish().expect("no output fails");
    Ran { bench, stop }
}

/// A run that has ended.
pub struct Ran {
    pub bench: Bench,
    pub stop: StopReason,
}

impl Ran {
    pub fn succeeded(&self) -> bool {
        matches!(self.stop, StopReason::GuestExit { success: true, .. })
    }

    pub fn of(&self, vector: u8) -> Vec<Delivery> {
        let mut all = self.bench.deliveries();
        all.retain(|d| d.id.vector.0 == vector);
        all
    }

    /// Page faults of the NMI handler's touch, and all others.
    pub fn faults(&self) -> (usize, usize) {
        let touch = self.bench.at("nmi_touch");
        let all = self.of(PF);
        let in_nmi = all.iter().filter(|d| d.pushed.rip.0 == touch).count();
        (in_nmi, all.len() - in_nmi)
    }

    pub fn nmis(&self) -> usize {
        self.of(NMI).len()
    }

    /// Lines on the console.
    pub fn said(&self) -> Vec<String> {
        let events = self.bench.events();
        let lines = events.into_iter().filter_map(|e| match e.kind {
            EventKind::Console { text, .. } => Some(text),
            _ => None,
        });
        lines.collect()
    }
}

/// Page tables in the guest's memory.
pub struct Tables<'a> {
    bench: &'a Bench,
    /// From a top-level table to the entry that holds private entry 0.
    first: u64,
}

impl<'a> Tables<'a> {
    pub fn of(bench: &'a Bench, pd: bool) -> Self {
        // A PD is the third of three pages; 402 is bits 47:39 of 0xffffc90000000000.
        let first = if pd { 2 * PAGE } else { 8 * 402 };
        Self { bench, first }
    }

    pub fn quad(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        let read = self.bench.machine.read_physical(PhysAddr(at), &mut bytes);
        assert!(read, "{at:#x} is no RAM");
        u64::from_le_bytes(bytes)
    }

    /// The private entries of a top-level table, without A and D.
    pub fn private(&self, top: u64) -> Vec<u64> {
        let entries = (0..PRIVATE_ENTRIES).map(|i| self.quad(top + self.first + 8 * i));
        entries.map(|e| e & !0x60).collect()
    }

    pub fn reference(&self) -> u64 {
        self.bench.at("reference_pml4")
    }

    /// The top-level tables of all tasks on the list, the oldest first.
    pub fn tasks(&self) -> Vec<u64> {
        let mut tops = Vec::new();
        let mut task = self.quad(self.bench.at("task_list"));
        while task != 0 {
            tops.push(self.quad(task + 8));
            task = self.quad(task);
        }
        tops.reverse();
        tops
    }

    /// The top-level table of the task at this symbol.
    pub fn task(&self, symbol: &str) -> u64 {
        self.quad(self.bench.at(symbol) + 8)
    }

    /// Every table that a task or the reference table leads to, but for those of RAM itself; the tables of
    /// each level, 4 to 1.
    pub fn all(&self) -> BTreeMap<u8, BTreeSet<u64>> {
        let ram = ["low_pdpt", "low_pd", "low_pt"].map(|s| self.bench.at(s));
        let mut levels = BTreeMap::new();
        let mut tables: BTreeSet<u64> = self.tasks().into_iter().collect();
        tables.insert(self.reference());
        for level in (1..=4).rev() {
            let mut below = BTreeSet::new();
            for &table in &tables {
                let entries = (0..512).map(|i| self.quad(table + 8 * i));
                for entry in entries.filter(|e| e & PRESENT != 0) {
                    if level > 1
                        && (level == 4 || entry & LARGE == 0)
                        && !ram.contains(&(entry & FRAME))
                    {
                        below.insert(entry & FRAME);
                    }
                }
            }
            levels.insert(level, std::mem::replace(&mut tables, below));
        }
        levels
    }
}
