use proptest::prelude::*;

use crate::arch::{CpuModel, Vendor, VirtAddr};
use crate::load::image::SegmentFlags;
use crate::load::samples::{self, *};
use crate::load::{ElfFault, Format, Image, LoadError, LoadOptions, Placement, boot};
use crate::trace::Symbols;

const HIGH: u64 = 0xffff_ffff_8000_0000;

fn open(bytes: &[u8]) -> Result<Image, LoadError> {
    Image::from_bytes("k.elf", bytes, &LoadOptions::default())
}

fn fault(bytes: &[u8]) -> ElfFault {
    match open(bytes) {
        Err(LoadError::Elf { file, fault }) => {
            let text = fault.to_string();
            assert_eq!(file, "k.elf");
            assert!(
                text.contains(": ") && (text.contains("; ") || text.contains(": build")),
                "{text}"
            );
            assert!(!text.contains('\n'), "{text}");
            fault
        }
        other => panic!("{other:?}"),
    }
}

fn changed(change: impl FnOnce(&mut Vec<u8>)) -> ElfFault {
    let mut bytes = elf(HIGH, &[load(HIGH, 0x10_0000, b"\xf4")]);
    change(&mut bytes);
    fault(&bytes)
}

/// A file with everything the loader reads: two segments, sections, symbols, a line table.
fn rich() -> Vec<u8> {
    let base = elf(
        HIGH,
        &[
            load(HIGH, 0x10_0000, &[0x90; 64]),
            Segment {
                flags: 6,
                memsz: 0x3000,
                ..load(HIGH + 0x1000, 0x10_1000, b"data")
            },
        ],
    );
    with_sections(
        base,
        &[
            (".text", 1, 6, HIGH, Contents::Size(64)),
            (".data", 8, 3, HIGH + 0x1000, Contents::Size(0x3000)),
            (
                ".debug_line",
                1,
                0,
                0,
                Contents::Bytes(crate::load::lines::tests::table(HIGH, 64)),
            ),
        ],
        &[
            ("_start", HIGH, 0, GLOBAL | FUNC, 1),
            ("counter", HIGH + 0x1000, 8, GLOBAL | OBJECT, 2),
        ],
    )
}

#[test]
fn a_higher_half_executable() {
    let image = open(&rich()).unwrap();
    assert_eq!(image.format, Format::Elf64);
    assert_eq!(image.entry, VirtAddr(HIGH));
    assert_eq!(image.placement, Placement::Headers);
    assert_eq!(image.segments.len(), 2);
    assert_eq!(image.segments[0].data, [0x90; 64]);
    assert_eq!(image.segments[0].flags, SegmentFlags::R | SegmentFlags::X);
    assert_eq!(image.segments[1].data, b"data");
    assert_eq!(image.segments[1].mem_size, 0x3000);
    assert_eq!(image.segments[1].flags, SegmentFlags::R | SegmentFlags::W);
    assert_eq!(
        image.name(VirtAddr(HIGH + 3)).as_deref(),
        Some("_start+0x3")
    );
    assert_eq!(image.line(VirtAddr(HIGH + 3)).as_deref(), Some("src/k.S:7"));
    assert_eq!(image.resolve("counter").unwrap(), VirtAddr(HIGH + 0x1000));
    assert!(image.notes.is_empty(), "{:?}", image.notes);
}

#[test]
fn segments_are_sorted_and_empty_ones_left_out() {
    let image = open(&elf(
        0x10_0000,
        &[
            load(0x20_0000, 0x20_0000, b"b"),
            load(0x30_0000, 0x30_0000, b""),
            load(0x10_0000, 0x10_0000, b"a"),
        ],
    ))
    .unwrap();
    let order: Vec<usize> = image.segments.iter().map(|s| s.index).collect();
    assert_eq!(order, [2, 0]);
}

