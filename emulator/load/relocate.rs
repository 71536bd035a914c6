//! Dynamic relocations of a static position-independent executable at base 0.
//!
//! At base 0 `R_X86_64_RELATIVE` (psABI table 4.9: B + A) stores its addend, and packed
//! DT_RELR relocations add nothing to what the file already holds.

use goblin::elf::dynamic::{
    DT_JMPREL, DT_NEEDED, DT_NULL, DT_PLTREL, DT_PLTRELSZ, DT_REL, DT_RELA, DT_RELAENT, DT_RELASZ,
};
use goblin::elf::program_header::ProgramHeader;
use goblin::elf::reloc::{self, R_X86_64_NONE, R_X86_64_RELATIVE};

use super::elf::slice;
use super::elf_fault::ElfFault;
use super::image::LoadSegment;
use crate::arch::VirtAddr;

const RELA_SIZE: u64 = 24;
const DYN_SIZE: usize = 16;

/// Applies the relocations that the PT_DYNAMIC segment names to `segments`.
///
/// # Errors
/// Needed libraries, relocations of another type, and targets outside the file's data.
pub(super) fn apply(
    bytes: &[u8],
    dynamic: &ProgramHeader,
    segments: &mut [LoadSegment],
) -> Result<(), ElfFault> {
    let table = slice(bytes, dynamic.p_offset, dynamic.p_filesz, || {
        "PT_DYNAMIC".to_owned()
    })?;
    let tags = Tags::read(table)?;
    if tags.needed {
        return Err(ElfFault::Dynamic {
            place: "DT_NEEDED",
            what: "a shared library".to_owned(),
        });
    }
    if tags.rel {
        return Err(malformed(
            "DT_REL",
            "x86-64 has only relocations with addends (DT_RELA)",
        ));
    }
    if tags.relasz != 0 {
        table_at("DT_RELA", tags.rela, tags.relasz, segments)?;
    }
    if tags.pltrelsz != 0 {
        table_at("DT_JMPREL", tags.jmprel, tags.pltrelsz, segments)?;
    }
    Ok(())
}

#[derive(Default)]
struct Tags {
    rela: u64,
    relasz: u64,
    jmprel: u64,
    pltrelsz: u64,
    rel: bool,
    needed: bool,
}

impl Tags {
    fn read(table: &[u8]) -> Result<Self, ElfFault> {
        let mut tags = Self::default();
        for entry in table.chunks_exact(DYN_SIZE) {
            let (tag, value) = (word(entry, 0), word(entry, 8));
            match tag {
                DT_NULL => break,
                DT_NEEDED => tags.needed = true,
                DT_RELA => tags.rela = value,
                DT_RELASZ => tags.relasz = value,
                DT_RELAENT if value != RELA_SIZE => {
                    return Err(malformed("DT_RELAENT", "is not 24"));
                }
                DT_JMPREL => tags.jmprel = value,
                DT_PLTRELSZ => tags.pltrelsz = value,
                DT_PLTREL if value != DT_RELA => {
                    return Err(malformed("DT_PLTREL", "is not DT_RELA"));
                }
                DT_REL => tags.rel = true,
                _ => {}
            }
        }
        Ok(tags)
    }
}

fn table_at(
    name: &'static str,
    at: u64,
    size: u64,
    segments: &mut [LoadSegment],
) -> Result<(), ElfFault> {
    let (holder, offset) = find(segments, at, size).ok_or_else(|| {
        malformed(
            name,
            &format!("{size:#x} bytes at {at:#x} lie in no segment's data"),
        )
    })?;
    // A copy: the relocations may change the segment that holds them.
    let table = segments[holder].data[offset..offset + size as usize].to_vec();
    for (index, entry) in table.chunks_exact(RELA_SIZE as usize).enumerate() {
        let (target, info, addend) = (word(entry, 0), word(entry, 8), word(entry, 16));
        match info as u32 {
            R_X86_64_NONE => {}
            R_X86_64_RELATIVE => {
                let (s, o) = find(segments, target, 8).ok_or_else(|| ElfFault::Relocation {
                    index,
                    table: name,
                    problem: format!("its target {target:#x} lies in no segment's data"),
                    mend: "the file is damaged: build it again",
                })?;
                segments[s].data[o..o + 8].copy_from_slice(&addend.to_le_bytes());
            }
            other => {
                return Err(ElfFault::Relocation {
                    index,
                    table: name,
                    problem: format!(
                        "type {} at {target:#x} needs a dynamic linker",
                        reloc::r_to_str(other, goblin::elf::header::EM_X86_64)
                    ),
                    mend: "link with -no-pie, or define the symbol it refers to",
                });
            }
        }
    }
    Ok(())
}

/// The segment and offset whose file data holds `size` bytes at the virtual address `at`.
fn find(segments: &[LoadSegment], at: u64, size: u64) -> Option<(usize, usize)> {
    let n = segments
        .partition_point(|s| s.vaddr.0 <= at)
        .checked_sub(1)?;
    let s = &segments[n];
    let offset = at - s.vaddr.0;
    let end = offset.checked_add(size)?;
    (s.contains(VirtAddr(at)) && end <= s.data.len() as u64).then_some((n, offset as usize))
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let mut w = [0; 8];
    if let Some(b) = bytes.get(at..at + 8) {
        w.copy_from_slice(b);
    }
    u64::from_le_bytes(w)
}

fn malformed(place: &str, problem: &str) -> ElfFault {
    ElfFault::Malformed {
        place: place.to_owned(),
        problem: problem.to_owned(),
    }
}
