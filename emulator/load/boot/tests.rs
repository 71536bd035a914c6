use proptest::prelude::*;

use super::*;
use crate::arch::{Vendor, VirtAddr};
use crate::load::samples::{elf, load};
use crate::load::{LoadOptions, SegmentFlags, flat};

const HIGH: u64 = 0xffff_ffff_8000_0000;
const MIB: u64 = 1 << 20;

fn model() -> CpuModel {
    CpuModel::of(Vendor::Intel)
}

fn flat(size: usize) -> Image {
    flat::load("k.bin".to_owned(), &vec![0xf4; size], None).unwrap()
}

fn high() -> Image {
    let segments = [
        load(HIGH, 0x10_0000, &[0x90; 0x123]),
        load(HIGH + 0x1000, 0x10_1000, b"data"),
    ];
    Image::from_bytes("k", &elf(HIGH, &segments), &LoadOptions::default()).unwrap()
}

/// An independent walk (SDM vol. 3, 4.5.4, figures 4-8 and 4-9) over what boot wrote:
/// physical address and the last entry's low 12 bits.
fn walk(b: &Boot, v: u64) -> Option<(u64, u64)> {
    let mut table = b.regs.cr3;
    for shift in [39, 30, 21, 12] {
        let e = read64(b, table + ((v >> shift) & 511) * 8);
        if e & 1 == 0 {
            return None;
        }
        assert_eq!(e & 0x3e, e & 0x1a, "supervisor, A clear");
        assert!(e & 2 != 0, "writable at every level");
        if shift == 12 || e & 0x80 != 0 {
            let size = 1u64 << shift;
            let frame = e & 0x000f_ffff_ffff_f000;
            assert_eq!(frame % size, 0, "reserved bits of a large page");
            return Some((frame + v % size, e & 0xfff));
        }
        table = e & 0x000f_ffff_ffff_f000;
    }
    None
}

fn read64(b: &Boot, at: u64) -> u64 {
    let (start, data) = b.writes.iter().rfind(|w| w.0.0 <= at).unwrap();
    let o = (at - start.0) as usize;
    u64::from_le_bytes(data[o..o + 8].try_into().unwrap())
}

#[test]
fn a_flat_image_in_64_mib() {
    let b = boot(&flat(100), 64 * MIB, &model()).unwrap();
    assert_eq!(b.regs.rip, 0x10_0000);
    // Identity: PML4, PDPT, PD; the APIC's page: PD, PT.
    assert_eq!(b.layout.end.0, 64 * MIB);
    assert_eq!(b.layout.tables.0, 64 * MIB - 5 * 4096);
    assert_eq!(b.layout.gdt.0, b.layout.tables.0 - 4096);
    assert_eq!(b.layout.stack.0, b.layout.gdt.0 - STACK_SIZE);
    assert_eq!(b.regs.cr3, b.layout.tables.0);
    assert_eq!(b.regs.rsp(), b.layout.gdt.0);
    assert_eq!(b.regs.rsp() % 16, 0);
    assert_eq!(walk(&b, 0), Some((0, 0x83)));
    assert_eq!(walk(&b, 0x12_3456), Some((0x12_3456, 0x83)));
    assert_eq!(walk(&b, 64 * MIB - 1), Some((64 * MIB - 1, 0x83)));
    assert_eq!(walk(&b, 64 * MIB), None);
    // PCD and PWT with the reset PAT: strong uncacheable (SDM vol. 3, Programming the PAT).
    assert_eq!(walk(&b, 0xfee0_0300), Some((0xfee0_0300, 0x1b)));
    assert_eq!(walk(&b, 0xfee0_1000), None);
    assert_eq!(walk(&b, 0xfedf_ffff), None);
}

#[test]
fn registers_are_as_documented() {
    let r = boot(&high(), 64 * MIB, &model()).unwrap().regs;
    let mut expected = CpuState::long_mode();
    expected.rip = HIGH;
    expected.gpr[4] = r.gpr[4];
    expected.cr3 = r.cr3;
    expected.gdtr = r.gdtr;
    assert_eq!(r, expected);
    assert_eq!(
        (r.rflags, r.cpl, r.idtr.limit, r.gdtr.limit),
        (2, 0, 0, 0x2f)
    );
    // SDM vol. 3, 2.5: PE 0, MP 1, ET 4, NE 5, WP 16, PG 31; PAE 5, OSFXSR 9, OSXMMEXCPT 10.
    assert_eq!((r.cr0, r.cr4, r.msr.efer), (0x8001_0033, 0x620, 0x500));
}

