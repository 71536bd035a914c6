use proptest::prelude::*;

use super::*;
use crate::arch::PhysAddr;
use crate::load::SegmentFlags;

/// A DWARF 4 line table (6.2.4): `size` bytes from `start` are line 7 of `src/k.S`, but the
/// second byte, which is line 9, and those from half of it on, which have no line (0).
pub(crate) fn table(start: u64, size: u64) -> Vec<u8> {
    let mut header = vec![1, 1, 1, 0xfb, 14, 13]; // min length, max ops, is_stmt, base -5, range, opcode_base
    header.extend_from_slice(&[0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1]);
    header.extend_from_slice(b"src\0\0k.S\0\x01\0\0\0");
    let mut program = vec![0, 9, 2]; // DW_LNE_set_address
    program.extend_from_slice(&start.to_le_bytes());
    program.extend_from_slice(&[3, 6, 1]); // advance_line 6, copy
    program.extend_from_slice(&[2, 1, 3, 2, 1]); // advance_pc 1, advance_line 2, copy
    program.extend_from_slice(&[2, 1, 3, 0x7e, 1]); // back to line 7
    program.extend_from_slice(&[2, (size / 2 - 2) as u8, 3, 0x79, 1]); // line 0
    program.extend_from_slice(&[2, (size - size / 2) as u8, 0, 1, 1]); // end_sequence
    unit(4, &header, &program)
}

fn unit(version: u16, header: &[u8], program: &[u8]) -> Vec<u8> {
    let mut body = version.to_le_bytes().to_vec();
    if version >= 5 {
        body.extend_from_slice(&[8, 0]);
    }
    body.extend_from_slice(&(header.len() as u32).to_le_bytes());
    body.extend_from_slice(header);
    body.extend_from_slice(program);
    let mut unit = (body.len() as u32).to_le_bytes().to_vec();
    unit.extend(body);
    unit
}

fn segments(start: u64, size: u64) -> Vec<LoadSegment> {
    vec![LoadSegment {
        index: 0,
        vaddr: VirtAddr(start),
        paddr: PhysAddr(start),
        data: Vec::new(),
        mem_size: size,
        flags: SegmentFlags::all(),
    }]
}

fn read(line: &[u8]) -> (Option<LineInfo>, Vec<String>) {
    let mut notes = Vec::new();
    let info = LineInfo::from_sections(line, &[], &[], &segments(0x1000, 0x1000), &mut notes);
    (info, notes)
}

#[test]
fn rows_hold_up_to_the_next_one() {
    let (info, notes) = read(&table(0x1000, 64));
    let info = info.unwrap();
    let at = |a| info.shown(VirtAddr(a));
    assert_eq!(at(0xfff), None);
    assert_eq!(at(0x1000).as_deref(), Some("src/k.S:7"));
    assert_eq!(at(0x1001).as_deref(), Some("src/k.S:9"));
    assert_eq!(at(0x101f).as_deref(), Some("src/k.S:7"));
    assert_eq!(at(0x1020), None, "line 0: no line");
    assert_eq!(at(0x1040), None, "past the sequence");
    assert_eq!(at(u64::MAX), None);
    assert!(notes.is_empty());
}

