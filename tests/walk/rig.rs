//! The emulator's walk over five entries, and the comparison with the oracle.

use iretrace::arch::paging::{PagingContext, PhysMemory, walk};
use iretrace::arch::{Access, AccessKind, CpuModel, PhysAddr, Vendor, VirtAddr};

use crate::oracle::{Entries, Entry, Mode, Page, Verdict, What, Who, afterwards, verdict};

/// MAXPHYADDR of the walks here.
pub const MAXPHYADDR: u8 = 40;

/// Where a PML5E points, and so on down; a large page's bits come on top of it.
const PML4: u64 = 0x12_3456_7000;
const PDPT: u64 = 0x23_4567_8000;
const PD: u64 = 0x34_5678_9000;
const PT: u64 = 0x45_6789_a000;
const ROOT: u64 = 0x56_789a_b000;
/// A frame of 4 KiB, of 2 MiB, of 1 GiB. The large ones have PAT, bit 12, set: no address bit.
const FRAME: u64 = 0x67_89ab_c000;
const FRAME_2M: u64 = 0x78_9aa0_0000 + 0x1000;
const FRAME_1G: u64 = 0x89_8000_0000 + 0x1000;

/// One of the combinations' accesses.
#[derive(Clone, Copy, Debug)]
pub struct By {
    pub who: Who,
    pub what: What,
    pub access: Access,
}

const fn by(who: Who, what: What) -> By {
    let kind = match what {
        What::Read => AccessKind::Read,
        What::Write => AccessKind::Write,
        What::Fetch => AccessKind::Fetch,
    };
    let access = match who {
        Who::User => Access::explicit(kind, 3),
        Who::Supervisor => Access::explicit(kind, 0),
        Who::Implicit => Access::implicit(kind),
    };
    By { who, what, access }
}

/// All accesses: nothing is fetched implicitly.
pub const ACCESSES: [By; 8] = [
    by(Who::User, What::Read),
    by(Who::User, What::Write),
    by(Who::User, What::Fetch),
    by(Who::Supervisor, What::Read),
    by(Who::Supervisor, What::Write),
    by(Who::Supervisor, What::Fetch),
    by(Who::Implicit, What::Read),
    by(Who::Implicit, What::Write),
];

/// The entry as a quadword (SDM vol. 3, figure 4-11).
pub const fn encode(e: &Entry, address: u64) -> u64 {
    let mut q = address | (e.key as u64) << 59;
    let bits = [
        (e.p, 0),
        (e.w, 1),
        (e.u, 2),
        (e.a, 5),
        (e.d, 6),
        (e.bit7, 7),
        (e.bit8, 8),
        (e.low, 13),
        (e.beyond, MAXPHYADDR as u32),
        (e.xd, 63),
    ];
    let mut i = 0;
    while i < bits.len() {
        if bits[i].0 {
            q |= 1 << bits[i].1;
        }
        i += 1;
    }
    q
}

/// The quadwords from PML5E to PTE.
pub const fn quadwords(e: &Entries) -> [u64; 5] {
    [
        encode(&e.pml5e, PML4),
        encode(&e.pml4e, PDPT),
        encode(&e.pdpte, if e.pdpte.bit7 { FRAME_1G } else { PD }),
        encode(&e.pde, if e.pde.bit7 { FRAME_2M } else { PT }),
        encode(&e.pte, FRAME),
    ]
}

/// The five entries in memory, and nothing else.
struct Memory {
    at: [u64; 5],
    value: [u64; 5],
    writes: u32,
}

impl Memory {
    fn place(&self, at: PhysAddr) -> usize {
        let found = self.at.iter().position(|&a| a == at.0);
        found.unwrap_or_else(|| panic!("the walk touches {at}, where there is no entry of its"))
    }
}

impl PhysMemory for Memory {
    fn read_u64(&mut self, at: PhysAddr) -> u64 {
        self.value[self.place(at)]
    }

    fn write_u64(&mut self, at: PhysAddr, value: u64) {
        let place = self.place(at);
        self.value[place] = value;
        self.writes += 1;
    }
}

