//! Walks, rights, A/D and cached translations against SDM vol. 3, 4.5 to 4.10.

use super::testing::*;
use crate::arch::bits::{cr0, cr4, pte, rflags};
use crate::arch::{Exception, PhysAddr, Vendor, VirtAddr};
use crate::trace::EventKind;

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

/// 4.7: not present, each kind of access; I/D only with NXE or SMEP.
#[test]
fn not_present() {
    let cases = [
        (READ0, 0),
        (WRITE0, 2),
        (FETCH0, 0x10),
        (READ3, 4),
        (WRITE3, 6),
        (FETCH3, 0x14),
    ];
    for (access, code) in cases {
        let mut rig = page(0);
        let result = rig.cpu.translate(&mut rig.bus, VirtAddr(AT + 5), access);
        assert_eq!(result, Err(pf(code, AT + 5)));
    }
    let mut rig = page(0);
    rig.cpu.regs.msr.efer &= !crate::arch::bits::efer::NXE;
    let fetch = |rig: &mut Rig| rig.cpu.translate(&mut rig.bus, VirtAddr(AT), FETCH0);
    assert_eq!(fetch(&mut rig), Err(pf(0, AT)));
    rig.cpu.regs.cr4 |= cr4::SMEP;
    assert_eq!(fetch(&mut rig), Err(pf(0x10, AT)));
}

/// 4.6.1, every combination of U, W, XD of the leaf with CR0.WP, SMEP, SMAP, AC, against the
/// prose of the manual, written out independently of the table of the code.
#[test]
fn rights_of_every_combination() {
    for bits in 0..128u32 {
        let on = |i: u32| bits >> i & 1 != 0;
        let (u, w, xd, wp, smep, smap, ac) = (on(0), on(1), on(2), on(3), on(4), on(5), on(6));
        for (access, kind, user) in [
            (READ0, 'r', false),
            (WRITE0, 'w', false),
            (FETCH0, 'x', false),
            (READ3, 'r', true),
            (WRITE3, 'w', true),
            (FETCH3, 'x', true),
        ] {
            let mut flags = pte::P;
            for (set, bit) in [(u, pte::U), (w, pte::W), (xd, pte::XD)] {
                flags |= if set { bit } else { 0 };
            }
            let mut rig = page(flags);
            let r = &mut rig.cpu.regs;
            if !wp {
                r.cr0 &= !cr0::WP;
            }
            r.cr4 |= if smep { cr4::SMEP } else { 0 } | if smap { cr4::SMAP } else { 0 };
            r.rflags |= if ac { rflags::AC } else { 0 };
            let mut denied = false;
            // "User-mode accesses to supervisor-mode addresses are not allowed."
            denied |= user && !u;
            // "Data may be written only to a user-mode address with R/W 1", for users always,
            // for the supervisor if CR0.WP = 1.
            denied |= kind == 'w' && !w && (user || wp);
            // "No instruction may be fetched from a page whose XD is 1."
            denied |= kind == 'x' && xd;
            // SMEP and SMAP: supervisor accesses to user-mode addresses.
            denied |= kind == 'x' && !user && u && smep;
            denied |= kind != 'x' && !user && u && smap && !ac;
            let result = rig.cpu.translate(&mut rig.bus, VirtAddr(AT), access);
            let mut code = 1;
            code |= if kind == 'w' { 2 } else { 0 };
            code |= if user { 4 } else { 0 };
            code |= if kind == 'x' { 0x10 } else { 0 };
            let want = if denied {
                Err(pf(code, AT))
            } else {
                Ok(PhysAddr(AT))
            };
            assert_eq!(result, want, "{bits:07b} {kind} user {user}");
        }
    }
}

/// The rights of all levels together: each upper level can take each of them away.
#[test]
fn upper_levels_restrict() {
    for level in 2..=4 {
        for (bit, access, code) in [
            (pte::U, READ3, 5),
            (pte::W, WRITE3, 7),
            (pte::XD, FETCH3, 0x15),
        ] {
            let mut rig = page(U);
            let entry = rig.entry(AT, level);
            let value = rig.peek(entry);
            rig.poke(entry, value ^ bit);
            let result = rig.cpu.translate(&mut rig.bus, VirtAddr(AT), access);
            assert_eq!(result, Err(pf(code, AT)), "level {level}");
        }
    }
}