#[test]
fn the_gdt_has_the_order_of_sysret_and_agrees_with_the_hidden_parts() {
    let b = boot(&high(), 64 * MIB, &model()).unwrap();
    // SDM vol. 3, figure 3-8: type and S, DPL, P, L, D/B, G for flat segments, accessed.
    let words: Vec<u64> = (0..6).map(|n| read64(&b, b.layout.gdt.0 + 8 * n)).collect();
    assert_eq!(
        words,
        [
            0,
            0x00af_9b00_0000_ffff,
            0x00cf_9300_0000_ffff,
            0x00cf_fb00_0000_ffff,
            0x00cf_f300_0000_ffff,
            0x00af_fb00_0000_ffff,
        ]
    );
    assert_eq!(b.regs.gdtr.base, b.layout.gdt.0);
    assert_eq!(b.regs.cs().selector, 8);
    assert_eq!(descriptor(b.regs.cs()), words[1]);
    assert_eq!(descriptor(b.regs.ss()), words[2]);
}

#[test]
fn the_higher_half_is_mapped_and_written() {
    let b = boot(&high(), 64 * MIB, &model()).unwrap();
    assert_eq!(walk(&b, HIGH), Some((0x10_0000, 3)));
    assert_eq!(walk(&b, HIGH + 0x1002), Some((0x10_1002, 3)));
    assert_eq!(walk(&b, HIGH + 0x2000), None);
    assert_eq!(walk(&b, 0x10_0000), Some((0x10_0000, 0x83)));
    let at = |p: u64| &b.writes.iter().find(|w| w.0.0 == p).unwrap().1;
    assert_eq!(at(0x10_0000), &[0x90; 0x123]);
    assert_eq!(at(0x10_1000), b"data");
}

#[test]
fn the_area_avoids_the_image_in_both_spaces() {
    // Physically at the top of RAM; virtually over the place below that.
    let top = 16 * MIB - 0x1000;
    let below = 16 * MIB - 0x3000;
    let segments = [
        load(below, 0x10_0000, b"v"),
        load(HIGH, top, &[0xf4; 0x1000]),
    ];
    let i = Image::from_bytes("k", &elf(HIGH, &segments), &LoadOptions::default()).unwrap();
    let b = boot(&i, 16 * MIB, &model()).unwrap();
    assert_eq!(b.layout.end.0, below);
    for at in [b.layout.stack, b.layout.gdt, b.layout.tables] {
        assert_eq!(
            walk(&b, at.0).unwrap().0,
            at.0,
            "reached at its own address"
        );
    }
    assert_eq!(
        walk(&b, below),
        Some((0x10_0000, 3)),
        "the image hides RAM there"
    );
    assert_eq!(walk(&b, below + 0x1000).unwrap().0, below + 0x1000);
}

#[test]
fn ram_sizes() {
    let i = flat::load("k".to_owned(), b"\xf4", Some(0x8000)).unwrap();
    for ram in [MIB, MIB + 4096, 3 * MIB, 4 << 30, 64 << 30] {
        let b = boot(&i, ram, &model()).unwrap();
        assert_eq!(walk(&b, ram - 1).unwrap().0, ram - 1, "{ram:#x}");
        assert_eq!(b.layout.end.0, ram.min(0xfee0_0000));
    }
    for ram in [0, MIB - 4096, MIB + 1, (64 << 30) + 4096, u64::MAX] {
        let e = boot(&i, ram, &model()).unwrap_err().to_string();
        assert!(e.starts_with(&format!("RAM of {ram} bytes: ")), "{e}");
    }
    let narrow = CpuModel {
        maxphyaddr: 32,
        ..model()
    };
    assert!(boot(&i, 4 << 30, &narrow).is_ok());
    assert!(boot(&i, (4 << 30) + 4096, &narrow).is_err());
}

#[test]
fn the_apic_page_stays_uncacheable_under_much_ram() {
    let b = boot(&flat(1), 8 << 30, &model()).unwrap();
    assert_eq!(walk(&b, 0xfee0_0000), Some((0xfee0_0000, 0x1b)));
    assert_eq!(walk(&b, 0xfee0_1000), Some((0xfee0_1000, 0x03)));
    assert_eq!(walk(&b, 0xff00_0000), Some((0xff00_0000, 0x83)));
}

