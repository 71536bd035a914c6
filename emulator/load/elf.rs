//! ELF64 executables for x86-64 (System V gABI, chapters 4 and 5; x86-64 psABI).
//!
//! The parts of goblin that read one header are used; its whole-file parser is not, since it
//! follows every table of a hostile file.

use goblin::container::{Container, Ctx, Endian};
use goblin::elf::header::{self, Header};
use goblin::elf::program_header::{
    PF_R, PF_W, PF_X, PT_DYNAMIC, PT_INTERP, PT_LOAD, ProgramHeader,
};
use goblin::elf::section_header::{SHF_ALLOC, SHN_XINDEX, SHT_NOBITS, SectionHeader};

use super::elf_fault::ElfFault;
use super::error::{LoadError, printable};
use super::image::{Format, Image, LoadSegment, SegmentFlags};
use super::limits::{MAX_RAM, MAX_SECTIONS, MAX_SEGMENTS};
use super::lines::LineInfo;
use super::symbols::{Region, SymbolTable};
use super::{placement, relocate};
use crate::arch::{PhysAddr, VirtAddr};

const EHDR_SIZE: u64 = 64;
const PHDR_SIZE: u16 = 56;
const SHDR_SIZE: u16 = 64;
/// e_phnum when the number does not fit (gABI: in section header 0).
const PN_XNUM: u16 = 0xffff;

/// Machines that an x86-64 image is mistaken for (gABI, e_machine).
const MACHINES: &[(u16, &str)] = &[
    (2, "SPARC"),
    (3, "32-bit x86"),
    (8, "MIPS"),
    (20, "PowerPC"),
    (21, "PowerPC64"),
    (22, "s390"),
    (40, "ARM"),
    (43, "SPARC V9"),
    (50, "IA-64"),
    (183, "AArch64"),
    (243, "RISC-V"),
    (247, "BPF"),
    (258, "LoongArch"),
];

pub(super) const CTX: Ctx = Ctx {
    container: Container::Big,
    le: Endian::Little,
};

/// Loads an ELF64 executable: ET_EXEC, or ET_DYN at base 0 with its RELATIVE relocations applied.
///
/// # Errors
/// [`LoadError::Elf`].
pub fn load(name: String, bytes: &[u8]) -> Result<Image, LoadError> {
    parse(name.clone(), bytes).map_err(|fault| LoadError::Elf { file: name, fault })
}

fn parse(name: String, bytes: &[u8]) -> Result<Image, ElfFault> {
    let header = file_header(bytes)?;
    let programs = program_headers(bytes, &header)?;
    refuse_dynamic(bytes, &programs)?;
    let sections = Sections::read(bytes, &header)?;
    let mut segments = segments(bytes, &programs)?;
    if header.e_type == header::ET_DYN {
        let dynamic = programs.iter().find(|p| p.p_type == PT_DYNAMIC);
        if let Some(d) = dynamic {
            relocate::apply(bytes, d, &mut segments)?;
        }
    }
    let entry = VirtAddr(header.e_entry);
    if !segments.iter().any(|s| s.contains(entry)) {
        return Err(ElfFault::Entry { entry: entry.0 });
    }
    let placement = placement::place(&mut segments)?;
    let symbols = SymbolTable::from_elf(bytes, &sections, &segments)?;
    let mut notes = Vec::new();
    let debug = LineInfo::from_elf(bytes, &sections, &segments, &mut notes);
    Ok(Image {
        name,
        format: Format::Elf64,
        entry,
        segments,
        placement,
        symbols,
        debug,
        define: Vec::new(),
        notes,
        linux: None,
    })
}

/// Entry point and segments of an executable whose entry point may be a physical address.
pub(super) fn entry_and_segments(bytes: &[u8]) -> Result<(u64, Vec<LoadSegment>), ElfFault> {
    let header = file_header(bytes)?;
    let programs = program_headers(bytes, &header)?;
    Ok((header.e_entry, segments(bytes, &programs)?))
}

fn segments(bytes: &[u8], programs: &[ProgramHeader]) -> Result<Vec<LoadSegment>, ElfFault> {
    let mut segments = load_segments(bytes, programs)?;
    check_virtual(&mut segments)?;
    Ok(segments)
}

/// The bytes at `offset..offset + size`, or `Truncated` with `place`.
pub(super) fn slice(
    bytes: &[u8],
    offset: u64,
    size: u64,
    place: impl FnOnce() -> String,
) -> Result<&[u8], ElfFault> {
    let end = offset.saturating_add(size);
    usize::try_from(offset)
        .ok()
        .zip(usize::try_from(end).ok())
        .and_then(|(from, to)| bytes.get(from..to))
        .ok_or_else(|| ElfFault::Truncated {
            place: place(),
            end,
            len: bytes.len() as u64,
        })
}