#[test]
fn headers_of_other_files_are_refused() {
    assert!(matches!(
        changed(|b| b[4] = 1),
        ElfFault::Class { class: 1 }
    ));
    assert!(matches!(
        changed(|b| b[5] = 2),
        ElfFault::Endian { data: 2 }
    ));
    assert!(matches!(
        changed(|b| b[6] = 0),
        ElfFault::Version { version: 0 }
    ));
    assert!(matches!(
        changed(|b| b[20] = 9),
        ElfFault::Version { version: 9 }
    ));
    assert!(matches!(changed(|b| put16(b, 16, 1)), ElfFault::NotLinked));
    assert!(matches!(
        changed(|b| put16(b, 16, 4)),
        ElfFault::Type { .. }
    ));
    assert!(matches!(
        changed(|b| put16(b, 16, 0xfe00)),
        ElfFault::Type { .. }
    ));
    assert!(matches!(
        changed(|b| put16(b, 54, 32)),
        ElfFault::EntrySize { size: 32, .. }
    ));
    assert!(matches!(changed(|b| put16(b, 56, 0)), ElfFault::NoSegments));
    assert!(matches!(
        changed(|b| put16(b, 56, 0xffff)),
        ElfFault::TooMany { .. }
    ));
    assert!(matches!(
        changed(|b| put64(b, 24, 0)),
        ElfFault::Entry { entry: 0 }
    ));
    assert!(matches!(
        changed(|b| put64(b, 24, HIGH + 1)),
        ElfFault::Entry { .. }
    ));
    assert!(matches!(changed(|b| put32(b, 64, 4)), ElfFault::NoSegments));
    // gABI: EM_ARM is 40, EM_AARCH64 is 183.
    let arm = changed(|b| put16(b, 18, 40)).to_string();
    assert!(arm.contains("made for ARM (40)"), "{arm}");
    let other = changed(|b| put16(b, 18, 9999)).to_string();
    assert!(other.contains("another machine (9999)"), "{other}");
}

#[test]
fn an_elf32_for_x86_is_refused_for_its_class() {
    let mut b = vec![0; 52];
    b[..7].copy_from_slice(b"\x7fELF\x01\x01\x01");
    put16(&mut b, 16, 2);
    put16(&mut b, 18, 3);
    let e = open(&b).unwrap_err().to_string();
    assert!(
        e.starts_with("k.elf: ELF header, byte 4: a 32-bit ELF"),
        "{e}"
    );
}

#[test]
fn absurd_segments_are_refused() {
    let with = |s: Segment| fault(&elf(HIGH, &[load(HIGH, 0x10_0000, b"\xf4"), s]));
    let at = |vaddr| load(vaddr, 0x20_0000, b"x");
    for (s, problem) in [
        (
            Segment {
                memsz: 0x1000,
                data: vec![0; 0x1001],
                ..at(0x20_0000)
            },
            "p_filesz",
        ),
        (
            Segment {
                memsz: (64 << 30) + 1,
                ..at(0x20_0000)
            },
            "p_memsz",
        ),
        (
            Segment {
                memsz: u64::MAX,
                ..at(0x20_0000)
            },
            "p_memsz",
        ),
        (at(0x8000_0000_0000), "non-canonical"),
        (at(0xffff_7fff_ffff_ffff), "non-canonical"),
        (
            Segment {
                memsz: 2,
                ..at(0x7fff_ffff_ffff)
            },
            "non-canonical",
        ),
        (
            Segment {
                memsz: 2,
                ..at(u64::MAX)
            },
            "non-canonical",
        ),
        (
            load(0x20_0000, 0x20_0001, b"x"),
            "another offset in its page",
        ),
    ] {
        let f = with(s);
        assert!(matches!(f, ElfFault::Segment { .. }), "{f}");
        assert!(f.to_string().contains(problem), "{problem}: {f}");
        assert!(f.to_string().starts_with("segment 1 ("), "{f}");
    }
}

#[test]
fn overlaps_are_refused_in_both_spaces() {
    let two = |a, b| fault(&elf(HIGH, &[a, b]));
    let f = two(
        load(HIGH, 0x10_0000, &[0; 0x20]),
        load(HIGH + 0x1f, 0x20_001f, b"x"),
    );
    assert!(
        matches!(
            f,
            ElfFault::Overlap {
                space: "virtual",
                ..
            }
        ),
        "{f}"
    );
    let f = two(
        load(HIGH, 0x10_0000, &[0; 0x20]),
        load(HIGH + 0x101f, 0x10_001f, b"x"),
    );
    assert!(
        matches!(
            f,
            ElfFault::Overlap {
                space: "physical",
                at: 0x10_001f,
                ..
            }
        ),
        "{f}"
    );
    // Touching is not overlapping.
    let a = load(HIGH, 0x10_0000, &[0; 0x20]);
    assert!(open(&elf(HIGH, &[a, load(HIGH + 0x20, 0x10_0020, b"x")])).is_ok());
}

#[test]
fn many_segments_over_the_same_bytes_cost_no_memory() {
    let count = 200;
    let mut b = elf(0x10_0000, &vec![load(0, 0, b""); count]);
    let offset = b.len() as u64;
    b.resize(b.len() + (1 << 20), 0x90);
    for n in 0..count {
        let at = EHDR + PHDR * n;
        put64(&mut b, at + 8, offset);
        for (field, value) in [(16, n as u64), (24, n as u64)] {
            put64(&mut b, at + field, 0x10_0000 + (value << 20));
        }
        put64(&mut b, at + 32, 1 << 20);
        put64(&mut b, at + 40, 1 << 20);
    }
    let f = fault(&b);
    assert!(f.to_string().contains("far larger than the file"), "{f}");
}