#[test]
fn what_cannot_start_is_refused_with_the_segment() {
    let image = |segments: &[_]| {
        Image::from_bytes("k", &elf(HIGH, segments), &LoadOptions::default()).unwrap()
    };
    let e = boot(&image(&[load(HIGH, 64 * MIB, b"x")]), 64 * MIB, &model()).unwrap_err();
    assert!(matches!(e, LoadError::BeyondRam { .. }), "{e}");
    assert!(
        e.to_string()
            .starts_with("k: segment 0 (0xffffffff80000000..0xffffffff80000001) needs"),
        "{e}"
    );

    let e = boot(
        &image(&[load(HIGH, 0xfee0_0fff & !0xfff, b"x")]),
        8 << 30,
        &model(),
    )
    .unwrap_err();
    assert!(matches!(e, LoadError::CoversApic { .. }), "{e}");

    let shared = [
        load(HIGH, 0x10_0000, b"x"),
        load(HIGH + 0x800, 0x20_0800, b"y"),
    ];
    let e = boot(&image(&shared), 64 * MIB, &model()).unwrap_err();
    assert!(matches!(e, LoadError::SharedPage { page: HIGH, .. }), "{e}");

    let e = boot(&flat(0xf_0000), 2 * MIB, &model()).map(|b| b.layout);
    assert!(e.is_ok(), "just below the top");
    let e = boot(&flat(0xf_c000), 2 * MIB, &model());
    // 16 KiB above the image are too few, but there is room below it.
    assert!(e.unwrap().layout.end.0 == 0x10_0000);
    let mut full = flat(0x1f_f000);
    full.segments[0].paddr = PhysAddr(0);
    full.segments[0].vaddr = VirtAddr(0);
    let e = boot(&full, 2 * MIB, &model()).unwrap_err();
    assert!(matches!(e, LoadError::NoRoom { .. }), "{e}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever the segments are: writes stay in RAM and apart, the segments are mapped to their
    /// frames, and the start-up area to itself.
    #[test]
    fn layout_holds_for_any_segments(
        ram in (MIB / 4096)..(20 * MIB / 4096),
        list in prop::collection::vec((0u64..5000, 0u64..5000, 1u64..400_000, any::<bool>()), 1..5),
    ) {
        let ram = ram * 4096;
        let mut segments: Vec<LoadSegment> = list.iter().enumerate().map(|(index, &(v, p, size, up))| LoadSegment {
            index,
            vaddr: VirtAddr(v * 4096 + if up { HIGH } else { 0 }),
            paddr: PhysAddr(p * 4096),
            data: vec![index as u8; (size / 2) as usize],
            mem_size: size,
            flags: SegmentFlags::all(),
        }).collect();
        segments.sort_by_key(|s| s.vaddr);
        let apart = |key: fn(&LoadSegment) -> u64| {
            let mut s: Vec<_> = segments.iter().map(|s| (key(s), s.mem_size)).collect();
            s.sort_unstable();
            s.windows(2).all(|w| w[0].0 + w[0].1 <= w[1].0)
        };
        prop_assume!(apart(|s| s.vaddr.0) && apart(|s| s.paddr.0));
        let image = Image { entry: segments[0].vaddr, segments, ..flat(1) };
        let b = match boot(&image, ram, &model()) {
            Ok(b) => b,
            Err(e) => {
                let expected = matches!(e, LoadError::BeyondRam { .. } | LoadError::NoRoom { .. } | LoadError::SharedPage { .. });
                prop_assert!(expected, "{}", e);
                return Ok(());
            }
        };
        for pair in b.writes.windows(2) {
            prop_assert!(pair[0].0.0 + pair[0].1.len() as u64 <= pair[1].0.0);
        }
        for w in &b.writes {
            prop_assert!(w.0.0 + w.1.len() as u64 <= ram);
        }
        for s in &image.segments {
            prop_assert!(s.pend() <= b.layout.stack.0 || s.paddr.0 >= b.layout.end.0);
            for o in [0, s.mem_size / 3, s.mem_size - 1] {
                prop_assert_eq!(walk(&b, s.vaddr.0 + o).map(|w| w.0), Some(s.paddr.0 + o));
            }
        }
        let mut at = b.layout.stack.0;
        while at < b.layout.end.0 {
            prop_assert_eq!(walk(&b, at).map(|w| w.0), Some(at));
            at += 4096;
        }
    }
}
