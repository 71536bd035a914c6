//! The symbol table of an ELF file.

use goblin::elf::section_header::{
    SHN_ABS, SHN_COMMON, SHN_LORESERVE, SHN_UNDEF, SHN_XINDEX, SHT_DYNSYM, SHT_SYMTAB,
};
use goblin::elf::sym::{
    STB_GLOBAL, STB_LOCAL, STT_FILE, STT_FUNC, STT_GNU_IFUNC, STT_NOTYPE, STT_OBJECT, STT_SECTION,
    STT_TLS, Sym,
};

use super::{Entry, SymbolTable};
use crate::arch::VirtAddr;
use crate::load::elf::{CTX, Sections, section_bytes};
use crate::load::elf_fault::ElfFault;
use crate::load::error::printable;
use crate::load::image::LoadSegment;
use crate::load::limits::{MAX_NAME, MAX_SYMBOLS};
use crate::load::spans::{self, Extent};

/// Bytes of an ELF64 symbol (gABI, Elf64_Sym).
const SYM_SIZE: u64 = 24;

/// Where a symbol may reach: its section, first and last byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region {
    /// First byte.
    pub start: u64,
    /// Last byte.
    pub last: u64,
}

impl SymbolTable {
    /// Reads SHT_SYMTAB, or SHT_DYNSYM if there is none.
    pub(in crate::load) fn from_elf(
        bytes: &[u8],
        sections: &Sections<'_>,
        segments: &[LoadSegment],
    ) -> Result<Self, ElfFault> {
        let of_type = |t| sections.headers.iter().find(|s| s.sh_type == t);
        let Some(header) = of_type(SHT_SYMTAB).or_else(|| of_type(SHT_DYNSYM)) else {
            return Ok(Self::default());
        };
        let raw = section_bytes(bytes, header, "symbol table")?;
        let strings = sections
            .headers
            .get(header.sh_link as usize)
            .ok_or_else(|| ElfFault::Malformed {
                place: "symbol table".to_owned(),
                problem: format!("its string table, section {}, is not there", header.sh_link),
            })?;
        let strings = section_bytes(bytes, strings, "symbol names")?;
        let count = raw.len() as u64 / SYM_SIZE;
        if count > MAX_SYMBOLS as u64 || strings.len() > u32::MAX as usize {
            return Err(ElfFault::TooMany {
                place: "symbols",
                count,
                limit: MAX_SYMBOLS as u64,
                mend: "strip the file, or its local symbols (strip --discard-all)",
            });
        }
        let symbols = Sym::parse(raw, 0, count as usize, CTX).map_err(|e| ElfFault::Malformed {
            place: "symbol table".to_owned(),
            problem: printable(&e.to_string()),
        })?;
        let mut table = Self {
            names: text(strings),
            ..Self::default()
        };
        let mut extents = Vec::new();
        for s in &symbols {
            let Some(entry) = table.entry(s) else {
                continue;
            };
            // Absolute values are constants of the source, unless they are addresses in the image.
            if s.st_shndx == SHN_ABS as usize
                && !segments.iter().any(|g| g.contains(VirtAddr(s.st_value)))
            {
                continue;
            }
            let names_addresses = table
                .text_of(entry)
                .is_some_and(|n| !n.starts_with(".L") && !n.starts_with('$'));
            if names_addresses && let Some(region) = region(s, sections, segments) {
                let index = table.entries.len();
                extents.extend(Extent::new(s.st_value, s.st_size, region, rank(s), index));
            }
            table.entries.push(entry);
        }
        table.spans = spans::flatten(extents);
        Ok(table)
    }

    fn entry(&self, s: &Sym) -> Option<Entry> {
        if s.st_shndx == SHN_UNDEF as usize
            || s.st_shndx == SHN_COMMON as usize
            || matches!(s.st_type(), STT_SECTION | STT_FILE | STT_TLS)
        {
            return None;
        }
        let rest = self.names.as_bytes().get(s.st_name..)?;
        let len = rest.iter().take(MAX_NAME + 1).position(|&b| b == 0)?;
        let entry = Entry {
            address: s.st_value,
            name: (s.st_name as u32, len as u32),
            global: s.st_bind() != STB_LOCAL,
        };
        self.text_of(entry).filter(|n| !n.is_empty())?;
        Some(entry)
    }
}

/// The string table, byte for byte, with bytes that are no UTF-8 replaced so that offsets hold.
fn text(strings: &[u8]) -> String {
    String::from_utf8(strings.to_vec()).unwrap_or_else(|e| {
        e.into_bytes()
            .into_iter()
            .map(|b| if b.is_ascii() { b as char } else { '?' })
            .collect()
    })
}

/// Preference among symbols at one address; 0 is best.
fn rank(s: &Sym) -> u8 {
    let bind = match s.st_bind() {
        STB_GLOBAL => 0,
        STB_LOCAL => 2,
        _ => 1,
    };
    match (s.st_type(), bind) {
        (STT_FUNC | STT_GNU_IFUNC, b) => b,
        (STT_NOTYPE, 2) => 9,
        (STT_NOTYPE, b) => 3 + b,
        (STT_OBJECT, b) => 6 + b,
        _ => 10,
    }
}

fn region(s: &Sym, sections: &Sections<'_>, segments: &[LoadSegment]) -> Option<Region> {
    let index = s.st_shndx;
    if index == SHN_ABS as usize {
        return None;
    }
    let region = if index == SHN_XINDEX as usize {
        // The section number is in another table; the segment bounds it well enough.
        let holder = segments.iter().find(|g| g.contains(VirtAddr(s.st_value)))?;
        Region {
            start: holder.vaddr.0,
            last: holder
                .vaddr
                .0
                .checked_add(holder.mem_size.checked_sub(1)?)?,
        }
    } else if index >= SHN_LORESERVE as usize {
        return None;
    } else {
        sections.region(index)?
    };
    Some(region)
}
