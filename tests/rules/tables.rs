//! The descriptors that the GDT and the LDT of a case hold, and IDT gates.

/// A descriptor: base, raw limit, type with S (bits 12:8 of the upper doubleword), DPL, flags.
const fn descriptor(base: u64, limit: u64, kind: u64, dpl: u64, flags: u64) -> u64 {
    limit & 0xffff
        | (limit & 0xf_0000) << 32
        | (base & 0xff_ffff) << 16
        | (base & 0xff00_0000) << 32
        | (kind & 0x1f) << 40
        | dpl << 45
        | flags
}

const P: u64 = 1 << 47;
const L: u64 = 1 << 53;
const D: u64 = 1 << 54;
const G: u64 = 1 << 55;
const CODE: u64 = 0x1a;
const EXECUTE_ONLY: u64 = 0x18;
const CONFORMING: u64 = 0x1e;
const DATA: u64 = 0x12;
const READ_ONLY: u64 = 0x10;
const EXPAND_DOWN: u64 = 0x16;
const FLAT: u64 = 0xf_ffff;

/// Where the stack of [`region::STACK`](super::pages::region) begins: a segment base.
pub const STACK_BASE: u64 = 0x5_0000;
/// The same of the user's.
pub const USER_BASE: u64 = 0x6_0000;

/// Indices into [`MENU`].
#[rustfmt::skip]
pub mod index {
    pub const CODE0: u16 = 1;
    pub const DATA0: u16 = 2;
    pub const CODE3_32: u16 = 3;
    pub const DATA3: u16 = 4;
    pub const CODE3: u16 = 5;
    pub const CODE1: u16 = 6;
    pub const DATA1: u16 = 7;
    pub const CODE2: u16 = 8;
    pub const DATA2: u16 = 9;
    pub const CONFORMING0: u16 = 10;
    pub const CONFORMING3: u16 = 11;
    pub const CODE0_32: u16 = 12;
    pub const DATA3_16: u16 = 13;
    pub const DATA0_16: u16 = 14;
    pub const DATA3_BASED: u16 = 15;
    pub const DATA3_DOWN: u16 = 16;
    pub const CODE3_16: u16 = 17;
    pub const DATA0_BASED: u16 = 18;
    pub const DATA0_DOWN: u16 = 19;
    pub const CONFORMING1: u16 = 20;
}

/// What both tables offer.
#[rustfmt::skip]
pub const MENU: [u64; 36] = [
    0,
    descriptor(0, 0, CODE, 0, P | L),
    descriptor(0, FLAT, DATA, 0, P | D | G),
    descriptor(0, FLAT, CODE, 3, P | D | G),
    descriptor(0, FLAT, DATA, 3, P | D | G),
    descriptor(0, 0, CODE, 3, P | L),
    descriptor(0, FLAT, CODE, 1, P | L | G),
    descriptor(0, FLAT, DATA, 1, P | D | G),
    descriptor(0, 0, EXECUTE_ONLY, 2, P | L),
    descriptor(0, FLAT, DATA, 2, P | D | G),
    descriptor(0, 0, CONFORMING, 0, P | L),
    descriptor(0, 0, CONFORMING, 3, P | L),
    descriptor(0, FLAT, CODE, 0, P | D | G),
    descriptor(USER_BASE, 0xffff, DATA, 3, P),
    descriptor(STACK_BASE, 0xffff, DATA, 0, P),
    // Limited in the upper page.
    descriptor(USER_BASE, 0x1fdf, DATA, 3, P | D),
    descriptor(USER_BASE, 0x0fdf, EXPAND_DOWN, 3, P | D),
    descriptor(0, 0xffff, CODE, 3, P),
    descriptor(STACK_BASE, 0x1fdf, DATA, 0, P | D),
    descriptor(STACK_BASE, 0x0fdf, EXPAND_DOWN, 0, P),
    descriptor(0, 0, CONFORMING, 1, P | L),
    descriptor(0, 0x7fff, CODE, 3, P | D),
    descriptor(0, 0, CODE, 0, P | L | D),
    descriptor(0, 0, CODE, 3, P | L | D),
    descriptor(0, 0, CODE, 0, L),
    descriptor(0, 0, CODE, 3, L),
    descriptor(0, 0, CONFORMING, 0, L),
    descriptor(0, FLAT, DATA, 0, D | G),
    descriptor(0, FLAT, DATA, 3, D | G),
    descriptor(0, FLAT, READ_ONLY, 0, P | D | G),
    descriptor(0, FLAT, READ_ONLY, 3, P | D | G),
    // A busy TSS, a call gate, an LDT.
    descriptor(0, 0x67, 0x0b, 0, P),
    descriptor(0, 0, 0x0c, 3, P),
    descriptor(0, 0xffff, 0x02, 0, P),
    descriptor(0, FLAT, CODE, 3, D | G),
    descriptor(0, 0x7fff, CONFORMING, 0, P | D),
];

/// The selector of menu entry `index`. The LDT begins with entry 1, so that its index 0, which
/// is not null, is good.
pub const fn selector(index: u16, local: bool, rpl: u8) -> u16 {
    if local && index > 0 {
        (index - 1) << 3 | 4 | rpl as u16
    } else {
        index << 3 | rpl as u16
    }
}

/// The menu entry that a selector names, in a table without defects.
pub fn named(selector: u16) -> u64 {
    let index = (selector >> 3) + u16::from(selector & 4 != 0);
    MENU[usize::from(index)]
}