/// Row 50: WP = 0 does not override SMAP.
#[test]
fn wp_does_not_override_smap() {
    let mut rig = page(pte::P | pte::U);
    rig.cpu.regs.cr0 &= !cr0::WP;
    rig.cpu.regs.cr4 |= cr4::SMAP;
    assert_eq!(rig.write8(AT, WRITE0), Err(pf(3, AT)));
}

/// Row 51: implicit accesses ignore AC, at CPL 3 and at CPL 0.
#[test]
fn implicit_accesses_ignore_ac() {
    for cpl in [0, 3] {
        let mut rig = Rig::new();
        rig.cpu.regs.cr4 |= cr4::SMAP;
        rig.cpu.regs.rflags |= rflags::AC;
        rig.remap(place::GDT, U);
        rig.cpu.regs.cpl = cpl;
        let result = rig.cpu.read_descriptor(&mut rig.bus, sel::USER_SS);
        assert_eq!(result, Err(pf(1, place::GDT + 0x20)));
    }
}

fn with_key(key: u64, flags: u64, pkru: u32) -> Rig {
    let mut rig = page(flags | key << 59);
    rig.cpu.regs.cr4 |= cr4::PKE;
    rig.cpu.regs.pkru = pkru;
    rig
}

/// Row 52: AD stops the supervisor's reads of user pages, not fetches.
#[test]
fn key_access_disable() {
    let pkru = 1 << 10;
    let mut rig = with_key(5, U, pkru);
    assert_eq!(rig.read8(AT, READ0), Err(pf(0x21, AT)));
    let fetch = |rig: &mut Rig| rig.cpu.translate(&mut rig.bus, VirtAddr(AT), FETCH0);
    assert_eq!(fetch(&mut rig), Ok(PhysAddr(AT)));
    rig.cpu.regs.cr4 |= cr4::SMEP;
    assert_eq!(fetch(&mut rig), Err(pf(0x11, AT)));
}

/// Row 53: both checks fail: PK is set too. And WD alone, by user and by WP.
#[test]
fn key_write_disable() {
    let pkru = 2 << 10;
    let mut rig = with_key(5, pte::P | pte::U, pkru);
    assert_eq!(rig.write8(AT, WRITE3), Err(pf(0x27, AT)));
    let mut rig = with_key(5, U, pkru);
    assert_eq!(rig.write8(AT, WRITE3), Err(pf(0x27, AT)));
    assert_eq!(rig.write8(AT, WRITE0), Err(pf(0x23, AT)));
    assert!(rig.read8(AT, READ3).is_ok());
    rig.cpu.regs.cr0 &= !cr0::WP;
    assert_eq!(rig.write8(AT, WRITE0), Ok(()));
}

/// Row 54: keys do not apply to supervisor-mode addresses.
#[test]
fn keys_spare_supervisor_pages() {
    let mut rig = with_key(5, K, u32::MAX);
    assert_eq!(rig.write8(AT, WRITE0), Ok(()));
}

/// Row 48 and its reverse: what an upper level finds goes first.
#[test]
fn upper_level_goes_first() {
    let mut rig = page(0);
    let pml4e = rig.entry(AT, 4);
    let value = rig.peek(pml4e);
    rig.poke(pml4e, value | pte::PS);
    assert_eq!(rig.read8(AT, READ0), Err(pf(9, AT)));
    let mut rig = page(K | 1 << 51);
    let pde = rig.entry(AT, 2);
    let value = rig.peek(pde);
    rig.poke(pde, value & !pte::P);
    assert_eq!(rig.read8(AT, READ0), Err(pf(0, AT)));
}

/// Row 49: XD is reserved without NXE; RSVD goes before the rights.
#[test]
fn xd_without_nxe() {
    let mut rig = page(K | pte::XD);
    rig.cpu.regs.msr.efer &= !crate::arch::bits::efer::NXE;
    assert_eq!(rig.read8(AT, READ0), Err(pf(9, AT)));
}

/// 4.5.4: each entry's reserved bits, one at a time. MAXPHYADDR is 46.
#[test]
fn reserved_bits_one_by_one() {
    let physical = 46..=51;
    for level in 1..=4u8 {
        for bit in 1..64u32 {
            let mut reserved = physical.contains(&bit);
            reserved |= level == 4 && bit == 7;
            // Setting PS would change what the entry is; tested below.
            if bit == 7 && level != 4 {
                continue;
            }
            // An address bit within MAXPHYADDR leads beyond RAM, where all is ones.
            if (12..46).contains(&bit) && level != 1 {
                continue;
            }
            let mut rig = page(U);
            let entry = rig.entry(AT, level);
            let value = rig.peek(entry);
            rig.poke(entry, value ^ 1 << bit);
            let result = rig.cpu.translate(&mut rig.bus, VirtAddr(AT), READ0);
            assert_eq!(
                result == Err(pf(9, AT)),
                reserved,
                "level {level} bit {bit}"
            );
        }
    }
}

