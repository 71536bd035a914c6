//! Random sequences of accesses to two pages and of changes between them, through the whole
//! machine, compared with the oracle and the model of cached translations.
//!
//! Everything that changes is changed by guest code: the engine keeps the permissions of its own
//! translations, and must let nothing through, and refuse nothing, that the rules would not.

use std::fmt::Write as _;
use std::time::Instant;

use iretrace::arch::{CpuModel, PhysAddr, Vendor};
use iretrace::load::{Image, LoadOptions};
use iretrace::machine::{Machine, MachineConfig, StopReason, TlbMode, Until};

use crate::cached::{Model, Slot, TARGET};
use crate::oracle::{Entry, What, Who};
use crate::rig::{MAXPHYADDR, encode};

const SCRIPT: u64 = 0x20_0000;
const LOG: u64 = 0x28_0000;
/// The frames of the target: what its pages map to, 2 MiB each.
const FRAMES: [u64; 2] = [0x40_0000, 0x60_0000];
/// The offsets of PTEs 0 and 5's pages.
const PAGES: [u64; 2] = [0, 0x5000];
/// Where in a page data is read and written; what is fetched by the kernel is at its start.
const DATA: u64 = 0x800;
const USER_CODE: u64 = 0x10;
const NO_FLUSH: u64 = 1 << 63;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    /// True `n` times in 16.
    fn often(&mut self, n: u64) -> bool {
        self.below(16) < n
    }
}

/// What an access must leave in the log.
struct Expected {
    result: u64,
    cr2: u64,
    tables: [u64; 3],
    /// How many operations came before it.
    after: usize,
}

/// A script, what its accesses must leave, and the state that they are derived from.
struct Script {
    random: Random,
    /// Everything is allowed to all, frames change, and little is invalidated: what is looked for
    /// are frames that only some of those who use a page see.
    open: bool,
    model: Model,
    words: Vec<[u64; 2]>,
    told: Vec<String>,
    expected: Vec<Expected>,
    /// The byte at [`DATA`], by frame and page.
    data: [[u64; 2]; 2],
    written: u64,
    cr0: u64,
    cr4: u64,
}

fn target_pt(image: &Image) -> u64 {
    image.resolve("target_pt").expect("a symbol").0
}

fn quadword(slot: Slot, table: u64, page: u64) -> u64 {
    let (entry, frame) = slot;
    encode(
        &entry,
        if table == 0 {
            FRAMES[frame] + page
        } else {
            table
        },
    )
}

/// What the code in `frame` and `page` returns.
fn mark(frame: usize, page: usize) -> u64 {
    0x1_0000 + 0x100 * frame as u64 + page as u64
}

impl Script {
    fn op(&mut self, operation: u64, argument: u64, text: &str) {
        self.words.push([operation, argument]);
        self.told.push(format!("{text} {argument:#x}"));
    }

    fn entry(&mut self) -> Entry {
        let r = &mut self.random;
        if self.open {
            return Entry {
                p: true,
                w: true,
                u: true,
                d: r.often(4),
                bit8: r.often(2),
                ..Entry::default()
            };
        }
        Entry {
            p: r.often(15),
            w: r.often(11),
            u: r.often(12),
            a: r.often(8),
            d: r.often(8),
            bit7: false,
            bit8: r.often(4),
            xd: r.often(2),
            beyond: r.below(40) == 0,
            low: false,
            key: if r.often(8) { 0 } else { 7 },
        }
    }

    fn pde(&self, pt: u64) -> u64 {
        let table = if self.model.pde.0.bit7 { 0 } else { pt };
        quadword(self.model.pde, table, 0)
    }

    fn pte(&self, page: usize) -> u64 {
        quadword(self.model.pte[page], 0, PAGES[page])
    }

    fn set_pde(&mut self, pt: u64) {
        let mut entry = self.entry();
        entry.bit7 = self.random.often(if self.open { 12 } else { 5 });
        entry.low = !self.open && entry.bit7 && self.random.often(1);
        self.model.pde = (entry, self.random.below(2) as usize);
        self.op(6, self.pde(pt), "PDE :=");
    }

    fn set_pte(&mut self, page: usize) {
        self.model.pte[page] = (self.entry(), self.random.below(2) as usize);
        self.op(7 + page as u64, self.pte(page), "PTE :=");
    }

    fn set_cr4(&mut self) {
        let mut mode = self.model.mode;
        let mut pcide = self.model.pcide;
        match self.random.below(12) {
            0..3 => mode.smep = !mode.smep,
            3..6 => mode.smap = !mode.smap,
            6..9 => mode.pke = !mode.pke,
            9..11 => mode.pge = !mode.pge,
            // It cannot be set with another PCID than 0.
            _ if self.model.pcid == 0 => pcide = !pcide,
            _ => mode.pke = true,
        }
        self.load_cr4(mode, pcide);
    }

