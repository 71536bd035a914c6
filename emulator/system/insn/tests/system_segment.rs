//! SDM vol. 2, LLDT, LTR, SLDT, STR, LGDT, SGDT; vol. 3, 2.4, 7.2.3.

use super::{DATA, GP0, HOLE, Rig};
use crate::arch::bits::cr4;
use crate::arch::state::gpr;
use crate::arch::{Exception, Segment, TableRegister, Vector, VirtAddr};
use crate::system::testing::{place, sel};

const LLDT: &[u8] = &[0x0f, 0x00, 0xd0];
const LTR: &[u8] = &[0x0f, 0x00, 0xd8];
const SGDT: &[u8] = &[0x0f, 0x01, 0x07];
const LGDT: &[u8] = &[0x0f, 0x01, 0x17];
const LIDT: &[u8] = &[0x0f, 0x01, 0x1f];

/// A free slot for a 16-byte descriptor.
const NEW: u16 = 0x80;

/// A system descriptor with this base, type and P.
fn with_descriptor(base: u64, kind: u64, present: bool) -> Rig {
    let mut rig = Rig::new();
    rig.cpu.regs.gdtr.limit = NEW + 15;
    let low = 0x0067 | (base & 0xff_ffff) << 16 | kind << 40 | (base >> 24 & 0xff) << 56;
    rig.poke(place::GDT + u64::from(NEW), low | u64::from(present) << 47);
    rig.poke(place::GDT + u64::from(NEW) + 8, base >> 32);
    *rig.gpr(gpr::RAX) = u64::from(NEW);
    rig
}

#[test]
fn ltr_loads_64_bits_of_base_and_sets_busy() {
    let mut rig = with_descriptor(0xffff_8000_1234_5678, 9, true);
    rig.done(LTR);
    let tr = rig.cpu.regs.tr;
    assert_eq!(
        (tr.selector, tr.base, tr.limit),
        (NEW, 0xffff_8000_1234_5678, 0x67)
    );
    assert_eq!(tr.attr, 0x8b00);
    assert_eq!(rig.peek(place::GDT + u64::from(NEW)) >> 40 & 0xf, 0xb);
    // It is busy now.
    rig.faults(LTR, Exception::gp(u32::from(NEW)));
}

#[test]
fn ltr_checks() {
    let error = u32::from(NEW);
    with_descriptor(0, 2, true).faults(LTR, Exception::gp(error));
    let not_present = Exception::with_code(Vector::NP, error);
    with_descriptor(0, 9, false).faults(LTR, not_present);
    // Not canonical in 57 bits either.
    with_descriptor(1 << 60, 9, true).faults(LTR, Exception::gp(error));
    let mut rig = with_descriptor(0, 9, true);
    *rig.gpr(gpr::RAX) = 0;
    rig.faults(LTR, GP0);
    *rig.gpr(gpr::RAX) = u64::from(NEW | 4);
    rig.faults(LTR, Exception::gp(error | 4));
    *rig.gpr(gpr::RAX) = u64::from(sel::KERNEL_SS);
    rig.faults(LTR, Exception::gp(u32::from(sel::KERNEL_SS)));
    // The upper half must lie within the limit too.
    let mut rig = with_descriptor(0, 9, true);
    rig.cpu.regs.gdtr.limit = NEW + 14;
    rig.faults(LTR, Exception::gp(error));
    // Bits 12:8 of the last doubleword must be 0 (SDM vol. 3, figure 7-4).
    let mut rig = with_descriptor(0, 9, true);
    rig.poke(place::GDT + u64::from(NEW) + 8, 1 << 40);
    rig.faults(LTR, Exception::gp(error));
    rig.user();
    rig.faults(LTR, GP0);
    rig.faults(LLDT, GP0);
}

#[test]
fn ltr_stores_into_a_page_that_must_be_writable() {
    let mut rig = with_descriptor(0, 9, true);
    rig.remap(place::GDT, crate::arch::bits::pte::P);
    let at = VirtAddr(place::GDT + u64::from(NEW) + 4);
    // Supervisor write, present.
    rig.faults(LTR, Exception::pf(3, at));
}

#[test]
fn lldt_of_a_null_selector_makes_the_ldt_unusable() {
    let mut rig = with_descriptor(0x5000, 2, true);
    rig.done(LLDT);
    assert_eq!(
        (rig.cpu.regs.ldtr.base, rig.cpu.regs.ldtr.selector),
        (0x5000, NEW)
    );
    *rig.gpr(gpr::RAX) = 3;
    rig.done(LLDT);
    assert_eq!(rig.cpu.regs.ldtr, Segment::null(3));
    with_descriptor(0, 9, true).faults(LLDT, Exception::gp(u32::from(NEW)));
}

#[test]
fn selectors_are_stored_by_width_and_kept_from_users_by_umip() {
    let mut rig = Rig::new();
    *rig.gpr(gpr::RAX) = u64::MAX;
    rig.cpu.regs.ldtr.selector = 0x1234;
    rig.done(&[0x0f, 0x00, 0xc0]);
    assert_eq!(*rig.gpr(gpr::RAX), 0x1234);
    rig.poke(DATA, u64::MAX);
    *rig.gpr(gpr::RDI) = DATA;
    rig.done(&[0x0f, 0x00, 0x0f]);
    assert_eq!(rig.peek(DATA), 0xffff_ffff_ffff_0000 | u64::from(sel::TSS));
    rig.user();
    rig.done(&[0x0f, 0x00, 0x0f]);
    rig.cpu.regs.cr4 |= cr4::UMIP;
    rig.faults(&[0x0f, 0x00, 0x0f], GP0);
    rig.faults(SGDT, GP0);
}

#[test]
fn tables_are_ten_bytes_in_64_bit_mode() {
    let mut rig = Rig::new();
    *rig.gpr(gpr::RDI) = DATA;
    rig.poke(DATA, u64::MAX);
    rig.poke(DATA + 8, u64::MAX);
    rig.cpu.regs.gdtr = TableRegister {
        base: 0x1122_3344_5566_7788,
        limit: 0xaabb,
    };
    rig.done(SGDT);
    assert_eq!(rig.peek(DATA), 0x3344_5566_7788_aabb);
    assert_eq!(rig.peek(DATA + 8), 0xffff_ffff_ffff_1122);

    rig.poke(DATA, 0x8000_0000_1000_0fff);
    rig.poke(DATA + 8, 0xffff);
    rig.done(LIDT);
    let loaded = TableRegister {
        base: 0xffff_8000_0000_1000,
        limit: 0xfff,
    };
    assert_eq!(rig.cpu.regs.idtr, loaded);
    rig.poke(DATA + 8, 0x0100);
    rig.faults(LGDT, GP0);
    *rig.gpr(gpr::RDI) = HOLE - 4;
    rig.faults(LGDT, GP0);
    rig.user();
    rig.faults(LGDT, GP0);
}

#[test]
fn a_store_over_a_bad_page_writes_nothing() {
    let mut rig = Rig::new();
    let at = place::USER_STACK - 4;
    *rig.gpr(gpr::RDI) = at;
    let before = rig.peek(at);
    // Write, not present, supervisor; the address is the first byte in the bad page.
    rig.faults(SGDT, Exception::pf(2, VirtAddr(place::USER_STACK)));
    assert_eq!(rig.peek(at), before);
}