/// 4.5.4: large pages: 20:13 and 29:13 are reserved, bit 12 is PAT.
#[test]
fn large_page_reserved_bits() {
    for (level, top) in [(2u8, 20u32), (3, 29)] {
        for bit in 12..=top {
            let mut rig = Rig::new();
            let entry = rig.entry(0x4000_0000, level);
            rig.poke(entry, K | pte::PS | 1 << bit);
            let result = rig.read8(0x4000_0000 + AT, READ0);
            let want = if bit == 12 {
                Ok(0)
            } else {
                Err(pf(9, 0x4000_0000 + AT))
            };
            assert_eq!(result, want, "level {level} bit {bit}");
        }
    }
    // Without 1-GiB pages PS itself is reserved in a PDPTE.
    let mut rig = Rig::new();
    rig.cpu.model.features.page_1gb = false;
    let entry = rig.entry(0x4000_0000, 3);
    rig.poke(entry, K | pte::PS);
    assert_eq!(rig.read8(0x4000_0000, READ0), Err(pf(9, 0x4000_0000)));
}

/// APM vol. 2, 5.3.3: bit 8 is reserved in a PML4E, ignored below; Intel ignores it.
#[test]
fn amd_bit_8() {
    for (vendor, level, fails) in [
        (Vendor::Amd, 4, true),
        (Vendor::Amd, 3, false),
        (Vendor::Amd, 2, false),
        (Vendor::Intel, 4, false),
    ] {
        let mut rig = Rig::of(vendor);
        rig.map(AT, AT, K);
        let entry = rig.entry(AT, level);
        let value = rig.peek(entry);
        rig.poke(entry, value | 1 << 8);
        assert_eq!(rig.read8(AT, READ0).is_err(), fails, "{vendor:?} {level}");
    }
}

/// An entry beyond RAM reads as ones: reserved bits, not a panic.
#[test]
fn tables_beyond_ram() {
    let mut rig = page(K);
    let entry = rig.entry(AT, 2);
    rig.poke(entry, 0x3fff_ffff_f000 | U);
    assert_eq!(rig.read8(AT, READ0), Err(pf(9, AT)));
}

/// 4.5: five levels with CR4.LA57.
#[test]
fn five_levels() {
    let mut rig = page(K);
    let pml5 = 0x7f000;
    rig.poke(pml5 + 8, place::PML4 | U);
    rig.cpu.regs.cr3 = pml5;
    rig.cpu.regs.cr4 |= cr4::LA57;
    let at = VirtAddr(1 << 48 | AT);
    let phys = rig.cpu.translate(&mut rig.bus, at, READ0);
    assert_eq!(phys, Ok(PhysAddr(AT)));
    let Some(EventKind::Walk(walk)) = rig.bus.events.last() else {
        panic!("a walk");
    };
    let levels: Vec<u8> = walk.steps.iter().map(|s| s.level).collect();
    assert_eq!(levels, [5, 4, 3, 2, 1]);
    rig.cpu.regs.cr4 &= !cr4::LA57;
    let result = rig.cpu.translate(&mut rig.bus, at, READ0);
    assert_eq!(result, Err(Exception::gp(0)));
}

/// 4.8: A everywhere on success; D in the leaf for a write; nothing on a fault, or A above the
/// leaf with the knob.
#[test]
fn accessed_and_dirty() {
    let bits = |rig: &mut Rig| -> Vec<u64> {
        (1..=4)
            .rev()
            .map(|l| {
                let e = rig.entry(AT, l);
                rig.peek(e) & (pte::A | pte::D)
            })
            .collect()
    };
    let clean = |flags| {
        let mut rig = Rig::new();
        rig.map(AT, AT, flags);
        for l in 1..=4 {
            let e = rig.entry(AT, l);
            let v = rig.peek(e);
            rig.poke(e, v & !(pte::A | pte::D));
        }
        rig
    };
    let a = pte::A;
    let mut rig = clean(K);
    rig.read8(AT, READ0).unwrap();
    assert_eq!(bits(&mut rig), [a, a, a, a]);
    // Row 57: the write through the cached D = 0 translation sets D.
    rig.write8(AT, WRITE0).unwrap();
    assert_eq!(bits(&mut rig), [a, a, a, a | pte::D]);
    assert_eq!(walks(&rig), 2);
    rig.write8(AT, WRITE0).unwrap();
    assert_eq!(walks(&rig), 2);

    let mut rig = clean(pte::P);
    rig.write8(AT, WRITE0).unwrap_err();
    assert_eq!(bits(&mut rig), [0, 0, 0, 0]);
    rig.cpu.model.knobs.set_a_on_failed_walk = true;
    rig.write8(AT, WRITE0).unwrap_err();
    assert_eq!(bits(&mut rig), [a, a, a, 0]);
    // WP = 0: a legal write, D is set.
    rig.cpu.regs.cr0 &= !cr0::WP;
    rig.write8(AT, WRITE0).unwrap();
    assert_eq!(bits(&mut rig), [a, a, a, a | pte::D]);
}