#[test]
fn version_5_paths_are_relative_to_the_compilation_folder() {
    // DWARF 5, 6.2.4.1: formats of (content type, form) pairs; DW_LNCT_path 1 as DW_FORM_string 8,
    // DW_LNCT_directory_index 2 as DW_FORM_udata 15. Directory 0 is the compilation folder.
    for (folder, file, shown) in [
        (&b"/home/a/k"[..], &b"boot.S"[..], "boot.S:7"),
        (b"src", b"boot.S", "src/boot.S:7"),
        (b"/home/a/k/src/", b"boot.S", "src/boot.S:7"),
        (b"/usr/share", b"boot.S", "/usr/share/boot.S:7"),
        (b"src", b"/home/a/k/x.S", "x.S:7"),
        (b"/home/a/kk", b"x.S", "/home/a/kk/x.S:7"),
    ] {
        let mut header = vec![1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1];
        header.extend_from_slice(&[1, 1, 8, 2]);
        for d in [b"/home/a/k", folder] {
            header.extend_from_slice(d);
            header.push(0);
        }
        header.extend_from_slice(&[2, 1, 8, 2, 15, 2]);
        for (f, d) in [(&b"other.S"[..], 0), (file, 1)] {
            header.extend_from_slice(f);
            header.extend_from_slice(&[0, d]);
        }
        let mut program = vec![0, 9, 2];
        program.extend_from_slice(&0x1000u64.to_le_bytes());
        program.extend_from_slice(&[3, 6, 1, 2, 8, 0, 1, 1]);
        let (info, notes) = read(&unit(5, &header, &program));
        assert_eq!(
            info.unwrap().shown(VirtAddr(0x1004)).as_deref(),
            Some(shown)
        );
        assert!(notes.is_empty());
    }
}

#[test]
fn code_outside_the_image_is_left_out() {
    // Sections that the linker dropped are described at address 0.
    let mut two = table(0, 64);
    two.extend(table(0x1100, 64));
    two.extend(table(0x1fd0, 64)); // reaches past the segment's end
    let (info, _) = read(&two);
    let info = info.unwrap();
    assert_eq!(info.shown(VirtAddr(0)), None);
    assert_eq!(info.shown(VirtAddr(0x1100)).as_deref(), Some("src/k.S:7"));
    assert_eq!(info.shown(VirtAddr(0x1fd0)), None);
    assert_eq!(info.files().collect::<Vec<_>>(), ["src/k.S"]);
}

#[test]
fn of_overlapping_sequences_the_first_stands() {
    let mut both = table(0x1020, 64);
    both.extend(table(0x1000, 64));
    let (info, _) = read(&both);
    let info = info.unwrap();
    assert_eq!(info.shown(VirtAddr(0x1001)).as_deref(), Some("src/k.S:9"));
    assert_eq!(info.shown(VirtAddr(0x1050)), None);
}

#[test]
fn a_bad_table_does_not_spoil_the_others() {
    let mut bad = table(0x1100, 64);
    bad[4] = 99; // version
    let mut all = table(0x1000, 64);
    all.extend(bad);
    all.extend(table(0x1200, 64));
    let (info, notes) = read(&all);
    let info = info.unwrap();
    assert!(info.shown(VirtAddr(0x1000)).is_some());
    assert!(info.shown(VirtAddr(0x1100)).is_none());
    assert!(info.shown(VirtAddr(0x1200)).is_some());
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("1 malformed line table"), "{notes:?}");
}

#[test]
fn a_cut_section_keeps_what_is_whole() {
    let mut two = table(0x1000, 64);
    let first = two.len();
    two.extend(table(0x1100, 64));
    for len in 0..two.len() {
        let (info, notes) = read(&two[..len]);
        let whole = len >= first;
        assert_eq!(info.is_some(), whole, "{len}");
        assert_eq!(notes.is_empty(), len == 0 || len == first, "{len}");
    }
}

#[test]
fn rows_are_bounded() {
    // One byte a row: DW_LNS_copy.
    let mut header = vec![1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1];
    header.extend_from_slice(b"\0k.S\0\0\0\0\0");
    let (info, notes) = read(&unit(4, &header, &vec![1; MAX_LINE_ROWS + 1]));
    assert_eq!(info, None);
    assert!(notes[0].contains("rows"), "{notes:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn damaged_tables_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = table(0x1000, 64);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let (Some(info), _) = read(&bytes) {
            prop_assert!(info.rows.is_sorted_by(|a, b| a.address < b.address));
            for at in 0xff0..0x1050 {
                let _ = info.shown(VirtAddr(at));
            }
        }
    }

    #[test]
    fn random_sections_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = read(&bytes);
    }
}
