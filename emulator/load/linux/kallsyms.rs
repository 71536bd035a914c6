//! The symbols that a kernel carries for its own messages (kernel/kallsyms.c, scripts/kallsyms.c).
//!
//! Nothing says where they lie. The tables follow each other in .rodata, each aligned to 8 bytes: how
//! many names there are; names (a length and as many tokens); markers (where each 256th name begins);
//! from Linux 6.2 to 6.3 the order of the names; 256 tokens; and where each token begins. Offsets and
//! their base stand before all that, or from Linux 6.4 on behind it. The tokens of the digits are the
//! digits: that is found first.

use crate::load::limits::{MAX_NAME, MAX_SYMBOLS};

/// The tokens of the digits.
const DIGITS: &[u8] = b"0\x001\x002\x003\x004\x005\x006\x007\x008\x009\0";
const TOKENS: usize = 256;
/// Names from one marker to the next.
const STRIDE: usize = 256;
/// The longest run of packed names before the first marker's end is looked for: 256 names.
const LONGEST_RUN: usize = STRIDE * 256;
/// Places that are looked at, at which the digits' tokens stand.
const CANDIDATES: usize = 64;
/// The most bytes of all names together.
const MAX_NAMES: usize = 64 << 20;
/// Kernel addresses.
const KERNEL: u64 = 0xffff_8000_0000_0000;

/// One symbol: its type (as nm has it), name and address.
pub(super) type Symbol = (u8, String, u64);

struct Tables<'a> {
    tokens: Vec<&'a [u8]>,
    /// Where the names begin, and how many there are.
    names: usize,
    count: usize,
    /// Where the first offset is, and the base of them all.
    offsets: usize,
    base: u64,
}

/// The symbols in an unpacked kernel, by rising address; none if the tables are not recognised.
pub(super) fn symbols(kernel: &[u8]) -> Vec<Symbol> {
    let mut from = 0;
    for _ in 0..CANDIDATES {
        let Some(digits) = find(kernel, DIGITS, from) else {
            break;
        };
        if let Some(tables) = tables(kernel, digits)
            && let Some(symbols) = tables.symbols(kernel)
        {
            return symbols;
        }
        from = digits + 1;
    }
    Vec::new()
}

fn find(bytes: &[u8], what: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(what.len())
        .position(|w| w == what)
        .map(|n| from + n)
}

fn align(at: usize) -> usize {
    at.next_multiple_of(8)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let b = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(b.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let b = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(b.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let b = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(b.try_into().ok()?))
}

/// The tables around the tokens of the digits.
fn tables(kernel: &[u8], digits: usize) -> Option<Tables<'_>> {
    // From the token of '0' on to the end of the last one.
    let mut end = digits;
    for _ in usize::from(b'0')..TOKENS {
        let len = kernel
            .get(end..)?
            .iter()
            .take(MAX_NAME)
            .position(|&b| b == 0)?;
        end += len + 1;
    }
    let index = align(end);
    let begin = |n: usize| u16_at(kernel, index + 2 * n).map(usize::from);
    let table = digits.checked_sub(begin(usize::from(b'0'))?)?;
    let mut tokens = Vec::with_capacity(TOKENS);
    for n in 0..TOKENS {
        let at = table + begin(n)?;
        let len = kernel.get(at..end)?.iter().position(|&b| b == 0)?;
        if tokens.is_empty() != (at == table) {
            return None;
        }
        tokens.push(&kernel[at..at + len]);
    }
    let (names, count) = names(kernel, table)?;
    let counted = names - 8;
    let behind = align(index + 2 * TOKENS);
    let old = u64_at(kernel, counted.checked_sub(8)?)?;
    let (offsets, base) = if old >= KERNEL {
        let len = align(4 * count);
        ((counted - 8).checked_sub(len)?, old)
    } else {
        (behind, u64_at(kernel, behind + align(4 * count))?)
    };
    (base >= KERNEL).then_some(Tables {
        tokens,
        names,
        count,
        offsets,
        base,
    })
}