    fn load_cr4(&mut self, mode: crate::oracle::Mode, pcide: bool) {
        self.model.load_cr4(mode, pcide);
        let bits = [
            (mode.pge, 7),
            (pcide, 17),
            (mode.smep, 20),
            (mode.smap, 21),
            (mode.pke, 22),
        ];
        let bits: u64 = bits.iter().map(|&(on, n)| u64::from(on) << n).sum();
        self.op(3, self.cr4 | bits, "CR4 :=");
    }

    /// The manual says nothing of translations cached under the other NXE: none is left.
    fn set_nxe(&mut self) {
        self.model.mode.nxe = !self.model.mode.nxe;
        let nxe = u64::from(self.model.mode.nxe) << 11;
        self.op(5, 0x500 | nxe, "EFER :=");
        let mut mode = self.model.mode;
        let pcide = self.model.pcide;
        for _ in 0..2 {
            mode.pge = !mode.pge;
            self.load_cr4(mode, pcide);
        }
    }

    fn set_pkru(&mut self) {
        // WRPKRU is undefined without CR4.PKE.
        if self.model.mode.pke {
            let pkru = self.random.next() as u32;
            self.model.mode.pkru = pkru;
            self.op(4, pkru.into(), "PKRU :=");
        }
    }

    fn set_wp(&mut self) {
        self.model.mode.wp = !self.model.mode.wp;
        let wp = u64::from(self.model.mode.wp) << 16;
        self.op(1, self.cr0 & !(1 << 16) | wp, "CR0 :=");
    }

    fn some_pcid(&mut self) -> u16 {
        if self.model.pcide {
            self.random.below(3) as u16
        } else {
            0
        }
    }

    fn set_cr3(&mut self, pml4: u64) {
        let pcid = self.some_pcid();
        let keep = self.model.pcide && self.random.often(9);
        self.model.load_cr3(pcid, keep);
        let keep = if keep { NO_FLUSH } else { 0 };
        self.op(2, keep | pml4 | u64::from(pcid), "CR3 :=");
    }

    fn invlpg(&mut self) {
        let at = TARGET + PAGES[self.random.below(2) as usize] + self.random.below(4096);
        self.model.invlpg(at);
        self.op(9, at, "INVLPG");
    }

    fn invpcid(&mut self) {
        let kind = self.random.below(4);
        let pcid = self.some_pcid();
        let at = TARGET + PAGES[self.random.below(2) as usize];
        self.model.invpcid(kind, pcid, at);
        self.op(10, kind | u64::from(pcid) << 8 | at << 32, "INVPCID");
    }

    fn access(&mut self, pt: u64) {
        let page = self.random.below(2) as usize;
        let ac = self.random.often(8);
        self.model.mode.ac = ac;
        let operation = 11 + self.random.below(8);
        let (who, what, offset, text) = match operation {
            11 => (Who::Supervisor, What::Read, DATA, "the kernel reads"),
            12 => (Who::Supervisor, What::Write, DATA, "the kernel writes"),
            13 => (Who::Supervisor, What::Fetch, 0, "the kernel fetches"),
            14 => (Who::Implicit, What::Read, DATA, "CPL 0, implicit:"),
            15 => (Who::User, What::Read, DATA, "the user reads"),
            16 => (Who::User, What::Write, DATA, "the user writes"),
            17 => (Who::User, What::Fetch, USER_CODE, "the user fetches"),
            _ => (Who::Implicit, What::Read, DATA, "CPL 3, implicit:"),
        };
        let at = TARGET + PAGES[page] + offset;
        self.written = (self.written + 1) & 0xff;
        let argument = at | u64::from(ac) << 32 | self.written << 40;
        self.op(operation, argument, text);
        let (result, cr2) = match self.model.access(at, who, what) {
            Err(code) => (1 << 63 | u64::from(code), at),
            Ok(frame) => {
                let result = match what {
                    What::Fetch => mark(frame, page),
                    What::Read if who == Who::Implicit => 0,
                    What::Read => self.data[frame][page],
                    What::Write => {
                        self.data[frame][page] = self.written;
                        0
                    }
                };
                (result, 0)
            }
        };
        self.expected.push(Expected {
            result,
            cr2,
            tables: [self.pde(pt), self.pte(0), self.pte(1)],
            after: self.words.len(),
        });
    }

    /// The operations, after some that give everything a value.
    fn generate(&mut self, operations: usize, image: &Image) {
        let pt = target_pt(image);
        let pml4 = image.resolve("kernel_pml4").expect("a symbol").0;
        self.load_cr4(self.model.mode, false);
        self.set_wp();
        self.set_pde(pt);
        self.set_pte(0);
        self.set_pte(1);
        self.set_nxe();
        while self.words.len() < operations {
            let chosen = if self.open {
                // No control bits but rarely: their changes make the engine ask again.
                match self.random.below(128) {
                    n @ 0..124 => n % 45,
                    n => n % 19 + 45,
                }
            } else {
                self.random.below(64)
            };
            match chosen {
                0..30 => self.access(pt),
                30..36 => self.set_pte(0),
                36..41 => self.set_pte(1),
                41..45 => self.set_pde(pt),
                45..50 => self.set_cr4(),
                50..53 => self.set_wp(),
                53..57 => self.set_pkru(),
                57 => self.set_nxe(),
                58..60 => self.set_cr3(pml4),
                60..62 => self.invlpg(),
                _ => self.invpcid(),
            }
        }
        self.op(0, 0, "end");
    }
}

