//! SDM vol. 2, INVLPG, INVPCID, WBINVD, CLFLUSH.

use super::{DATA, GP0, HOLE, Rig, UD};
use crate::arch::bits::cr4;
use crate::arch::state::gpr;
use crate::arch::{Exception, VirtAddr};
use crate::system::testing::{READ3, place};
use crate::trace::{EventKind, Invalidation};

const INVLPG: &[u8] = &[0x0f, 0x01, 0x3f];
const INVPCID: &[u8] = &[0x66, 0x0f, 0x38, 0x82, 0x07];
const CLFLUSH: &[u8] = &[0x0f, 0xae, 0x3f];

#[test]
fn invlpg_makes_a_stale_translation_go() {
    let mut rig = Rig::new();
    rig.read8(DATA, READ3).expect("mapped");
    let entry = rig.entry(DATA, 1);
    rig.poke(entry, 0);
    rig.read8(DATA, READ3).expect("stale");
    *rig.gpr(gpr::RDI) = DATA + 0x123;
    rig.done(INVLPG);
    rig.read8(DATA, READ3).expect_err("invalidated");
    let address = VirtAddr(DATA + 0x123);
    let event = EventKind::TlbInvalidated(Invalidation::Invlpg { address });
    assert!(rig.bus.events.contains(&event));
}

#[test]
fn invlpg_takes_any_address_at_cpl_0() {
    let mut rig = Rig::new();
    *rig.gpr(gpr::RDI) = HOLE;
    rig.done(INVLPG);
    rig.user();
    rig.faults(INVLPG, GP0);
}

fn invpcid(kind: u64, low: u64, address: u64) -> Rig {
    let mut rig = Rig::new();
    rig.cpu.regs.cr4 |= cr4::PCIDE;
    *rig.gpr(gpr::RAX) = kind;
    *rig.gpr(gpr::RDI) = DATA;
    rig.poke(DATA, low);
    rig.poke(DATA + 8, address);
    rig
}

#[test]
fn invpcid_checks_its_descriptor() {
    for kind in 0..=3 {
        let mut rig = invpcid(kind, 5, 0x1000);
        rig.done(INVPCID);
        let event = EventKind::TlbInvalidated(Invalidation::Invpcid {
            kind: kind as u8,
            pcid: 5,
            address: VirtAddr(0x1000),
        });
        assert!(rig.bus.events.contains(&event));
        // Bits 63:12.
        invpcid(kind, 1 << 12, 0).faults(INVPCID, GP0);
        invpcid(kind, 1 << 63, 0).faults(INVPCID, GP0);
    }
    invpcid(4, 0, 0).faults(INVPCID, GP0);
    invpcid(1 << 32, 0, 0).faults(INVPCID, GP0);
    // Canonical by the processor's width; the address counts for type 0 only.
    invpcid(0, 0, 1 << 60).faults(INVPCID, GP0);
    invpcid(1, 0, 1 << 60).done(INVPCID);
}

#[test]
fn invpcid_without_pcide_takes_pcid_0_only() {
    for (kind, allowed) in [(0, false), (1, false), (2, true), (3, true)] {
        let mut rig = invpcid(kind, 1, 0);
        rig.cpu.regs.cr4 &= !cr4::PCIDE;
        if allowed {
            rig.done(INVPCID);
        } else {
            rig.faults(INVPCID, GP0);
        }
    }
    let mut rig = invpcid(0, 0, 0);
    rig.cpu.regs.cr4 &= !cr4::PCIDE;
    rig.done(INVPCID);
    rig.user();
    rig.faults(INVPCID, GP0);
    rig.cpu.model.features.invpcid = false;
    rig.faults(INVPCID, UD);
}

#[test]
fn invpcid_reads_its_operand() {
    let mut rig = invpcid(2, 0, 0);
    *rig.gpr(gpr::RDI) = place::USER_STACK;
    rig.faults(INVPCID, Exception::pf(0, VirtAddr(place::USER_STACK)));
}

#[test]
fn cache_line_instructions_fault_as_a_read_of_one_byte() {
    let all: [&[u8]; 3] = [
        CLFLUSH,
        &[0x66, 0x0f, 0xae, 0x3f],
        &[0x66, 0x0f, 0xae, 0x37],
    ];
    for bytes in all {
        let mut rig = Rig::new();
        rig.user();
        // The last byte of the page: the line is not looked at.
        *rig.gpr(gpr::RDI) = place::USER_STACK - 1;
        rig.done(bytes);
        *rig.gpr(gpr::RDI) = place::USER_STACK;
        rig.faults(bytes, Exception::pf(4, VirtAddr(place::USER_STACK)));
        // A kernel page.
        *rig.gpr(gpr::RDI) = place::GDT;
        rig.faults(bytes, Exception::pf(5, VirtAddr(place::GDT)));
        *rig.gpr(gpr::RDI) = HOLE;
        rig.faults(bytes, GP0);
    }
}

#[test]
fn whole_caches_are_privileged() {
    for bytes in [&[0x0f, 0x08][..], &[0x0f, 0x09], &[0xf3, 0x0f, 0x09]] {
        let mut rig = Rig::new();
        rig.done(bytes);
        rig.user();
        rig.faults(bytes, GP0);
    }
}
