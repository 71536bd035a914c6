//! Which parts of the state are wanted.

use iretrace::load::Image;
use iretrace::machine::Machine;

use super::{gdt, idt, regs, tables, tlb, tss};

/// What a part's function sees.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// The machine.
    pub machine: &'a Machine,
    /// Names for addresses.
    pub image: &'a Image,
}

impl View<'_> {
    /// `0xffffffff80001000 nmi_entry+0x1f`, or the address alone.
    pub fn place(&self, at: u64) -> String {
        match self.image.symbols.shown(iretrace::arch::VirtAddr(at)) {
            Some(name) => format!("{at:#x} {name}"),
            None => format!("{at:#x}"),
        }
    }
}

/// Appends one part to the text.
type Part = fn(View<'_>, &mut String);

/// The parts, by name, in the order of the output.
const PARTS: [(&str, Part); 6] = [
    ("regs", regs::dump),
    ("gdt", gdt::dump),
    ("idt", idt::dump),
    ("tss", tss::dump),
    ("tables", tables::dump),
    ("tlb", tlb::dump),
];

/// A list of parts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DumpList(Vec<&'static str>);

impl DumpList {
    /// Reads `regs,idt` or `all`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut wanted = Vec::new();
        for word in text.split(',').map(str::trim) {
            match PARTS.iter().find(|(name, _)| *name == word) {
                Some((name, _)) => wanted.push(*name),
                None if word == "all" => wanted.extend(PARTS.map(|(name, _)| name)),
                None => {
                    let known = PARTS.map(|(name, _)| name).join(", ");
                    return Err(format!("unknown word {word:?}; known are {known} and all"));
                }
            }
        }
        Ok(Self(wanted))
    }
}

/// The parts of `list`, each once.
pub fn dump(machine: &Machine, image: &Image, list: &DumpList) -> String {
    let mut text = String::new();
    for (name, part) in PARTS {
        if list.0.contains(&name) {
            if !text.is_empty() {
                text.push('\n');
            }
            part(View { machine, image }, &mut text);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_name_parts() {
        assert_eq!(
            DumpList::parse("tlb, regs"),
            Ok(DumpList(vec!["tlb", "regs"]))
        );
        assert_eq!(DumpList::parse("all").map(|l| l.0.len()), Ok(PARTS.len()));
        for bad in ["", "regs,", "reg", "ALL"] {
            assert!(
                DumpList::parse(bad).unwrap_err().contains("tables"),
                "{bad}"
            );
        }
    }
}
