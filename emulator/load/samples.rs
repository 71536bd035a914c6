//! Small ELF files, byte by byte (gABI chapter 4), for tests.

/// Bytes of the ELF header and of one program header.
pub(super) const EHDR: usize = 64;
pub(super) const PHDR: usize = 56;
pub(super) const SHDR: usize = 64;

/// One PT_LOAD (or other) segment.
#[derive(Clone)]
pub(super) struct Segment {
    pub(super) kind: u32,
    pub(super) flags: u32,
    pub(super) vaddr: u64,
    pub(super) paddr: u64,
    pub(super) data: Vec<u8>,
    pub(super) memsz: u64,
}

/// A loaded segment whose memory is its data.
pub(super) fn load(vaddr: u64, paddr: u64, data: &[u8]) -> Segment {
    Segment {
        kind: 1,
        flags: 5,
        vaddr,
        paddr,
        data: data.to_vec(),
        memsz: data.len() as u64,
    }
}

/// One symbol: name, value, size, st_info, st_shndx.
pub(super) type Symbol<'a> = (&'a str, u64, u64, u8, u16);

pub(super) const LOCAL: u8 = 0;
pub(super) const GLOBAL: u8 = 1 << 4;
pub(super) const WEAK: u8 = 2 << 4;
pub(super) const NOTYPE: u8 = 0;
pub(super) const OBJECT: u8 = 1;
pub(super) const FUNC: u8 = 2;
pub(super) const SECTION: u8 = 3;
pub(super) const FILE: u8 = 4;
pub(super) const TLS: u8 = 6;
pub(super) const ABS: u16 = 0xfff1;

/// An ELF64 of type ET_EXEC without sections: header, program headers, then each segment's bytes.
pub(super) fn elf(entry: u64, segments: &[Segment]) -> Vec<u8> {
    let mut out = vec![0; EHDR + PHDR * segments.len()];
    out[..16].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    put16(&mut out, 16, 2);
    put16(&mut out, 18, 62);
    put32(&mut out, 20, 1);
    put64(&mut out, 24, entry);
    put64(&mut out, 32, EHDR as u64);
    put16(&mut out, 52, EHDR as u16);
    put16(&mut out, 54, PHDR as u16);
    put16(&mut out, 56, segments.len() as u16);
    put16(&mut out, 58, SHDR as u16);
    for (n, s) in segments.iter().enumerate() {
        let (at, offset) = (EHDR + PHDR * n, out.len() as u64);
        put32(&mut out, at, s.kind);
        put32(&mut out, at + 4, s.flags);
        put64(&mut out, at + 8, offset);
        put64(&mut out, at + 16, s.vaddr);
        put64(&mut out, at + 24, s.paddr);
        put64(&mut out, at + 32, s.data.len() as u64);
        put64(&mut out, at + 40, s.memsz);
        put64(&mut out, at + 48, 4096);
        out.extend_from_slice(&s.data);
    }
    out
}

/// Adds sections `(name, type, flags, addr, contents or size)`, a symbol table and the names.
/// Section numbers start at 1, in the order given.
pub(super) fn with_sections(
    mut elf: Vec<u8>,
    sections: &[(&str, u32, u64, u64, Contents)],
    symbols: &[Symbol<'_>],
) -> Vec<u8> {
    let mut names = vec![0];
    let mut headers = vec![[0; SHDR]];
    let mut strings = vec![0];
    let mut table = vec![0; 24];
    for &(name, value, size, info, section) in symbols {
        let mut s = [0; 24];
        put32(&mut s, 0, strings.len() as u32);
        s[4] = info;
        put16(&mut s, 6, section);
        put64(&mut s, 8, value);
        put64(&mut s, 16, size);
        table.extend_from_slice(&s);
        strings.extend_from_slice(name.as_bytes());
        strings.push(0);
    }
    let strtab = sections.len() as u32 + 2;
    let tail = [
        (".symtab", 2, 0, 0, Contents::Bytes(table)),
        (".strtab", 3, 0, 0, Contents::Bytes(strings)),
    ];
    for (name, kind, flags, addr, contents) in sections.iter().chain(&tail) {
        let mut h = [0; SHDR];
        put32(&mut h, 0, names.len() as u32);
        names.extend_from_slice(name.as_bytes());
        names.push(0);
        put32(&mut h, 4, *kind);
        put64(&mut h, 8, *flags);
        put64(&mut h, 16, *addr);
        put64(&mut h, 24, elf.len() as u64);
        let size = match contents {
            Contents::Bytes(b) => {
                elf.extend_from_slice(b);
                b.len() as u64
            }
            Contents::Size(n) => *n,
        };
        put64(&mut h, 32, size);
        if *kind == 2 {
            put32(&mut h, 40, strtab);
            put64(&mut h, 56, 24);
        }
        headers.push(h);
    }
    let mut h = [0; SHDR];
    put32(&mut h, 0, names.len() as u32);
    names.extend_from_slice(b".shstrtab\0");
    put32(&mut h, 4, 3);
    put64(&mut h, 24, elf.len() as u64);
    put64(&mut h, 32, names.len() as u64);
    elf.extend_from_slice(&names);
    headers.push(h);
    let shoff = elf.len() as u64;
    put64(&mut elf, 40, shoff);
    put16(&mut elf, 60, headers.len() as u16);
    put16(&mut elf, 62, headers.len() as u16 - 1);
    elf.extend(headers.iter().flatten());
    elf
}

/// What a section holds.
#[derive(Clone)]
pub(super) enum Contents {
    /// These bytes, in the file.
    Bytes(Vec<u8>),
    /// So many bytes, which are in memory alone (or belong to a segment).
    Size(u64),
}

pub(super) fn put16(b: &mut [u8], at: usize, v: u16) {
    b[at..at + 2].copy_from_slice(&v.to_le_bytes());
}

pub(super) fn put32(b: &mut [u8], at: usize, v: u32) {
    b[at..at + 4].copy_from_slice(&v.to_le_bytes());
}

pub(super) fn put64(b: &mut [u8], at: usize, v: u64) {
    b[at..at + 8].copy_from_slice(&v.to_le_bytes());
}
