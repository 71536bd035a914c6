//! Cached translations against SDM vol. 3, 4.10.

use super::testing::*;
use super::*;
use crate::arch::bits::{cr3, cr4, pte};
use crate::arch::{Exception, VirtAddr};
use crate::trace::{EventClass, EventKind, Invalidation};

const AT: u64 = 0x70000;
const K: u64 = pte::P | pte::W;
const U: u64 = K | pte::U;

fn pf(code: u32, at: u64) -> Exception {
    Exception::pf(code, VirtAddr(at))
}

/// A machine with one page at `AT`.
fn page(flags: u64) -> Rig {
    let mut rig = Rig::new();
    rig.map(AT, AT, flags);
    rig
}

fn walks(rig: &Rig) -> usize {
    let is_walk = |e: &&EventKind| matches!(e, EventKind::Walk(_));
    rig.bus.events.iter().filter(is_walk).count()
}

/// Row 58 and 4.10.4.3: NP to P needs nothing; P to NP may be used until INVLPG.
#[test]
fn stale_until_invalidated() {
    let mut rig = page(0);
    let entry = rig.entry(AT, 1);
    rig.read8(AT, READ0).unwrap_err();
    rig.poke(entry, AT | K);
    rig.read8(AT, READ0).unwrap();
    rig.poke(entry, 0);
    rig.read8(AT, READ0).unwrap();
    let flushes = rig.bus.flushes;
    rig.cpu.invlpg(&mut rig.bus, VirtAddr(AT + 0x123));
    assert_eq!(rig.bus.flushes, flushes + 1);
    assert_eq!(rig.read8(AT, READ0), Err(pf(0, AT)));
}

/// 4.10.4.3: more permission without INVLPG: one spurious #PF, that drops the translation.
#[test]
fn spurious_fault_once() {
    let mut rig = page(pte::P);
    rig.read8(AT, READ0).unwrap();
    let entry = rig.entry(AT, 1);
    rig.poke(entry, AT | K);
    assert_eq!(rig.write8(AT, WRITE0), Err(pf(3, AT)));
    assert_eq!(rig.write8(AT, WRITE0), Ok(()));
}

/// 4.10.4.1: MOV to CR3 spares global translations; toggling PGE does not.
#[test]
fn cr3_and_global() {
    let mut rig = page(K | pte::G);
    rig.map(AT + 0x1000, AT + 0x1000, K);
    let (global, local) = (AT, AT + 0x1000);
    for at in [global, local] {
        rig.read8(at, READ0).unwrap();
        let entry = rig.entry(at, 1);
        rig.poke(entry, 0);
    }
    rig.cpu.load_cr3(&mut rig.bus, place::PML4);
    assert!(rig.read8(global, READ0).is_ok());
    assert_eq!(rig.read8(local, READ0), Err(pf(0, local)));
    let (old0, old4) = (rig.cpu.regs.cr0, rig.cpu.regs.cr4);
    rig.cpu.regs.cr4 ^= cr4::PGE;
    rig.cpu.control_changed(&mut rig.bus, old0, old4);
    assert_eq!(rig.read8(global, READ0), Err(pf(0, global)));
}

/// 4.10.1 and 4.10.4.1: PCIDs keep translations apart; bit 63 keeps those of the new PCID.
#[test]
fn pcid() {
    let mut rig = page(K);
    rig.cpu.regs.cr4 |= cr4::PCIDE;
    let entry = rig.entry(AT, 1);
    let load = |rig: &mut Rig, v| rig.cpu.load_cr3(&mut rig.bus, place::PML4 | v);
    rig.read8(AT, READ0).unwrap();
    rig.poke(entry, 0);
    // PCID 5 has its own, and finds nothing.
    load(&mut rig, 5);
    assert_eq!(rig.cpu.regs.cr3, place::PML4 | 5);
    assert!(rig.read8(AT, READ0).is_err());
    load(&mut rig, cr3::NO_FLUSH);
    assert_eq!(rig.cpu.regs.cr3, place::PML4);
    assert!(rig.read8(AT, READ0).is_ok());
    load(&mut rig, 0);
    assert!(rig.read8(AT, READ0).is_err());
}

/// SDM vol. 2, INVPCID: the four types.
#[test]
fn invpcid() {
    // (type, pcid) -> what survives of: PCID 0's page, PCID 7's page, the global page.
    let cases = [
        (0, 7, [true, false, true]),
        (1, 7, [true, false, true]),
        (2, 0, [false, false, false]),
        (3, 0, [false, false, true]),
    ];
    for (kind, pcid, want) in cases {
        let mut rig = page(K);
        rig.map(AT + 0x1000, AT, K | pte::G);
        rig.cpu.regs.cr4 |= cr4::PCIDE;
        rig.read8(AT, READ0).unwrap();
        rig.read8(AT + 0x1000, READ0).unwrap();
        rig.cpu.regs.cr3 |= 7;
        rig.read8(AT, READ0).unwrap();
        rig.cpu.invpcid(&mut rig.bus, kind, pcid, VirtAddr(AT));
        let tlb = &rig.cpu.tlb;
        let has = |pcid, at| tlb.get(pcid, VirtAddr(at)).is_some();
        assert_eq!(
            [has(0, AT), has(7, AT), has(0, AT + 0x1000)],
            want,
            "type {kind}"
        );
    }
}

