//! SDM vol. 2, MOV CR, CLTS, LMSW, SMSW; vol. 3, 2.5, 4.10.4.1.

use super::super::control::cr4_writable;
use super::{DATA, GP0, Rig, UD};
use crate::arch::bits::{cr0, cr3, cr4, pte};
use crate::arch::state::gpr;
use crate::arch::{Hex, VirtAddr};
use crate::system::testing::place;
use crate::trace::{EventKind, Invalidation};

const TO_CR0: &[u8] = &[0x0f, 0x22, 0xc0];
const TO_CR2: &[u8] = &[0x0f, 0x22, 0xd0];
const TO_CR3: &[u8] = &[0x0f, 0x22, 0xd8];
const TO_CR4: &[u8] = &[0x0f, 0x22, 0xe0];
const TO_CR8: &[u8] = &[0x44, 0x0f, 0x22, 0xc0];
const FROM_CR0: &[u8] = &[0x0f, 0x20, 0xc3];
const FROM_CR2: &[u8] = &[0x0f, 0x20, 0xd3];
const FROM_CR8: &[u8] = &[0x44, 0x0f, 0x20, 0xc3];

fn with_rax(value: u64) -> Rig {
    let mut rig = Rig::new();
    *rig.gpr(gpr::RAX) = value;
    rig
}

#[test]
fn every_move_needs_cpl_0() {
    for bytes in [
        TO_CR0, TO_CR2, TO_CR3, TO_CR4, TO_CR8, FROM_CR0, FROM_CR2, FROM_CR8,
    ] {
        let mut rig = Rig::new();
        rig.user();
        rig.faults(bytes, GP0);
    }
    // CR1 does not exist.
    Rig::new().faults(&[0x0f, 0x22, 0xc8], UD);
    Rig::new().faults(&[0x0f, 0x20, 0xcb], UD);
}

#[test]
fn cr0_refuses_what_the_manual_refuses() {
    let good = Rig::new().cpu.regs.cr0;
    for bad in [
        good | 1 << 32,
        good & !cr0::PE,
        good | cr0::NW,
        // Leaving paging in 64-bit mode.
        good & !cr0::PG,
    ] {
        with_rax(bad).faults(TO_CR0, GP0);
    }
}

#[test]
fn cr0_keeps_et_and_ignores_reserved_bits() {
    let old = Rig::new().cpu.regs.cr0;
    let mut rig = with_rax((old | cr0::TS | cr0::AM | 1 << 6 | 1 << 28) & !cr0::ET);
    rig.done(TO_CR0);
    assert_eq!(rig.cpu.regs.cr0, old | cr0::TS | cr0::AM);
    let written = EventKind::ControlWrite {
        register: "cr0".into(),
        old: Hex(old),
        new: Hex(old | cr0::TS | cr0::AM),
    };
    assert!(rig.bus.events.contains(&written));
    rig.done(&[0x0f, 0x06]);
    assert_eq!(rig.cpu.regs.cr0, old | cr0::AM, "CLTS");
}

#[test]
fn clearing_wp_takes_effect_in_the_engine() {
    let mut rig = Rig::new();
    *rig.gpr(gpr::RAX) = rig.cpu.regs.cr0 & !cr0::WP;
    rig.done(TO_CR0);
    assert_eq!(rig.bus.flushes, 1);
}

#[test]
fn leaving_long_mode_is_refused_in_words() {
    let mut rig = Rig::new();
    let cr0 = rig.cpu.regs.cr0;
    rig.compatibility();
    rig.cpu.regs.cpl = 0;
    *rig.gpr(gpr::RAX) = cr0 & !cr0::PG;
    assert!(rig.refuses(TO_CR0).contains("leaving long mode"));
}

#[test]
fn cr2_is_plain() {
    let mut rig = with_rax(0x8000_0000_0000_1234);
    rig.done(TO_CR2);
    rig.done(FROM_CR2);
    assert_eq!(*rig.gpr(gpr::RBX), 0x8000_0000_0000_1234);
    let value = VirtAddr(0x8000_0000_0000_1234);
    assert!(rig.bus.events.contains(&EventKind::Cr2Read { value }));
}

#[test]
fn cr3_reserved_bits() {
    // MAXPHYADDR is 46; LAM bits 61 and 62 are not in the model; bit 63 needs PCIDE.
    for bit in [46, 51, 52, 61, 62, 63] {
        with_rax(place::PML4 | 1 << bit).faults(TO_CR3, GP0);
    }
    let mut rig = with_rax(place::PML4 | 1 << 45);
    rig.done(TO_CR3);
    assert_eq!(rig.cpu.regs.cr3, place::PML4 | 1 << 45);
}

#[test]
fn cr3_flushes_unless_bit_63_says_not_to() {
    let mut rig = Rig::new();
    rig.cpu.regs.cr4 |= cr4::PCIDE;
    *rig.gpr(gpr::RAX) = place::PML4 | 5 | cr3::NO_FLUSH;
    rig.done(TO_CR3);
    assert_eq!(rig.cpu.regs.cr3, place::PML4 | 5, "bit 63 is not stored");
    let flushed = |rig: &Rig| {
        rig.bus
            .events
            .iter()
            .any(|e| matches!(e, EventKind::TlbInvalidated(Invalidation::Cr3 { .. })))
    };
    assert!(!flushed(&rig));
    *rig.gpr(gpr::RAX) = place::PML4 | 5;
    rig.done(TO_CR3);
    assert!(flushed(&rig));
}

