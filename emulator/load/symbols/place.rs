//! Addresses for names, with offsets.

use super::{SymbolError, SymbolTable};
use crate::arch::VirtAddr;
use crate::load::error::printable;
use crate::suggest::Nearest;

impl SymbolTable {
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

/// Decimal, or hex after `0x`; hex digits may be grouped with `_`.
pub(in crate::load) fn number(text: &str) -> Option<u64> {
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