/// The registers that `mode` describes.
pub fn context(mode: &Mode, a_on_fault: bool) -> PagingContext {
    let model = CpuModel::of(Vendor::Intel);
    let mut features = model.features;
    features.page_1gb = mode.gigabyte_pages;
    let mut knobs = model.knobs;
    knobs.nonleaf_bit8_reserved = mode.bit8_must_be_zero;
    knobs.set_a_on_failed_walk = a_on_fault;
    let cr4 = [
        (true, 5),
        (mode.pge, 7),
        (mode.la57, 12),
        (mode.smep, 20),
        (mode.smap, 21),
        (mode.pke, 22),
    ];
    PagingContext {
        cr0: 1 << 31 | 1 | u64::from(mode.wp) << 16,
        cr3: ROOT,
        cr4: cr4.iter().map(|&(on, bit)| u64::from(on) << bit).sum(),
        efer: 1 << 8 | 1 << 10 | u64::from(mode.nxe) << 11,
        ac: mode.ac,
        pkru: mode.pkru,
        maxphyaddr: MAXPHYADDR,
        features,
        knobs,
    }
}

/// One combination's outside: registers twice, and the linear address.
#[derive(Debug)]
pub struct Setting {
    pub mode: Mode,
    pub context: PagingContext,
    pub a_on_fault: bool,
    pub address: u64,
}

impl Setting {
    pub fn new(mode: Mode, address: u64) -> Self {
        Self::with(mode, address, false)
    }

    pub fn with(mode: Mode, address: u64, a_on_fault: bool) -> Self {
        Self {
            mode,
            context: context(&mode, a_on_fault),
            a_on_fault,
            address,
        }
    }

    /// Compares everything that a walk tells and does with what it must.
    pub fn check(&self, entries: &Entries, by: By) {
        let index = |shift: u32| (self.address >> shift & 0x1ff) * 8;
        let pml4 = if self.mode.la57 { PML4 } else { ROOT };
        let mut memory = Memory {
            at: [
                ROOT + index(48),
                pml4 + index(39),
                PDPT + index(30),
                PD + index(21),
                PT + index(12),
            ],
            value: quadwords(entries),
            writes: 0,
        };
        if !self.mode.la57 {
            memory.at[0] = !0;
        }
        let before = memory.value;
        let found = walk(
            &self.context,
            &mut memory,
            VirtAddr(self.address),
            by.access,
        );
        let want = verdict(&self.mode, entries, by.who, by.what);
        let after = afterwards(&self.mode, entries, want, by.what, self.a_on_fault);
        let after = quadwords(&after);
        let changed = before.iter().zip(&after).filter(|(b, a)| b != a).count();
        let good = self.is_told(entries, by, want, found.outcome)
            && memory.value == after
            && memory.writes as usize == changed;
        assert!(
            good,
            "{:?} {:?} of {:#x}\n{:?}\n{entries:?}\nmust be {want:x?}, is {found:x?}\n\
             entries must be {after:x?}, are {:x?}, with {} writes",
            by.who, by.what, self.address, self.mode, memory.value, memory.writes
        );
    }

    /// Whether the walk's outcome is `want`.
    fn is_told(
        &self,
        entries: &Entries,
        by: By,
        want: Verdict,
        found: Result<iretrace::arch::paging::Translation, u32>,
    ) -> bool {
        let (want, found) = match (want, found) {
            (Err(want), Err(found)) => return want == found,
            (Ok(want), Ok(found)) => (want, found),
            _ => return false,
        };
        let (size, frame, leaf) = match want.page {
            Page::Pte => (1 << 12, FRAME, entries.pte),
            Page::Pde => (1 << 21, FRAME_2M - 0x1000, entries.pde),
            Page::Pdpte => (1 << 30, FRAME_1G - 0x1000, entries.pdpte),
        };
        found.page_size == size
            && found.phys.0 == frame + self.address % size
            && found.rights.user == want.user
            && found.rights.writable == want.writable
            && found.rights.executable == want.executable
            && found.key == want.key
            && found.global == want.global
            && found.dirty == (leaf.d || by.what == What::Write)
    }
}

/// Bit `n` of a combination's number.
pub const fn bit(number: u32, n: u32) -> bool {
    number >> n & 1 != 0
}

/// The combinations of CR0.WP, CR4.SMEP, CR4.SMAP, CR4.PKE, IA32_EFER.NXE, RFLAGS.AC and the two
/// PKRU bits of `key`; those of all other keys say the opposite.
pub fn modes(key: u8) -> Vec<Mode> {
    let all = 0..1 << 8;
    all.map(|n| {
        let shift = 2 * u32::from(key);
        let own = n >> 6;
        let others = if own == 0 { !0 } else { 0 };
        Mode {
            wp: bit(n, 0),
            smep: bit(n, 1),
            smap: bit(n, 2),
            pke: bit(n, 3),
            nxe: bit(n, 4),
            ac: bit(n, 5),
            pkru: others & !(3 << shift) | own << shift,
            gigabyte_pages: true,
            ..Mode::default()
        }
    })
    .collect()
}
