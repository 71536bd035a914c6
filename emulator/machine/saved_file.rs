//! The bytes of a saved state: a head in JSON, then the pages of RAM that are not zero, packed.
//!
//! ```text
//!   "iretrace state 1\n"
//!   u32             length of the head
//!   head            JSON
//!   blocks          u32 n, 1 to 256; n page numbers, u32 each, rising through the file;
//!                   u32 length, and n pages in the LZ4 block format
//!   u32 0
//!   u64             hash of all bytes before it (FNV-1a)
//! ```
//!
//! Numbers are little-endian.

use super::saved::SavedError;
use crate::arch::PAGE_SIZE;
use crate::trace::fnv1a;

const MAGIC: &[u8] = b"iretrace state ";
const VERSION: &[u8] = b"1\n";
/// The longest head.
const MAX_HEAD: usize = 16 << 20;
/// Pages of a block.
const BLOCK: usize = 256;
const PAGE: usize = PAGE_SIZE as usize;

/// Writes the form that [`Reader`] reads.
pub(super) struct Writer {
    out: Vec<u8>,
    numbers: Vec<u32>,
    pages: Vec<u8>,
}

impl Writer {
    pub(super) fn new(head: &[u8]) -> Self {
        let mut out = [MAGIC, VERSION].concat();
        out.extend((head.len() as u32).to_le_bytes());
        out.extend(head);
        Self {
            out,
            numbers: Vec::with_capacity(BLOCK),
            pages: Vec::with_capacity(BLOCK * PAGE),
        }
    }

    /// Adds a page; their numbers rise.
    pub(super) fn page(&mut self, number: u32, bytes: &[u8]) {
        self.numbers.push(number);
        self.pages.extend(bytes);
        if self.numbers.len() == BLOCK {
            self.end_block();
        }
    }

    fn end_block(&mut self) {
        if self.numbers.is_empty() {
            return;
        }
        let packed = lz4_flex::block::compress(&self.pages);
        self.out.extend((self.numbers.len() as u32).to_le_bytes());
        self.numbers
            .drain(..)
            .for_each(|n| self.out.extend(n.to_le_bytes()));
        self.out.extend((packed.len() as u32).to_le_bytes());
        self.out.extend(packed);
        self.pages.clear();
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.end_block();
        self.out.extend(0u32.to_le_bytes());
        let hash = fnv1a(&self.out);
        self.out.extend(hash.to_le_bytes());
        self.out
    }
}

/// Takes the next `N` bytes.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}

fn long(rest: &mut &[u8]) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(take(rest)?)).ok()
}

fn bytes<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    Some(head)
}

/// The head and the blocks of a file whose hash is right.
pub(super) fn split(file: &[u8]) -> Result<(&[u8], &[u8]), SavedError> {
    let Some(rest) = file.strip_prefix(MAGIC) else {
        return Err(SavedError::NotSaved);
    };
    let Some(mut rest) = rest.strip_prefix(VERSION) else {
        return Err(SavedError::Version);
    };
    let damaged = || SavedError::Damaged { what: "its end" };
    let (all, hash) = file.split_last_chunk::<8>().ok_or_else(damaged)?;
    if fnv1a(all) != u64::from_le_bytes(*hash) {
        return Err(SavedError::Damaged { what: "its hash" });
    }
    rest = rest
        .get(..rest.len().saturating_sub(8))
        .ok_or_else(damaged)?;
    let damaged = || SavedError::Damaged { what: "its head" };
    let len = long(&mut rest).filter(|&len| len <= MAX_HEAD);
    let head = len.and_then(|len| bytes(&mut rest, len));
    Ok((head.ok_or_else(damaged)?, rest))
}

/// Hands over the pages of the blocks, by rising number below `limit`.
pub(super) fn pages(
    mut blocks: &[u8],
    limit: u64,
    mut each: impl FnMut(u64, &[u8]),
) -> Result<(), SavedError> {
    let mut pages = vec![0; BLOCK * PAGE];
    let mut next = 0;
    let mut block = || -> Option<bool> {
        let n = long(&mut blocks)?;
        if n == 0 {
            return blocks.is_empty().then_some(false);
        }
        let numbers = bytes(&mut blocks, 4 * n).filter(|_| n <= BLOCK)?;
        let len = long(&mut blocks)?;
        let packed = bytes(&mut blocks, len)?;
        let size = lz4_flex::block::decompress_into(packed, &mut pages).ok()?;
        if size != n * PAGE {
            return None;
        }
        for (mut number, page) in numbers.chunks(4).zip(pages.chunks(PAGE)) {
            let number = long(&mut number)? as u64;
            if number < next || number >= limit {
                return None;
            }
            next = number + 1;
            each(number, page);
        }
        Some(true)
    };
    loop {
        match block() {
            Some(true) => {}
            Some(false) => return Ok(()),
            None => return Err(SavedError::Damaged { what: "its pages" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(head: &[u8], pages: &[u32]) -> Vec<u8> {
        let mut writer = Writer::new(head);
        for &n in pages {
            writer.page(n, &[n as u8; PAGE]);
        }
        writer.finish()
    }

    #[test]
    fn pages_come_back() {
        let numbers: Vec<u32> = (0..600).map(|n| 3 * n + 1).collect();
        let file = file(b"{}", &numbers);
        let (head, blocks) = split(&file).unwrap();
        assert_eq!(head, b"{}");
        let mut found = Vec::new();
        let mut each = |n: u64, page: &[u8]| {
            assert_eq!(page, [n as u8; PAGE]);
            found.push(n as u32);
        };
        pages(blocks, 1798 + 1, &mut each).unwrap();
        assert_eq!(found, numbers);
        assert!(pages(blocks, 1798, |_, _| ()).is_err());
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_found() {
        let file = file(b"{\"a\":1}", &[1, 5]);
        for len in 0..file.len() {
            assert!(split(&file[..len]).is_err(), "{len}");
        }
        for at in 0..file.len() {
            let mut bad = file.clone();
            bad[at] ^= 4;
            assert!(split(&bad).is_err(), "{at}");
        }
    }

    #[test]
    fn what_is_well_hashed_may_still_be_wrong() {
        for pages in [&[5, 1][..], &[2, 2]] {
            let file = file(b"{}", pages);
            let (_, blocks) = split(&file).unwrap();
            let fault = super::pages(blocks, 100, |_, _| ());
            assert!(matches!(fault, Err(SavedError::Damaged { .. })));
        }
        let none = |blocks: &[u8]| pages(blocks, 100, |_, _| ()).is_err();
        assert!(none(b""));
        assert!(none(&[0, 0, 0, 0, 1]));
        assert!(none(&u32::MAX.to_le_bytes()));
    }
}
