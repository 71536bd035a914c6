//! ELF files: the loader, the start-up state, symbols and lines.

use iretrace::arch::{CpuModel, PAGE_SIZE, Vendor, VirtAddr};
use iretrace::load::{Image, LoadOptions, boot};

use super::driver::{Target, one_line};
use super::noise;
use super::random::Random;

const EHDR: usize = 64;
const PHDR: usize = 56;
const SHDR: usize = 64;
const BASE: u64 = 0xffff_ffff_8000_0000;
const RAM: u64 = 16 << 20;

pub(super) fn put(b: &mut [u8], at: usize, width: usize, value: u64) {
    if let Some(to) = b.get_mut(at..at + width) {
        to.copy_from_slice(&value.to_le_bytes()[..width]);
    }
}

pub(super) fn get(b: &[u8], at: usize, width: usize) -> u64 {
    let from = at.checked_add(width).and_then(|end| b.get(at..end));
    from.map_or(0, |f| {
        f.iter().rev().fold(0, |v, &byte| v << 8 | u64::from(byte))
    })
}

fn le(words: &[(u64, usize)]) -> Vec<u8> {
    let bytes = words
        .iter()
        .flat_map(|(v, width)| v.to_le_bytes().into_iter().take(*width));
    bytes.collect()
}

/// A `.debug_line` of version 4 (DWARF 4, 6.2.4): two rows and an end.
fn line_table() -> Vec<u8> {
    let mut header = vec![1, 1, 1, 0xfb, 14, 13];
    header.extend([0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1]);
    header.push(0);
    header.extend(b"kernel.S\0\0\0\0\0");
    let mut program = vec![0, 9, 2];
    program.extend(BASE.to_le_bytes());
    // copy; advance_pc 4; advance_line 1; copy; advance_pc 4; end_sequence
    program.extend([1, 2, 4, 3, 1, 1, 2, 4, 0, 1, 1]);
    let mut unit = le(&[(4, 2), (header.len() as u64, 4)]);
    unit.extend(header);
    unit.extend(program);
    let mut out = le(&[(unit.len() as u64, 4)]);
    out.extend(unit);
    out
}

/// A `.debug_line` of version 5 (DWARF 5, 6.2.4) in the 64-bit format.
fn line_table_5() -> Vec<u8> {
    let mut header = vec![1, 1, 1, 0xfb, 14, 13];
    header.extend([0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1]);
    // One directory, one file; each a DW_LNCT_path as DW_FORM_string, the file with an index.
    header.extend([1, 1, 8, 1]);
    header.extend(b"/src\0");
    header.extend([2, 1, 8, 2, 11, 1]);
    header.extend(b"a.c\0\0");
    let mut program = vec![0, 9, 2];
    program.extend(BASE.to_le_bytes());
    program.extend([4, 0, 1, 2, 4, 0x20, 2, 4, 0, 1, 1]);
    let mut unit = le(&[(5, 2), (8, 1), (0, 1), (header.len() as u64, 8)]);
    unit.extend(header);
    unit.extend(program);
    let mut out = le(&[(0xffff_ffff, 4), (unit.len() as u64, 8)]);
    out.extend(unit);
    out
}

/// A segment: type, flags, virtual and physical address, contents, size in memory.
type Segment = (u32, u32, u64, u64, Vec<u8>, u64);