fn file_header(bytes: &[u8]) -> Result<Header, ElfFault> {
    let place = || "ELF header".to_owned();
    let ident = slice(bytes, 0, 16, place)?;
    if ident[header::EI_CLASS] != header::ELFCLASS64 {
        return Err(ElfFault::Class {
            class: ident[header::EI_CLASS],
        });
    }
    if ident[header::EI_DATA] != header::ELFDATA2LSB {
        return Err(ElfFault::Endian {
            data: ident[header::EI_DATA],
        });
    }
    let raw = slice(bytes, 0, EHDR_SIZE, place)?;
    let h = header::header64::Header::parse(raw)
        .map(Header::from)
        .map_err(|e| malformed("ELF header", &e))?;
    for version in [u32::from(ident[header::EI_VERSION]), h.e_version] {
        if version != u32::from(header::EV_CURRENT) {
            return Err(ElfFault::Version { version });
        }
    }
    if h.e_machine != header::EM_X86_64 {
        let name = MACHINES.iter().find(|m| m.0 == h.e_machine);
        return Err(ElfFault::Machine {
            machine: h.e_machine,
            name: name.map_or("another machine", |m| m.1),
        });
    }
    match h.e_type {
        header::ET_EXEC | header::ET_DYN => Ok(h),
        header::ET_REL => Err(ElfFault::NotLinked),
        header::ET_CORE => Err(ElfFault::Type {
            kind: "a core dump (ET_CORE)".to_owned(),
        }),
        other => Err(ElfFault::Type {
            kind: format!("type {other:#x}"),
        }),
    }
}

fn malformed(place: &str, e: &goblin::error::Error) -> ElfFault {
    ElfFault::Malformed {
        place: place.to_owned(),
        problem: printable(&e.to_string()),
    }
}

fn program_headers(bytes: &[u8], h: &Header) -> Result<Vec<ProgramHeader>, ElfFault> {
    if h.e_phnum == 0 {
        return Err(ElfFault::NoSegments);
    }
    if h.e_phentsize != PHDR_SIZE {
        return Err(ElfFault::EntrySize {
            field: "e_phentsize",
            size: h.e_phentsize,
            expected: PHDR_SIZE,
        });
    }
    // Notes, stack and relro markers come on top of what is loaded.
    if h.e_phnum == PN_XNUM || usize::from(h.e_phnum) > 4 * MAX_SEGMENTS {
        return Err(ElfFault::TooMany {
            place: "program headers",
            count: h.e_phnum.into(),
            limit: 4 * MAX_SEGMENTS as u64,
            mend: "link with fewer segments",
        });
    }
    let table = slice(
        bytes,
        h.e_phoff,
        u64::from(h.e_phnum) * u64::from(PHDR_SIZE),
        || "program headers".to_owned(),
    )?;
    ProgramHeader::parse(table, 0, h.e_phnum.into(), CTX)
        .map_err(|e| malformed("program headers", &e))
}

fn refuse_dynamic(bytes: &[u8], programs: &[ProgramHeader]) -> Result<(), ElfFault> {
    let Some(p) = programs.iter().find(|p| p.p_type == PT_INTERP) else {
        return Ok(());
    };
    let path = slice(bytes, p.p_offset, p.p_filesz.min(256), || {
        "PT_INTERP".to_owned()
    })?;
    let path = path.split(|&b| b == 0).next().unwrap_or_default();
    Err(ElfFault::Dynamic {
        place: "PT_INTERP",
        what: printable(&String::from_utf8_lossy(path)),
    })
}

fn load_segments(bytes: &[u8], programs: &[ProgramHeader]) -> Result<Vec<LoadSegment>, ElfFault> {
    // Segments may show the same bytes of the file twice, but not without bound.
    let mut budget = (2 * bytes.len() as u64).max(1 << 20);
    let mut segments = Vec::new();
    for (index, p) in programs.iter().enumerate() {
        if p.p_type != PT_LOAD || p.p_memsz == 0 {
            continue;
        }
        let fault = |problem: String, mend| ElfFault::Segment {
            segment: format!("segment {index} (at {:#x})", p.p_vaddr),
            problem,
            mend,
        };
        if p.p_filesz > p.p_memsz {
            return Err(fault(
                format!(
                    "p_filesz {:#x} is larger than p_memsz {:#x}",
                    p.p_filesz, p.p_memsz
                ),
                "the file is damaged: build it again",
            ));
        }
        if p.p_memsz > MAX_RAM {
            return Err(fault(
                format!(
                    "p_memsz {:#x} is more than the largest RAM ({MAX_RAM:#x})",
                    p.p_memsz
                ),
                "shrink it, or build the file again",
            ));
        }
        let last = p.p_vaddr.checked_add(p.p_memsz - 1);
        let canonical = |a: u64| VirtAddr(a).is_canonical(false);
        // Both ends on the same side of the hole: a segment that spans it would be larger than RAM.
        if !last.is_some_and(|l| canonical(l) && canonical(p.p_vaddr)) {
            return Err(fault(
                format!(
                    "its {:#x} bytes reach non-canonical addresses (SDM vol. 1, 3.3.7.1)",
                    p.p_memsz
                ),
                "link it below 0x800000000000 or from 0xffff800000000000 on",
            ));
        }
        let data = slice(bytes, p.p_offset, p.p_filesz, || {
            format!("segment {index} (at {:#x})", p.p_vaddr)
        })?;
        budget = budget
            .checked_sub(p.p_filesz)
            .ok_or_else(|| ElfFault::Malformed {
                place: format!("segment {index} (at {:#x})", p.p_vaddr),
                problem: "the segments together are far larger than the file".to_owned(),
            })?;
        if segments.len() == MAX_SEGMENTS {
            return Err(ElfFault::TooMany {
                place: "PT_LOAD segments",
                count: segments.len() as u64 + 1,
                limit: MAX_SEGMENTS as u64,
                mend: "link with fewer segments",
            });
        }
        let bit = |pf, flag| {
            if p.p_flags & pf == 0 {
                SegmentFlags::empty()
            } else {
                flag
            }
        };
        segments.push(LoadSegment {
            index,
            vaddr: VirtAddr(p.p_vaddr),
            paddr: PhysAddr(p.p_paddr),
            data: data.to_vec(),
            mem_size: p.p_memsz,
            flags: bit(PF_R, SegmentFlags::R)
                | bit(PF_W, SegmentFlags::W)
                | bit(PF_X, SegmentFlags::X),
        });
    }
    if segments.is_empty() {
        return Err(ElfFault::NoSegments);
    }
    Ok(segments)
}