/// Row 56: nothing is written, and the address is the second page's start.
#[test]
fn store_across_pages() {
    let mut rig = page(K);
    let at = VirtAddr(AT + 0xffc);
    let result = rig.cpu.write_u64(&mut rig.bus, at, u64::MAX, WRITE0, false);
    assert_eq!(result, Err(pf(2, AT + 0x1000)));
    assert_eq!(rig.peek(AT + 0xff8), 0);
    rig.map(AT + 0x1000, AT + 0x2000, K);
    let value = 0x1122_3344_5566_7788;
    rig.cpu
        .write_u64(&mut rig.bus, at, value, WRITE0, false)
        .unwrap();
    assert_eq!(rig.peek(AT + 0xff8), 0x5566_7788 << 32);
    assert_eq!(rig.peek(AT + 0x2000), 0x1122_3344);
    let read = rig.cpu.read_u64(&mut rig.bus, at, READ0, false);
    assert_eq!(read, Ok(value));
}

/// Accesses over three pages.
#[test]
fn long_access() {
    let mut rig = page(K);
    rig.map(AT + 0x1000, AT + 0x2000, K);
    rig.map(AT + 0x2000, AT + 0x1000, K);
    let data: Vec<u8> = (0..0x1800u32).map(|i| (i % 251) as u8).collect();
    let at = VirtAddr(AT + 0xff0);
    rig.cpu
        .write(&mut rig.bus, at, &data, WRITE0, false)
        .unwrap();
    let mut back = vec![0; data.len()];
    rig.cpu
        .read(&mut rig.bus, at, &mut back, READ0, false)
        .unwrap();
    assert_eq!(back, data);
    let byte = rig.bus.ram[AT as usize + 0x1000];
    assert_eq!(byte, data[0x10 + 0x1000]);
}

/// Row 47, 4.8: non-canonical bytes give #SS(0) through the stack, else #GP(0); the last byte
/// counts too.
#[test]
fn non_canonical() {
    let mut rig = Rig::new();
    for at in [0x8000_0000_0000, 0x7fff_ffff_fffc, 0xffff_7fff_ffff_fffc] {
        let at = VirtAddr(at);
        for (stack, want) in [(true, Exception::ss(0)), (false, Exception::gp(0))] {
            let result = rig.cpu.probe(&mut rig.bus, at, 8, READ0, stack);
            assert_eq!(result, Err(want));
        }
    }
}

/// 3.5.1: the LDT, its limit, and a null selector.
#[test]
fn descriptor_tables() {
    let mut rig = Rig::new();
    rig.cpu.regs.ldtr = crate::arch::Segment {
        selector: 0x50,
        base: place::GDT + 8,
        limit: 15,
        attr: 0x8200,
    };
    let mut read = |s| {
        rig.cpu
            .read_descriptor(&mut rig.bus, s)
            .unwrap()
            .map(|d| d.0)
    };
    assert_eq!(read(0x04), read(0x08));
    assert_eq!(read(0x0c), read(0x10));
    assert_eq!(read(0x14), None);
    assert_eq!(read(0), None);
    assert_eq!(read(3), None);
    assert!(read(0x78).is_some());
    assert_eq!(read(0x80), None);
    let tss = rig.cpu.read_system_descriptor(&mut rig.bus, sel::TSS);
    let tss = tss.unwrap().unwrap();
    assert_eq!((tss.base(), tss.low.limit()), (place::TSS, 0x67));
    let last = rig.cpu.read_system_descriptor(&mut rig.bus, 0x78);
    assert_eq!(last, Ok(None));
}
