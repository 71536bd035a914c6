//! Undefined symbols: those of an object file, and those that `ld` complains of.

use goblin::elf::header::{self, Header};
use goblin::elf::section_header::{SHN_UNDEF, SHT_SYMTAB, SectionHeader};
use goblin::elf::sym::{STB_LOCAL, Sym};

use super::elf::CTX;
use super::limits::{MAX_SECTIONS, MAX_SYMBOLS};

/// The symbols that `ld` says are undefined.
pub(super) fn undefined_references(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|l| l.split_once("undefined reference to `"))
        .filter_map(|(_, rest)| rest.split_once('\''))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// The undefined symbols of an object file; none of one that cannot be read, which `ld` refuses.
pub(super) fn undefined_in(bytes: &[u8]) -> Vec<String> {
    let read = || -> Option<Vec<String>> {
        let header = header::header64::Header::parse(bytes.get(..64)?).ok()?;
        let header = Header::from(header);
        let count = usize::from(header.e_shnum).min(MAX_SECTIONS);
        let table = bytes.get(usize::try_from(header.e_shoff).ok()?..)?;
        let table = table.get(..count.checked_mul(64)?)?;
        let sections = SectionHeader::parse_from(table, 0, count, CTX).ok()?;
        let part = |s: &SectionHeader| {
            let from = usize::try_from(s.sh_offset).ok()?;
            bytes.get(from..from.checked_add(usize::try_from(s.sh_size).ok()?)?)
        };
        let symtab = sections.iter().find(|s| s.sh_type == SHT_SYMTAB)?;
        let names = part(sections.get(symtab.sh_link as usize)?)?;
        let raw = part(symtab)?;
        let symbols = Sym::parse(raw, 0, (raw.len() / 24).min(MAX_SYMBOLS), CTX).ok()?;
        let mut undefined = Vec::new();
        for s in symbols {
            if s.st_shndx == SHN_UNDEF as usize && s.st_bind() != STB_LOCAL && s.st_name != 0 {
                let name = names.get(s.st_name..)?.split(|&b| b == 0).next()?;
                undefined.push(String::from_utf8(name.to_vec()).ok()?);
            }
        }
        Some(undefined)
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::samples::{GLOBAL, LOCAL, elf, with_sections};

    #[test]
    fn what_an_object_file_does_not_define() {
        // gABI, "Symbol Table": st_shndx 0 is SHN_UNDEF.
        let symbols = [
            ("here", 4, 0, GLOBAL, 1),
            ("there", 0, 0, GLOBAL, 0),
            ("local", 0, 0, LOCAL, 0),
            ("nowhere", 0, 0, GLOBAL, 0),
        ];
        let file = with_sections(elf(0, &[]), &[], &symbols);
        assert_eq!(undefined_in(&file), ["there", "nowhere"]);
        for len in 0..file.len() {
            let found = undefined_in(&file[..len]);
            assert!(found.is_empty() || found == ["there", "nowhere"], "{len}");
        }
    }

    #[test]
    fn what_ld_says() {
        let text = "ld: 0.object: in function `entry':\nx.S:1: undefined reference to `first'\n\
             ld: x.S:2: undefined reference to `second'\nld: `third' is something else\n";
        assert_eq!(undefined_references(text), ["first", "second"]);
    }
}