/// Sorts by virtual address and refuses overlaps.
fn check_virtual(segments: &mut [LoadSegment]) -> Result<(), ElfFault> {
    segments.sort_by_key(|s| (s.vaddr, s.index));
    for pair in segments.windows(2) {
        if pair[0].contains(pair[1].vaddr) {
            return Err(ElfFault::Overlap {
                first: pair[0].shown(),
                second: pair[1].shown(),
                space: "virtual",
                at: pair[1].vaddr.0,
            });
        }
    }
    Ok(())
}

/// The section headers, and the table with their names.
#[derive(Debug, Default)]
pub(super) struct Sections<'a> {
    pub(super) headers: Vec<SectionHeader>,
    names: &'a [u8],
}

impl<'a> Sections<'a> {
    fn read(bytes: &'a [u8], h: &Header) -> Result<Self, ElfFault> {
        if h.e_shoff == 0 {
            return Ok(Self::default());
        }
        if h.e_shentsize != SHDR_SIZE {
            return Err(ElfFault::EntrySize {
                field: "e_shentsize",
                size: h.e_shentsize,
                expected: SHDR_SIZE,
            });
        }
        let place = || "section headers".to_owned();
        let first = slice(bytes, h.e_shoff, SHDR_SIZE.into(), place)?;
        let first = SectionHeader::parse_from(first, 0, 1, CTX)
            .map_err(|e| malformed("section header 0", &e))?;
        // gABI: numbers that do not fit are in section header 0.
        let (size0, link0) = first.first().map_or((0, 0), |s| (s.sh_size, s.sh_link));
        let count = if h.e_shnum == 0 {
            size0
        } else {
            h.e_shnum.into()
        };
        if count > MAX_SECTIONS as u64 {
            return Err(ElfFault::TooMany {
                place: "section headers",
                count,
                limit: MAX_SECTIONS as u64,
                mend: "strip the file",
            });
        }
        if count == 0 {
            return Ok(Self::default());
        }
        let table = slice(bytes, h.e_shoff, count * u64::from(SHDR_SIZE), place)?;
        let headers = SectionHeader::parse_from(table, 0, count as usize, CTX)
            .map_err(|e| malformed("section headers", &e))?;
        let shstrndx = if u32::from(h.e_shstrndx) == SHN_XINDEX {
            link0 as usize
        } else {
            h.e_shstrndx.into()
        };
        let mut sections = Self {
            headers,
            names: &[],
        };
        sections.names = match sections.headers.get(shstrndx) {
            Some(s) if shstrndx != 0 => section_bytes(bytes, s, "section names")?,
            _ => &[],
        };
        Ok(sections)
    }

    /// The name of section `s`; empty if it has none.
    pub(super) fn name(&self, s: &SectionHeader) -> &'a [u8] {
        self.names
            .get(s.sh_name..)
            .and_then(|n| n.split(|&b| b == 0).next())
            .unwrap_or_default()
    }

    /// Where symbols of section number `index` may lie, if it is in memory.
    pub(super) fn region(&self, index: usize) -> Option<Region> {
        let s = self.headers.get(index)?;
        if s.sh_flags & u64::from(SHF_ALLOC) == 0 || s.sh_size == 0 {
            return None;
        }
        Some(Region {
            start: s.sh_addr,
            last: s.sh_addr.checked_add(s.sh_size - 1)?,
        })
    }
}

/// A section's bytes in the file.
pub(super) fn section_bytes<'a>(
    bytes: &'a [u8],
    s: &SectionHeader,
    place: &str,
) -> Result<&'a [u8], ElfFault> {
    if s.sh_type == SHT_NOBITS {
        return Ok(&[]);
    }
    slice(bytes, s.sh_offset, s.sh_size, || place.to_owned())
}

#[cfg(test)]
mod tests;
