//! The linear address space of a case: two-page regions at addresses where rules change, each page
//! with rights of its own, and the page tables and RAM that the emulator sees of it.

use std::fmt;

use iretrace::arch::bits::pte;

/// Bytes of a page.
pub const PAGE: u64 = 0x1000;

/// Regions: two neighbouring pages each.
#[rustfmt::skip]
pub mod region {
    pub const IDT: u8 = 0;
    pub const GDT: u8 = 1;
    pub const LDT: u8 = 2;
    pub const TSS: u8 = 3;
    pub const STACK: u8 = 4;
    pub const USER: u8 = 5;
    /// At -2 GiB.
    pub const HIGH: u8 = 6;
    /// The last two pages below the canonical hole.
    pub const BELOW_HOLE: u8 = 7;
    /// The first two pages above it.
    pub const ABOVE_HOLE: u8 = 8;
    /// The last page of the address space, and the first.
    pub const WRAP: u8 = 9;
    pub const COUNT: u8 = 10;
}

/// A linear address: relative to the middle of a region, or anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum At {
    /// Relative to the border between the two pages of a region.
    In(u8, i64),
    Raw(u64),
}

impl At {
    pub fn linear(self, la57: bool) -> u64 {
        match self {
            Self::In(region, offset) => middle(region, la57).wrapping_add_signed(offset),
            Self::Raw(at) => at,
        }
    }
}

/// The border between the two pages of a region.
fn middle(which: u8, la57: bool) -> u64 {
    let half = if la57 { 1u64 << 56 } else { 1 << 47 };
    match which {
        region::HIGH => 0xffff_ffff_8000_1000,
        region::BELOW_HOLE => half - PAGE,
        region::ABOVE_HOLE => half.wrapping_neg() + PAGE,
        region::WRAP => 0,
        low => 0x1_0000 * (u64::from(low) + 1) + PAGE,
    }
}

/// A page's leaf entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PageSpec {
    pub present: bool,
    pub writable: bool,
    pub user: bool,
    /// A reserved bit is set.
    pub reserved: bool,
    pub key: u8,
    pub accessed: bool,
    pub dirty: bool,
}

impl fmt::Debug for PageSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = [
            (self.present, 'P'),
            (self.writable, 'W'),
            (self.user, 'U'),
            (self.reserved, 'r'),
            (self.accessed, 'A'),
            (self.dirty, 'D'),
        ];
        for (_, letter) in bits.iter().filter(|b| b.0) {
            write!(f, "{letter}")?;
        }
        write!(f, "{}", self.key)
    }
}

/// A page: where it is, what may be done with it, what it holds.
#[derive(Clone, Debug)]
pub struct Page {
    pub linear: u64,
    pub spec: PageSpec,
    pub bytes: Box<[u8; PAGE as usize]>,
}

/// All pages, in the order of the regions; the bytes are a pattern that tells places apart.
pub fn pages(specs: &[PageSpec], la57: bool) -> Vec<Page> {
    let page = |(i, &spec): (usize, &PageSpec)| {
        let middle = middle(i as u8 / 2, la57);
        let mut bytes = Box::new([0; PAGE as usize]);
        for (j, b) in bytes.iter_mut().enumerate() {
            *b = (i * 37 + j * 11 + (j >> 8)) as u8;
        }
        Page {
            linear: if i % 2 == 0 {
                middle.wrapping_sub(PAGE)
            } else {
                middle
            },
            spec,
            bytes,
        }
    };
    specs.iter().enumerate().map(page).collect()
}

/// Stores a quadword at `linear` whatever the rights are; what lies outside all pages is dropped.
pub fn poke(pages: &mut [Page], linear: u64, value: u64) {
    for (i, byte) in value.to_le_bytes().into_iter().enumerate() {
        let at = linear.wrapping_add(i as u64);
        if let Some(page) = pages.iter_mut().find(|p| p.linear == at & !(PAGE - 1)) {
            page.bytes[(at & (PAGE - 1)) as usize] = byte;
        }
    }
}

/// The byte at `linear`; 0 outside all pages.
pub fn peek(pages: &[Page], linear: u64) -> u64 {
    pages
        .iter()
        .find(|p| p.linear == linear & !(PAGE - 1))
        .map_or(0, |p| p.bytes[(linear & (PAGE - 1)) as usize].into())
}

/// Where the page tables begin.
pub const ROOT: u64 = 0x18_000;
const RAM: usize = 0x40_000;

/// The frame of page `i`: neighbours in linear memory are none in RAM. All lie below [`ROOT`].
pub fn frame(i: usize) -> u64 {
    PAGE * (1 + (i as u64 * 7) % 20)
}

/// RAM with these pages in their frames, and 4- or 5-level tables that map them. The upper levels
/// grant everything and have A set. And where each page's leaf entry lies.
pub fn ram(pages: &[Page], la57: bool) -> (Vec<u8>, Vec<usize>) {
    const UPPER: u64 = pte::P | pte::W | pte::U | pte::A;
    let mut ram = vec![0; RAM];
    let mut next = ROOT + PAGE;
    let mut leaves = Vec::with_capacity(pages.len());
    for (i, page) in pages.iter().enumerate() {
        let at = frame(i) as usize;
        ram[at..at + PAGE as usize].copy_from_slice(&page.bytes[..]);
        let mut table = ROOT;
        let mut shift = if la57 { 48 } else { 39 };
        loop {
            let entry = (table + ((page.linear >> shift) & 0x1ff) * 8) as usize;
            if shift == 12 {
                store(&mut ram, entry, leaf(&page.spec, frame(i)));
                leaves.push(entry);
                break;
            }
            let mut value = load(&ram, entry);
            if value == 0 {
                value = next | UPPER;
                next += PAGE;
                store(&mut ram, entry, value);
            }
            table = value & 0x000f_ffff_ffff_f000;
            shift -= 9;
        }
    }
    assert!(next as usize <= RAM);
    (ram, leaves)
}

pub fn leaf(spec: &PageSpec, frame: u64) -> u64 {
    let bit = |on: bool, bit: u64| if on { bit } else { 0 };
    frame
        | bit(spec.present, pte::P)
        | bit(spec.writable, pte::W)
        | bit(spec.user, pte::U)
        | bit(spec.accessed, pte::A)
        | bit(spec.dirty, pte::D)
        // Beyond MAXPHYADDR of every model.
        | bit(spec.reserved, 1 << 51)
        | u64::from(spec.key) << 59
}

pub fn load(ram: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&ram[at..at + 8]);
    u64::from_le_bytes(bytes)
}

pub fn store(ram: &mut [u8], at: usize, value: u64) {
    ram[at..at + 8].copy_from_slice(&value.to_le_bytes());
}