fn image() -> Image {
    let source = format!(
        "{}{}",
        include_str!("../machine/prelude.inc"),
        include_str!("guest.S")
    );
    Image::from_bytes("walk.S", source.as_bytes(), &LoadOptions::default())
        .unwrap_or_else(|e| panic!("{e}"))
}

fn machine(image: &Image, tlb: TlbMode) -> Machine {
    let mut cpu = CpuModel::of(Vendor::Intel);
    cpu.maxphyaddr = MAXPHYADDR;
    let mut machine = Machine::new(MachineConfig {
        cpu,
        ram_size: 8 << 20,
        max_insns: 10_000_000,
        tlb,
        ..MachineConfig::default()
    })
    .expect("a machine");
    machine.load(image).expect("the image fits");
    for (f, frame) in FRAMES.into_iter().enumerate() {
        for (p, page) in PAGES.into_iter().enumerate() {
            // mov eax, MARK; ret, and mov eax, MARK; int 0x2f
            let mark = (mark(f, p) as u32).to_le_bytes();
            let kernel = [&[0xb8][..], &mark, &[0xc3]].concat();
            let user = [&[0xb8][..], &mark, &[0xcd, 0x2f]].concat();
            machine.write_physical(PhysAddr(frame + page), &kernel);
            machine.write_physical(PhysAddr(frame + page + USER_CODE), &user);
        }
    }
    machine
}

fn quad(machine: &Machine, at: u64) -> u64 {
    let mut bytes = [0; 8];
    assert!(machine.read_physical(PhysAddr(at), &mut bytes));
    u64::from_le_bytes(bytes)
}

/// Runs the sequence of `seed`; how many accesses it made, and how many of them faulted.
fn run(image: &Image, seed: u64, operations: usize, tlb: TlbMode) -> (usize, usize) {
    let mut machine = machine(image, tlb);
    let regs = &machine.cpu().regs;
    let mut script = Script {
        random: Random(seed),
        open: seed % 2 == 1,
        model: Model::new(tlb),
        words: Vec::new(),
        told: Vec::new(),
        expected: Vec::new(),
        data: [[0; 2]; 2],
        written: 0,
        cr0: regs.cr0,
        cr4: regs.cr4,
    };
    script.generate(operations, image);
    for (i, words) in script.words.iter().enumerate() {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        machine.write_physical(PhysAddr(SCRIPT + 16 * i as u64), &bytes);
    }
    let stop = machine.run(Until::Never);
    let mut faults = 0;
    for (i, want) in script.expected.iter().enumerate() {
        let at = LOG + 40 * i as u64;
        let found: Vec<u64> = (0..5).map(|n| quad(&machine, at + 8 * n)).collect();
        let [a, b, c] = want.tables;
        let want_words = [want.result, want.cr2, a, b, c];
        faults += usize::from(want.result >> 63 != 0);
        if found != want_words {
            let mut text = String::new();
            for n in want.after.saturating_sub(40)..want.after {
                let result = script.expected.iter().find(|e| e.after == n + 1);
                let result = result.map_or(String::new(), |e| format!(": {:#x}", e.result));
                let _ = writeln!(text, "  {}{result}", script.told[n]);
            }
            panic!(
                "seed {seed}, access {i}, {tlb:?}:\n{text}result, CR2, PDE, PTEs\nmust be {want_words:x?}\nare     {found:x?}\n{:?}\n{stop}",
                script.model.mode
            );
        }
    }
    assert!(
        matches!(stop, StopReason::GuestExit { success: true, .. }),
        "seed {seed}: {stop}"
    );
    (script.expected.len(), faults)
}

/// How many: 24, or what the environment says, for a long run.
fn sequences() -> u64 {
    let wanted = std::env::var("IRETRACE_WALK_SEQUENCES").ok();
    wanted.map_or(24, |n| n.parse().expect("a number"))
}

fn run_all(seeds: std::ops::Range<u64>, operations: usize, tlb: TlbMode) {
    let begun = Instant::now();
    let image = image();
    let (mut accesses, mut faults) = (0, 0);
    for seed in seeds {
        let (a, f) = run(&image, seed, operations, tlb);
        accesses += a;
        faults += f;
    }
    // Neither all nor none: the sequences say something of both.
    assert!(
        accesses / 10 < faults && faults < accesses * 4 / 5,
        "{faults} of {accesses}"
    );
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "machine, --tlb {}: {accesses} accesses, {faults} of them faults, in {seconds:.1} s",
        tlb.name()
    );
}

#[test]
fn accesses_between_changes() {
    run_all(0..sequences(), 2000, TlbMode::Model);
}

#[test]
fn accesses_without_cached_translations() {
    run_all(100..106, 1000, TlbMode::None);
}