/// A section: name, type, flags, address, contents, link, entry size.
type Section = (&'static str, u32, u64, u64, Vec<u8>, u32, u64);

fn build(kind: u16, entry: u64, segments: &[Segment], sections: &[Section]) -> Vec<u8> {
    let mut out = vec![0; EHDR + PHDR * segments.len()];
    out[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    for (at, width, value) in [
        (16, 2, u64::from(kind)),
        (18, 2, 62),
        (20, 4, 1),
        (24, 8, entry),
        (32, 8, EHDR as u64),
        (52, 2, EHDR as u64),
        (54, 2, PHDR as u64),
        (56, 2, segments.len() as u64),
        (58, 2, SHDR as u64),
    ] {
        put(&mut out, at, width, value);
    }
    for (n, (kind, flags, vaddr, paddr, data, memsz)) in segments.iter().enumerate() {
        let offset = out.len() as u64;
        let fields = le(&[
            ((*kind).into(), 4),
            ((*flags).into(), 4),
            (offset, 8),
            (*vaddr, 8),
            (*paddr, 8),
            (data.len() as u64, 8),
            (*memsz, 8),
            (PAGE_SIZE, 8),
        ]);
        let at = EHDR + PHDR * n;
        out[at..at + PHDR].copy_from_slice(&fields);
        out.extend(data);
    }
    if sections.is_empty() {
        return out;
    }
    let mut names = vec![0];
    let mut headers = vec![0; SHDR];
    for (name, kind, flags, addr, data, link, entsize) in sections {
        headers.extend(le(&[
            (names.len() as u64, 4),
            ((*kind).into(), 4),
            (*flags, 8),
            (*addr, 8),
            (out.len() as u64, 8),
            (data.len() as u64, 8),
            ((*link).into(), 4),
            (0, 4),
            (1, 8),
            (*entsize, 8),
        ]));
        names.extend(name.as_bytes());
        names.push(0);
        out.extend(data);
    }
    headers.extend(le(&[
        (names.len() as u64, 4),
        (3, 4),
        (0, 16),
        (out.len() as u64, 8),
        (names.len() as u64 + 10, 8),
        (0, 24),
    ]));
    names.extend(b".shstrtab\0");
    out.extend(names);
    let (at, count) = (out.len() as u64, headers.len() / SHDR);
    put(&mut out, 40, 8, at);
    put(&mut out, 60, 2, count as u64);
    put(&mut out, 62, 2, count as u64 - 1);
    out.extend(headers);
    out
}

fn symbols() -> (Vec<u8>, Vec<u8>) {
    let mut table = vec![0; 24];
    let mut strings = vec![0];
    for (name, value, size, info) in [
        ("_start", BASE, 8, 0x12),
        ("inner", BASE + 4, 2, 0x02),
        ("label", BASE + 8, 0, 0x10),
        ("end", BASE + 16, 0, 0x10),
    ] {
        table.extend(le(&[
            (strings.len() as u64, 4),
            (info, 1),
            (0, 1),
            (1, 2),
            (value, 8),
            (size, 8),
        ]));
        strings.extend(name.as_bytes());
        strings.push(0);
    }
    (table, strings)
}

fn kernel(lines: Vec<u8>) -> Vec<u8> {
    let (table, strings) = symbols();
    let text = vec![0xf4; 16];
    build(
        2,
        BASE,
        &[
            (1, 5, BASE, 0x10_0000, text.clone(), 16),
            (1, 6, BASE + 0x1000, 0x10_1000, vec![7; 24], 0x3000),
            (0x6474_e551, 6, 0, 0, Vec::new(), 0),
        ],
        &[
            (".text", 1, 6, BASE, text, 0, 0),
            (".symtab", 2, 0, 0, table, 3, 24),
            (".strtab", 3, 0, 0, strings, 0, 0),
            (".debug_line", 1, 0, 0, lines, 0, 0),
        ],
    )
}

/// ET_DYN with three relocations.
fn dynamic() -> Vec<u8> {
    const AT: u64 = 0x20_0000;
    let tags = le(&[
        (7, 8),
        (AT + 0x60, 8),
        (8, 8),
        (72, 8),
        (9, 8),
        (24, 8),
        (0, 16),
    ]);
    let mut data = tags.clone();
    data.resize(0x60, 0);
    for n in 0..3 {
        data.extend(le(&[(AT + 0x100 + 8 * n, 8), (8, 8), (AT + n, 8)]));
    }
    data.resize(0x200, 0x90);
    let mut out = build(
        3,
        AT + 0x180,
        &[
            (1, 7, AT, 0, data, 0x1000),
            (2, 6, AT, 0, Vec::new(), tags.len() as u64),
        ],
        &[],
    );
    // PT_DYNAMIC shows the first bytes of the segment before it.
    let offset = get(&out, EHDR + 8, 8);
    put(&mut out, EHDR + PHDR + 8, 8, offset);
    put(&mut out, EHDR + PHDR + 32, 8, tags.len() as u64);
    out
}

/// Where the numbers are: offset and width of each field of each header, as far as they lie in the file.
fn fields(b: &[u8]) -> Vec<(usize, usize)> {
    const FILE: [usize; 14] = [1, 2, 2, 4, 8, 8, 8, 4, 2, 2, 2, 2, 2, 2];
    const PROGRAM: [usize; 8] = [4, 4, 8, 8, 8, 8, 8, 8];
    const SECTION: [usize; 10] = [4, 4, 8, 8, 8, 8, 4, 4, 8, 8];
    const SYMBOL: [usize; 6] = [4, 1, 1, 2, 8, 8];
    let mut out = Vec::new();
    let mut add = |mut at: usize, widths: &[usize]| {
        for &width in widths {
            out.push((at, width));
            at += width;
        }
    };
    add(15, &FILE);
    let (phoff, shoff) = (get(b, 32, 8) as usize, get(b, 40, 8) as usize);
    if phoff < b.len() {
        for n in 0..(get(b, 56, 2) as usize).min(8) {
            add(phoff + n * PHDR, &PROGRAM);
        }
    }
    if shoff < b.len() && shoff != 0 {
        for n in 0..(get(b, 60, 2) as usize).min(12) {
            let at = shoff + n * SHDR;
            add(at, &SECTION);
            let (kind, offset) = (get(b, at + 4, 4), get(b, at + 24, 8) as usize);
            if kind == 2 && offset < b.len() {
                for n in 0..6 {
                    add(offset + n * 24, &SYMBOL);
                }
            }
            if kind == 1 && offset < b.len() {
                add(offset, &[4, 8, 2, 1, 1, 8]);
            }
        }
    }
    let first = get(b, EHDR + 8, 8) as usize;
    if get(b, 16, 2) == 3 && first < b.len() {
        add(first, &[8; 21]);
    }
    out.retain(|(at, width)| at + width <= b.len());
    out
}

pub struct Elf;

impl Target for Elf {
    const NAME: &'static str = "elf";
    const CASES: u64 = 16_000;

    fn seeds() -> Vec<Vec<u8>> {
        vec![
            kernel(line_table()),
            kernel(line_table_5()),
            dynamic(),
            build(2, 0x1000, &[(1, 7, 0x1000, 0x1000, vec![0xf4], 1)], &[]),
        ]
    }

    fn mutate(b: &mut Vec<u8>, other: &[u8], r: &mut Random) {
        let fields = fields(b);
        match r.below(8) {
            0 => noise::bytes(b, r),
            1 if !other.is_empty() => {
                // The other's part at the same place, or somewhere.
                let at = r.below(other.len());
                let part = &other[at..other.len().min(at + 1 + r.below(64))];
                let to = if r.one_in(2) {
                    at
                } else {
                    r.below(b.len() + 1)
                };
                if let Some(place) = b.get_mut(to..to + part.len()) {
                    place.copy_from_slice(part);
                }
            }
            // One field says what another says.
            2 if fields.len() > 1 => {
                let (from, width) = fields[r.below(fields.len())];
                let value = get(b, from, width);
                let (at, width) = fields[r.below(fields.len())];
                put(b, at, width, r.edge(value));
            }
            _ if !fields.is_empty() => {
                let (at, width) = fields[r.below(fields.len())];
                let here = if r.one_in(2) {
                    b.len() as u64
                } else {
                    get(b, at, width)
                };
                put(b, at, width, r.edge(here));
            }
            _ => noise::bytes(b, r),
        }
    }

    fn check(input: &[u8]) -> String {
        let load = || Image::from_bytes("a.elf", input, &LoadOptions::default());
        let image = match load() {
            Ok(image) => image,
            Err(e) => {
                let text = e.to_string();
                one_line(&text);
                assert!(text.starts_with("a.elf: "), "names no file: {text}");
                return text;
            }
        };
        sound(&image);
        let mut said = format!(
            "{:?} {} segments, {} symbols, lines {}, {} ",
            image.placement,
            image.segments.len().min(3),
            image.symbols.len().min(2),
            image.debug.is_some(),
            image.notes.join("; "),
        );
        match boot(&image, RAM, &CpuModel::of(Vendor::Intel)) {
            Ok(boot) => {
                let mut end = 0;
                for (at, data) in &boot.writes {
                    assert!(at.0 >= end, "writes overlap at {at}");
                    end = at.0 + data.len() as u64;
                }
                assert!(end <= RAM, "beyond RAM");
            }
            Err(e) => {
                one_line(&e.to_string());
                said += &e.to_string();
            }
        }
        let again = load().expect("loaded before");
        assert_eq!(again.segments, image.segments);
        assert_eq!(again.notes, image.notes);
        said
    }
}

/// What every image promises.
fn sound(image: &Image) {
    assert!(
        image.segment_at(image.entry).is_some(),
        "the entry lies nowhere"
    );
    image.notes.iter().for_each(|n| one_line(n));
    let mut physical: Vec<(u64, u64)> = Vec::new();
    for s in &image.segments {
        assert!(s.mem_size > 0 && s.data.len() as u64 <= s.mem_size);
        let last = s.vaddr.0.checked_add(s.mem_size - 1).expect("no wrap");
        assert!(s.vaddr.is_canonical(false) && VirtAddr(last).is_canonical(false));
        physical.push((
            s.paddr.0,
            s.paddr.0.checked_add(s.mem_size).expect("no wrap"),
        ));
    }
    for pair in image.segments.windows(2) {
        let distance = pair[1]
            .vaddr
            .0
            .checked_sub(pair[0].vaddr.0)
            .expect("rising");
        assert!(distance >= pair[0].mem_size, "overlap in virtual memory");
    }
    physical.sort_unstable();
    for pair in physical.windows(2) {
        assert!(pair[0].1 <= pair[1].0, "overlap in physical memory");
    }
    for (name, at) in image.symbols.iter().take(64) {
        assert!(!name.is_empty());
        // A name either leads to one address or to an error of one line.
        if let Err(e) = image.resolve(name) {
            one_line(&e.to_string());
        }
        if let Some(shown) = image.symbols.shown(at) {
            one_line(&shown);
        }
        if let Some(line) = image.debug.as_ref().and_then(|d| d.shown(at)) {
            one_line(&line);
        }
    }
    for probe in [0, BASE, BASE + 4, BASE + 5, u64::MAX] {
        let at = VirtAddr(probe);
        if let Some((name, offset)) = image.symbols.name(at) {
            assert!(offset <= probe && !name.is_empty());
        }
        let _ = image.debug.as_ref().and_then(|d| d.line(at));
    }
}
