//! Names for addresses, and addresses for names.

mod fault;
mod from_elf;
mod place;

pub use fault::SymbolError;
pub use from_elf::Region;
pub(super) use place::number;

use super::error::printable;
use super::limits::MAX_NAME;
use super::spans::{self, Extent, Span};
use crate::arch::VirtAddr;

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
mod tests;