#[test]
fn dynamic_executables_are_refused() {
    let interp = Segment {
        kind: 3,
        ..load(HIGH, 0, b"/lib64/ld-linux-x86-64.so.2\0")
    };
    let f = fault(&elf(HIGH, &[load(HIGH, 0x10_0000, b"\xf4"), interp]));
    assert!(
        f.to_string().contains("/lib64/ld-linux-x86-64.so.2, and"),
        "{f}"
    );
}

/// A static position-independent executable: code, then `rela`, with its PT_DYNAMIC.
fn pie(rela: &[(u64, u64, u64)], extra: &[(u64, u64)]) -> Vec<u8> {
    let mut data = vec![0xf4; 0x100];
    for &(at, info, addend) in rela {
        for v in [at, info, addend] {
            data.extend_from_slice(&v.to_le_bytes());
        }
    }
    let size = 24 * rela.len() as u64;
    let mut dynamic = Vec::new();
    for (tag, value) in [(7, 0x1100), (8, size), (9, 24)].iter().chain(extra) {
        for v in [tag, value] {
            dynamic.extend_from_slice(&u64::to_le_bytes(*v));
        }
    }
    dynamic.extend_from_slice(&[0; 16]);
    let mut b = elf(
        0x1000,
        &[
            load(0x1000, 0x1000, &data),
            Segment {
                kind: 2,
                ..load(0x3000, 0x3000, &dynamic)
            },
        ],
    );
    put16(&mut b, 16, 3);
    b
}

#[test]
fn relative_relocations_store_their_addend_at_base_0() {
    // psABI table 4.9: R_X86_64_RELATIVE (8) is B + A; R_X86_64_NONE (0) nothing.
    let image = open(&pie(&[(0x1010, 8, 0x1234_5678_9abc), (0x1020, 0, 5)], &[])).unwrap();
    let data = &image.segments[0].data;
    assert_eq!(data[0x10..0x18], 0x1234_5678_9abcu64.to_le_bytes());
    assert_eq!(data[0x20..0x28], [0xf4; 8]);
    assert_eq!(image.placement, Placement::Headers);
}

#[test]
fn relocations_that_need_a_dynamic_linker_are_refused() {
    // 6 is GLOB_DAT, 37 IRELATIVE.
    for (entry, words) in [
        ((0x1010, 6, 0), "GLOB_DAT"),
        ((0x1010, 37, 0), "IRELATIVE"),
        ((0x10f9 + 0x18, 8, 0), "no segment's data"),
        ((0x0fff, 8, 0), "no segment's data"),
        ((u64::MAX, 8, 0), "no segment's data"),
    ] {
        let f = fault(&pie(&[entry], &[]));
        assert!(matches!(f, ElfFault::Relocation { index: 0, .. }), "{f}");
        assert!(f.to_string().contains(words), "{f}");
    }
    // DT_NEEDED 1, DT_RELASZ 8, DT_RELAENT 9, DT_REL 17.
    assert!(matches!(
        fault(&pie(&[], &[(1, 1)])),
        ElfFault::Dynamic {
            place: "DT_NEEDED",
            ..
        }
    ));
    for tag in [(8, 0x1000), (8, u64::MAX), (9, 16), (17, 0x1000)] {
        let f = fault(&pie(&[], &[tag]));
        assert!(matches!(f, ElfFault::Malformed { .. }), "{tag:?}: {f}");
    }
}

