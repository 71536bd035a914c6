//! Names for addresses, and addresses for names.

use goblin::elf::section_header::{
    SHN_ABS, SHN_COMMON, SHN_LORESERVE, SHN_UNDEF, SHN_XINDEX, SHT_DYNSYM, SHT_SYMTAB,
};
use goblin::elf::sym::{
    STB_GLOBAL, STB_LOCAL, STT_FILE, STT_FUNC, STT_GNU_IFUNC, STT_NOTYPE, STT_OBJECT, STT_SECTION,
    STT_TLS, Sym,
};

use super::elf::{CTX, Sections, section_bytes};
use super::elf_fault::ElfFault;
use super::error::printable;
use super::image::LoadSegment;
use super::limits::{MAX_NAME, MAX_SYMBOLS};
use super::spans::{self, Extent, Span};
use crate::arch::VirtAddr;
use crate::suggest::Nearest;

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

/// Why a place cannot be resolved. Messages name the place and the mend.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SymbolError {
    /// No such symbol.
    #[error("symbol '{name}': not in the image; {}", suggestion(.nearest.as_deref(), *.known))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The most similar name.
        nearest: Option<String>,
        /// How many symbols there are.
        known: usize,
    },
    /// Several local symbols have this name and no global one does.
    #[error(
        "symbol '{name}': {count} local symbols have this name, the first two at {first} and {second}; give the address itself"
    )]
    Ambiguous {
        /// The name.
        name: String,
        /// How many.
        count: usize,
        /// One.
        first: VirtAddr,
        /// Another.
        second: VirtAddr,
    },
    /// Not `NAME`, `NAME+OFFSET`, `NAME-OFFSET` or `0x…`.
    #[error("address '{text}': {problem}; write NAME, NAME+0x1f, NAME-4 or 0xffffffff80000000")]
    Malformed {
        /// What was asked for.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

fn suggestion(nearest: Option<&str>, known: usize) -> String {
    match (nearest, known) {
        (Some(n), _) => format!("did you mean '{n}'?"),
        (None, 0) => "it has no symbols: give an address (0x…)".to_owned(),
        (None, _) => "list its symbols with nm".to_owned(),
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    address: u64,
    /// Offset and length in `names`.
    name: (u32, u32),
    /// Global or weak: found before local ones of the same name.
    global: bool,
}

/// The symbols of an image.
///
/// An address is named by the nearest symbol at or below it in the same section. A symbol with a
/// size names no address past its end; after an inner symbol's end the outer one goes on. Of
/// several symbols at one address a function wins, then a global label, then an object, then a
/// local label. Names of sections, files, absolute values, thread-local and mapping symbols, and
/// the compiler's `.L` labels name no address.
#[derive(Clone, Debug, Default)]
pub struct SymbolTable {
    names: String,
    entries: Vec<Entry>,
    spans: Vec<Span>,
}

impl SymbolTable {
    /// A table of `(name, address, size)`; size 0 reaches to the next symbol, or to `last`.
    #[must_use]
    pub fn from_list<'a>(
        symbols: impl IntoIterator<Item = (&'a str, VirtAddr, u64)>,
        last: VirtAddr,
    ) -> Self {
        let mut table = Self::default();
        let mut extents = Vec::new();
        for (name, address, size) in symbols {
            let from = table.names.len();
            if name.is_empty() || name.len() > MAX_NAME || from + name.len() > u32::MAX as usize {
                continue;
            }
            table.names.push_str(name);
            let region = Region {
                start: address.0,
                last: last.0,
            };
            extents.extend(Extent::new(address.0, size, region, 0, table.entries.len()));
            table.entries.push(Entry {
                address: address.0,
                name: (from as u32, name.len() as u32),
                global: true,
            });
        }
        table.spans = spans::flatten(extents);
        table
    }

    /// Reads SHT_SYMTAB, or SHT_DYNSYM if there is none.
    pub(super) fn from_elf(
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

    fn text_of(&self, e: Entry) -> Option<&str> {
        let from = e.name.0 as usize;
        self.names.get(from..from + e.name.1 as usize)
    }

    /// How many names can be resolved.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All names that can be resolved, in the file's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, VirtAddr)> {
        self.entries
            .iter()
            .filter_map(|&e| Some((self.text_of(e)?, VirtAddr(e.address))))
    }

    /// The symbol that `at` belongs to, and how far `at` is behind it.
    #[must_use]
    pub fn name(&self, at: VirtAddr) -> Option<(&str, u64)> {
        let entry = self.entries.get(spans::find(&self.spans, at.0)?)?;
        Some((self.text_of(*entry)?, at.0.wrapping_sub(entry.address)))
    }

    /// `nmi_entry+0x1f`, or `nmi_entry` at its first byte.
    #[must_use]
    pub fn shown(&self, at: VirtAddr) -> Option<String> {
        let (name, offset) = self.name(at)?;
        Some(match offset {
            0 => printable(name),
            n => format!("{}+{n:#x}", printable(name)),
        })
    }

    /// The address that `place` means; [`find`](Self::find) says what is wrong with it.
    #[must_use]
    pub fn resolve(&self, place: &str) -> Option<VirtAddr> {
        self.find(place).ok()
    }

    /// The address that `place` means: `NAME`, `NAME+OFFSET`, `NAME-OFFSET`, `0x…` or `0x…+OFFSET`.
    ///
    /// Offsets are decimal or `0x…`; hex digits may be grouped with `_`. A global symbol goes
    /// before local ones of the same name.
    ///
    /// # Errors
    /// [`SymbolError`], with the most similar name.
    pub fn find(&self, place: &str) -> Result<VirtAddr, SymbolError> {
        let text = place.trim();
        let malformed = |problem| SymbolError::Malformed {
            text: printable(text),
            problem,
        };
        if text.is_empty() {
            return Err(malformed("is empty"));
        }
        // A name may hold '+' or '-' itself.
        if let Some(found) = self.exact(text) {
            return found.map(VirtAddr);
        }
        let (base, offset) = match text.rfind(['+', '-']) {
            Some(n) if n > 0 => {
                let size = number(text[n + 1..].trim())
                    .ok_or_else(|| malformed("the offset is no number (31 or 0x1f)"))?;
                let offset = if text.as_bytes()[n] == b'-' {
                    -i128::from(size)
                } else {
                    i128::from(size)
                };
                (text[..n].trim_end(), offset)
            }
            _ => (text, 0),
        };
        let address = if base.starts_with("0x") || base.starts_with("0X") {
            number(base).ok_or_else(|| malformed("is no hex number of at most 64 bits"))?
        } else if let Some(found) = self.exact(base) {
            found?
        } else if base.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(malformed("addresses are written in hex, with 0x"));
        } else {
            let mut nearest = Nearest::to(base);
            self.iter().for_each(|(name, _)| nearest.offer(name));
            return Err(SymbolError::Unknown {
                name: printable(base),
                nearest: nearest.into_best().as_deref().map(printable),
                known: self.len(),
            });
        };
        u64::try_from(i128::from(address) + offset)
            .map(VirtAddr)
            .map_err(|_| malformed("lies outside the 64-bit addresses"))
    }

    /// The symbol whose whole name is `name`.
    fn exact(&self, name: &str) -> Option<Result<u64, SymbolError>> {
        let mut locals: Vec<u64> = Vec::new();
        for &e in &self.entries {
            if e.name.1 as usize != name.len() || self.text_of(e) != Some(name) {
                continue;
            }
            if e.global {
                return Some(Ok(e.address));
            }
            locals.push(e.address);
        }
        locals.sort_unstable();
        locals.dedup();
        match locals[..] {
            [] => None,
            [only] => Some(Ok(only)),
            [first, second, ..] => Some(Err(SymbolError::Ambiguous {
                name: printable(name),
                count: locals.len(),
                first: VirtAddr(first),
                second: VirtAddr(second),
            })),
        }
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

/// Decimal, or hex after `0x`; hex digits may be grouped with `_`.
pub(super) fn number(text: &str) -> Option<u64> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    match hex {
        Some(digits) => {
            let digits: String = digits.chars().filter(|&c| c != '_').collect();
            let plain = digits.chars().all(|c| c.is_ascii_hexdigit());
            plain.then(|| u64::from_str_radix(&digits, 16).ok())?
        }
        None => {
            let plain = text.chars().all(|c| c.is_ascii_digit());
            plain.then(|| text.parse().ok())?
        }
    }
}

/// Whole names only: a schedule's text has its own offsets.
impl crate::schedule::SymbolResolver for SymbolTable {
    fn resolve(&self, name: &str) -> Option<VirtAddr> {
        self.find(name).ok()
    }

    fn for_each_name(&self, each: &mut dyn FnMut(&str)) {
        self.iter().for_each(|(name, _)| each(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> SymbolTable {
        SymbolTable::from_list(
            [
                ("_start", VirtAddr(0x1000), 0),
                ("nmi_entry", VirtAddr(0x1040), 0x20),
                ("a+b", VirtAddr(0x1080), 0),
            ],
            VirtAddr(0x1fff),
        )
    }

    #[test]
    fn names() {
        let t = table();
        let shown = |a| t.shown(VirtAddr(a));
        assert_eq!(shown(0xfff), None);
        assert_eq!(shown(0x1000).as_deref(), Some("_start"));
        assert_eq!(shown(0x103f).as_deref(), Some("_start+0x3f"));
        assert_eq!(shown(0x105f).as_deref(), Some("nmi_entry+0x1f"));
        assert_eq!(shown(0x1060), None, "past the end of a sized symbol");
        assert_eq!(shown(0x1fff).as_deref(), Some("a+b+0xf7f"));
        assert_eq!(shown(0x2000), None);
        assert_eq!(t.name(VirtAddr(0x1041)), Some(("nmi_entry", 1)));
    }

    #[test]
    fn places() {
        let t = table();
        for (text, at) in [
            ("_start", 0x1000),
            (" nmi_entry ", 0x1040),
            ("nmi_entry+0x1f", 0x105f),
            ("nmi_entry + 31", 0x105f),
            ("nmi_entry-4", 0x103c),
            ("a+b", 0x1080),
            ("a+b+1", 0x1081),
            ("0x10", 0x10),
            ("0xffffffff_80000000", 0xffff_ffff_8000_0000),
            ("0x1000+8", 0x1008),
            ("_start-0x1000", 0),
        ] {
            assert_eq!(t.find(text), Ok(VirtAddr(at)), "{text}");
        }
    }

    #[test]
    fn bad_places_say_what_is_wrong() {
        let t = table();
        for (text, message) in [
            (
                "nmi_enrty",
                "symbol 'nmi_enrty': not in the image; did you mean 'nmi_entry'?",
            ),
            (
                "nmi_enrty+4",
                "symbol 'nmi_enrty': not in the image; did you mean 'nmi_entry'?",
            ),
            (
                "zebra",
                "symbol 'zebra': not in the image; list its symbols with nm",
            ),
            ("nmi_entry+", "the offset is no number"),
            ("nmi_entry+0xg", "the offset is no number"),
            ("nmi_entry++4", "not in the image"),
            ("1234", "addresses are written in hex"),
            ("0x", "is no hex number"),
            (
                "0x1_0000_0000_0000_0000",
                "is no hex number of at most 64 bits",
            ),
            ("0xffffffffffffffff+1", "lies outside"),
            ("_start-0x1001", "lies outside"),
            ("", "is empty"),
            ("x\ny", "symbol 'x\\ny'"),
        ] {
            let e = t.find(text).unwrap_err().to_string();
            assert!(e.contains(message), "{text}: {e}");
            assert!(!e.contains('\n'));
            assert_eq!(t.resolve(text), None);
        }
        let none = SymbolTable::default().find("x").unwrap_err().to_string();
        assert!(none.contains("has no symbols"), "{none}");
    }
}