/// Markers and names before `table`: where the names begin, and how many there are. Between the markers
/// and `table` there may be the names' order, three bytes each.
fn names(kernel: &[u8], table: usize) -> Option<(usize, usize)> {
    for blocks in 1..=MAX_SYMBOLS / STRIDE {
        let fewest = (blocks - 1) * STRIDE + 1;
        let orders = (align(3 * fewest)..=align(3 * blocks * STRIDE)).step_by(8);
        for between in std::iter::once(0).chain(orders) {
            let at = table.checked_sub(between + align(4 * blocks))?;
            if let Some(last) = last_marker(kernel, at, blocks)
                && let Some((names, count)) = names_before(kernel, at, blocks, last)
                && (between == 0 || between == align(3 * count))
            {
                return Some((names, count));
            }
        }
    }
    None
}

/// The last of so many markers at `at`: they rise from 0.
fn last_marker(kernel: &[u8], at: usize, blocks: usize) -> Option<usize> {
    let mut below = None;
    for n in 0..blocks {
        let here = u32_at(kernel, at + 4 * n)?;
        if below.map_or(here != 0, |b| here <= b) {
            return None;
        }
        below = Some(here);
    }
    below.map(|last| last as usize)
}

/// The names that end at `markers`: their place, and how many there are.
fn names_before(
    kernel: &[u8],
    markers: usize,
    blocks: usize,
    last: usize,
) -> Option<(usize, usize)> {
    let mut at = markers.checked_sub(last)? & !7;
    let lowest = at.saturating_sub(LONGEST_RUN);
    while at >= 8 && at > lowest {
        let count = u32_at(kernel, at - 8)? as usize;
        if count.div_ceil(STRIDE) == blocks {
            // What comes after the last marker ends where the markers begin.
            let mut end = at + last;
            for _ in (blocks - 1) * STRIDE..count {
                let Some((head, len)) = name_length(kernel, end).filter(|_| end < markers) else {
                    break;
                };
                end += head + len;
            }
            if align(end) == markers {
                return Some((at, count));
            }
        }
        at -= 8;
    }
    None
}

/// Bytes of a name's length, and the length: one byte, or two with seven bits in each.
fn name_length(kernel: &[u8], at: usize) -> Option<(usize, usize)> {
    let first = *kernel.get(at)?;
    if first & 0x80 == 0 {
        return Some((1, first.into()));
    }
    let second = *kernel.get(at + 1)?;
    Some((2, usize::from(first & 0x7f) | usize::from(second) << 7))
}

impl Tables<'_> {
    fn symbols(&self, kernel: &[u8]) -> Option<Vec<Symbol>> {
        let mut symbols = Vec::with_capacity(self.count);
        let mut at = self.names;
        let mut room = MAX_NAMES;
        for n in 0..self.count {
            let (head, len) = name_length(kernel, at)?;
            let packed = kernel.get(at + head..at + head + len)?;
            at += head + len;
            let mut name = Vec::new();
            for &token in packed {
                name.extend_from_slice(self.tokens[usize::from(token)]);
                if name.len() > MAX_NAME {
                    return None;
                }
            }
            room = room.checked_sub(name.len())?;
            let (&kind, name) = name.split_first()?;
            let offset = u32_at(kernel, self.offsets + 4 * n)?;
            // KALLSYMS_ABSOLUTE_PERCPU: positive offsets are per-CPU offsets.
            let address = match offset as i32 {
                positive @ 0.. => positive as u64,
                negative => self
                    .base
                    .wrapping_sub(1)
                    .wrapping_sub(i64::from(negative) as u64),
            };
            symbols.push((kind, String::from_utf8_lossy(name).into_owned(), address));
        }
        symbols.sort_by_key(|s| s.2);
        Some(symbols)
    }
}