#[test]
fn symbols_follow_the_stated_preferences() {
    let text = HIGH;
    let base = elf(
        HIGH,
        &[
            load(HIGH, 0x10_0000, &[0x90; 0x100]),
            load(HIGH + 0x1000, 0x10_1000, &[0; 0x40]),
        ],
    );
    let b = with_sections(
        base,
        &[
            (".text", 1, 6, text, Contents::Size(0x100)),
            (".data", 1, 3, text + 0x1000, Contents::Size(0x40)),
        ],
        &[
            ("k.S", 0, 0, LOCAL | FILE, ABS),
            (".text", text, 0, LOCAL | SECTION, 1),
            ("$x", text, 0, LOCAL | NOTYPE, 1),
            (".Lloop", text + 4, 0, LOCAL | NOTYPE, 1),
            ("local_label", text, 0, LOCAL | NOTYPE, 1),
            ("object", text, 8, GLOBAL | OBJECT, 1),
            ("global_label", text, 0, GLOBAL | NOTYPE, 1),
            ("thread_local", text + 8, 0, GLOBAL | TLS, 1),
            ("CONSTANT", 0x10, 0, LOCAL | NOTYPE, ABS),
            ("inside", text + 0x30, 0, GLOBAL | NOTYPE, ABS),
            ("undefined", 0, 0, GLOBAL | NOTYPE, 0),
            ("weak_function", text + 0x40, 0x10, WEAK | FUNC, 1),
            ("other_label", text + 0x40, 0, GLOBAL | NOTYPE, 1),
            ("text_end", text + 0x100, 0, GLOBAL | NOTYPE, 1),
            ("data", text + 0x1000, 0, GLOBAL | OBJECT, 2),
            ("again", text + 0x50, 0, LOCAL | NOTYPE, 1),
            ("again", text + 0x60, 0, LOCAL | NOTYPE, 1),
            ("twice", text + 0x70, 0, LOCAL | NOTYPE, 1),
            ("twice", text + 0x80, 0, GLOBAL | NOTYPE, 1),
        ],
    );
    let image = open(&b).unwrap();
    let name = |offset: u64| image.name(VirtAddr(text + offset));
    assert_eq!(name(0).as_deref(), Some("global_label"));
    assert_eq!(
        name(5).as_deref(),
        Some("global_label+0x5"),
        "not .L, not thread-local"
    );
    assert_eq!(
        name(0x30).as_deref(),
        Some("global_label+0x30"),
        "not absolute"
    );
    assert_eq!(name(0x40).as_deref(), Some("weak_function"));
    assert_eq!(name(0x4f).as_deref(), Some("weak_function+0xf"));
    assert_eq!(name(0xff).as_deref(), Some("twice+0x7f"));
    assert_eq!(name(0x100), None, "the end of a section is not in it");
    assert_eq!(name(0xfff), None);
    assert_eq!(name(0x103f).as_deref(), Some("data+0x3f"));
    assert_eq!(name(0x1040), None);
    assert_eq!(image.name(VirtAddr(0x10)), None);
    let at = |n: &str| image.symbols.resolve(n).map(|a| a.0);
    assert_eq!(at("text_end"), Some(text + 0x100));
    assert_eq!(at("inside"), Some(text + 0x30));
    assert_eq!(at("twice"), Some(text + 0x80), "a global one wins");
    for none in ["CONSTANT", "undefined", "k.S", "thread_local", ".text"] {
        assert_eq!(at(none), None, "{none}");
    }
    let e = image.resolve("again").unwrap_err().to_string();
    assert!(
        e.starts_with("k.elf: symbol 'again': 2 local symbols"),
        "{e}"
    );
}

#[test]
fn a_cut_file_never_panics_and_never_loads() {
    let whole = rich();
    for len in 0..whole.len() {
        let e = open(&whole[..len]).unwrap_err().to_string();
        assert!(!e.contains('\n') && e.starts_with("k.elf: "), "{len}: {e}");
    }
    assert!(open(&whole).is_ok());
}

/// Loads, and uses what was loaded.
fn exercise(bytes: &[u8]) {
    let Ok(image) = open(bytes) else { return };
    for s in &image.segments {
        assert!(s.data.len() as u64 <= s.mem_size);
        for at in [
            s.vaddr.0,
            s.vaddr.0.wrapping_add(s.mem_size),
            s.vaddr.0.wrapping_sub(1),
        ] {
            let _ = (image.name(VirtAddr(at)), image.line(VirtAddr(at)));
        }
    }
    let _ = boot(&image, 64 << 20, &CpuModel::of(Vendor::Intel));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn flipped_bytes_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = rich();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        exercise(&bytes);
    }

    #[test]
    fn flipped_bits_of_a_relocatable_image_never_panic(bits in prop::collection::vec(any::<prop::sample::Index>(), 1..6)) {
        let mut bytes = pie(&[(0x1010, 8, 1), (0x1100, 8, 2)], &[]);
        for bit in bits {
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        exercise(&bytes);
    }

    /// Fields of the headers, at extreme values: where sums overflow.
    #[test]
    fn extreme_fields_never_panic(
        fields in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(vec![
            0, 1, 8, 24, 63, 64, 4095, 0x7fff_ffff_ffff, 0x8000_0000_0000, HIGH, i64::MAX as u64,
            1 << 63, u64::MAX - 1, u64::MAX,
        ])), 1..4),
    ) {
        let mut bytes = rich();
        let shoff = u64::from_le_bytes(bytes[40..48].try_into().unwrap()) as usize;
        let words: Vec<usize> = (24..48).chain(64..EHDR + 2 * samples::PHDR).chain(shoff..bytes.len() - 8).step_by(8).collect();
        for (n, value) in fields {
            put64(&mut bytes, words[n.index(words.len())], value);
        }
        exercise(&bytes);
    }
}