/// 4.10.4.1: INVLPG drops all of a large page, wherever in it the address lies.
#[test]
fn invlpg_of_a_large_page() {
    let mut rig = Rig::new();
    let entry = rig.entry(0x4000_0000, 2);
    rig.poke(entry, K | pte::PS);
    rig.read8(0x4000_0000, READ0).unwrap();
    rig.read8(0x4000_5000, READ0).unwrap();
    assert_eq!(walks(&rig), 1, "one translation of 2 MiB");
    rig.cpu.invlpg(&mut rig.bus, VirtAddr(0x401f_f123));
    assert!(rig.cpu.tlb.get(0, VirtAddr(0x4000_0000)).is_none());
}

/// A large page that is cached for one address hides no translation of another: what the engine
/// was told of it stays true.
#[test]
fn a_large_page_hides_nothing() {
    let mut rig = page(K | pte::G);
    rig.cpu.regs.cr4 |= cr4::PGE;
    rig.read8(AT, READ0).unwrap();
    let pde = rig.entry(AT, 2);
    rig.poke(pde, K | pte::PS);
    let flushes = rig.bus.flushes;
    rig.read8(AT + 0x8000, READ0).unwrap();
    let frame = |rig: &Rig| rig.cpu.tlb.get(0, VirtAddr(AT)).map(|t| t.page_size);
    assert_eq!((frame(&rig), rig.bus.flushes), (Some(4096), flushes));
    rig.cpu.invlpg(&mut rig.bus, VirtAddr(AT));
    assert_eq!(frame(&rig), None, "INVLPG drops both");
}

/// The model is bounded: one too many drops all, and says so.
#[test]
fn capacity() {
    let mut rig = Rig::new();
    // One page table, seen through ever more directories.
    let table = rig.entry(AT, 1) & !0xfff;
    rig.map(AT, AT, K);
    let pde = rig.entry(AT, 2) & !0xfff;
    for i in 0..64 {
        rig.poke(pde + 8 * i, table | U);
    }
    for i in 0..512 {
        rig.poke(table + 8 * i, AT | K);
    }
    rig.bus.wanted = EventClass::TLB;
    for page in 0..tlb::CAPACITY as u64 {
        let at = VirtAddr(page * 4096);
        rig.cpu.translate(&mut rig.bus, at, READ0).unwrap();
    }
    assert_eq!(rig.cpu.tlb.len(), tlb::CAPACITY);
    assert!(rig.bus.events.is_empty());
    let one_more = VirtAddr(tlb::CAPACITY as u64 * 4096);
    rig.cpu.translate(&mut rig.bus, one_more, READ0).unwrap();
    assert_eq!(rig.cpu.tlb.len(), 1);
    let capacity = EventKind::TlbInvalidated(Invalidation::Capacity);
    assert_eq!(rig.bus.events, [capacity]);
}

/// What the engine may be told: W with D alone, X after a fetch alone, by CPL and AC.
#[test]
fn grants() {
    let mut rig = page(U);
    rig.cpu.regs.cr4 |= cr4::SMAP;
    let grant = |rig: &Rig, cpl, ac| {
        let view = rig.cpu.tlb_view();
        view.grant(VirtAddr(AT), cpl, ac)
            .map(|g| (g.read, g.write, g.exec))
    };
    assert_eq!(grant(&rig, 3, false), None);
    rig.read8(AT, READ3).unwrap();
    assert_eq!(grant(&rig, 3, false), Some((true, false, false)));
    assert_eq!(grant(&rig, 0, false), Some((false, false, false)));
    assert_eq!(grant(&rig, 0, true), Some((true, false, false)));
    rig.write8(AT, WRITE3).unwrap();
    assert_eq!(grant(&rig, 3, false), Some((true, true, false)));
    rig.cpu
        .translate(&mut rig.bus, VirtAddr(AT), FETCH3)
        .unwrap();
    assert_eq!(grant(&rig, 3, false), Some((true, true, true)));
    let seen = walks(&rig);
    assert_eq!(
        seen, 2,
        "a fetch through a cached translation walks no more"
    );
}

/// The list for a dump gives back canonical addresses, in order.
#[test]
fn entries_are_listed() {
    let mut rig = page(K);
    let high = 0xffff_ffff_8000_0000;
    rig.map(high, AT, K);
    for at in [high, AT] {
        rig.read8(at, READ0).unwrap();
    }
    let list = rig.cpu.tlb.entries();
    let places: Vec<_> = list
        .iter()
        .map(|(p, at, t)| (*p, at.0, t.frame.0))
        .collect();
    assert_eq!(places, [(0, AT, AT), (0, high, AT)]);
}