#[test]
fn a_stale_translation_lives_until_cr3_is_written() {
    let mut rig = Rig::new();
    rig.read8(DATA, crate::system::testing::READ3)
        .expect("mapped");
    let entry = rig.entry(DATA, 1);
    rig.poke(entry, 0);
    rig.read8(DATA, crate::system::testing::READ3)
        .expect("cached");
    *rig.gpr(gpr::RAX) = place::PML4;
    rig.done(TO_CR3);
    rig.read8(DATA, crate::system::testing::READ3)
        .expect_err("gone");
    rig.poke(entry, DATA | pte::P | pte::U);
}

#[test]
fn cr4_bits_by_feature() {
    let old = Rig::new().cpu.regs.cr4;
    for bit in [
        cr4::VMXE,
        cr4::SMXE,
        cr4::OSXSAVE,
        cr4::CET,
        cr4::PKS,
        cr4::FRED,
    ] {
        with_rax(old | bit).faults(TO_CR4, GP0);
    }
    for bit in [cr4::VME, cr4::PVI, 1 << 15, 1 << 19, 1 << 63] {
        with_rax(old | bit).faults(TO_CR4, GP0);
    }
    let mut rig = with_rax(old | cr4::SMEP | cr4::SMAP | cr4::PKE | cr4::UMIP | cr4::FSGSBASE);
    rig.done(TO_CR4);
    let rax = *rig.gpr(gpr::RAX);
    assert_eq!(rig.cpu.regs.cr4, rax);

    let mut rig = with_rax(old | cr4::LASS);
    rig.cpu.model.features.lass = false;
    rig.faults(TO_CR4, GP0);
    with_rax(old | cr4::LASS).done(TO_CR4);

    let mut rig = with_rax(old | cr4::SMAP);
    rig.cpu.model.features.smap = false;
    rig.faults(TO_CR4, GP0);
    assert_eq!(cr4_writable(&rig.cpu.model.features) & cr4::SMAP, 0);
}

#[test]
fn cr4_in_long_mode() {
    let old = Rig::new().cpu.regs.cr4;
    with_rax(old & !cr4::PAE).faults(TO_CR4, GP0);
    with_rax(old ^ cr4::LA57).faults(TO_CR4, GP0);
    // PCIDE needs CR3[11:0] = 0 (SDM vol. 3, 4.10.1).
    let mut rig = with_rax(old | cr4::PCIDE);
    rig.cpu.regs.cr3 |= 0x18;
    rig.faults(TO_CR4, GP0);
    let mut rig = with_rax(old | cr4::PCIDE);
    rig.done(TO_CR4);
    // With PCIDE, CR0.PG cannot be cleared.
    let cr0 = rig.cpu.regs.cr0;
    *rig.gpr(gpr::RAX) = cr0 & !cr0::PG;
    rig.faults(TO_CR0, GP0);
}

#[test]
fn toggling_pge_invalidates_everything() {
    let mut rig = Rig::new();
    rig.read8(DATA, crate::system::testing::READ3)
        .expect("mapped");
    assert!(!rig.cpu.tlb.is_empty());
    *rig.gpr(gpr::RAX) = rig.cpu.regs.cr4 ^ cr4::PGE;
    rig.done(TO_CR4);
    assert!(rig.cpu.tlb.is_empty());
}

#[test]
fn cr8_is_the_task_priority() {
    let mut rig = with_rax(0xb);
    rig.done(TO_CR8);
    assert_eq!(rig.bus.tpr, 0xb);
    rig.done(FROM_CR8);
    assert_eq!(*rig.gpr(gpr::RBX), 0xb);
    with_rax(0x10).faults(TO_CR8, GP0);
}

#[test]
fn lmsw_sets_pe_but_never_clears_it() {
    let mut rig = with_rax(cr0::TS | cr0::EM);
    let old = rig.cpu.regs.cr0;
    rig.done(&[0x0f, 0x01, 0xf0]);
    // MP was 1 and is loaded with 0; PE stays; nothing above bit 3 changes.
    assert_eq!(rig.cpu.regs.cr0, old & !cr0::MP | cr0::TS | cr0::EM);
    rig.user();
    rig.faults(&[0x0f, 0x01, 0xf0], GP0);
    rig.faults(&[0x0f, 0x06], GP0);
}

#[test]
fn smsw_by_width() {
    let mut rig = with_rax(u64::MAX);
    let cr0 = rig.cpu.regs.cr0;
    rig.done(&[0x66, 0x0f, 0x01, 0xe0]);
    assert_eq!(*rig.gpr(gpr::RAX), !0xffff | cr0 & 0xffff);
    rig.done(&[0x0f, 0x01, 0xe0]);
    assert_eq!(*rig.gpr(gpr::RAX), cr0);
    // Memory always takes a word.
    rig.poke(DATA, u64::MAX);
    *rig.gpr(gpr::RDI) = DATA;
    rig.done(&[0x0f, 0x01, 0x27]);
    assert_eq!(rig.peek(DATA), !0xffff | cr0 & 0xffff);
    // CR4.UMIP keeps it from CPL 3 only.
    rig.user();
    rig.done(&[0x0f, 0x01, 0xe0]);
    rig.cpu.regs.cr4 |= cr4::UMIP;
    rig.faults(&[0x0f, 0x01, 0xe0], GP0);
}
