//! Guest RAM: one block of host memory that Unicorn maps and the host reads and writes.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

use super::error::EngineError;
use crate::arch::PAGE_SIZE;

const PAGE: usize = PAGE_SIZE as usize;

/// One page's bytes.
pub type Page = [u8; PAGE];

/// Guest RAM at physical address 0. Its host memory never moves and is aligned to a page.
///
/// Unicorn writes to it while it runs, and only then; so every access of ours copies.
#[derive(Debug)]
pub struct Ram {
    /// What was allocated; `base` is its first page boundary.
    block: NonNull<u8>,
    layout: Layout,
    base: NonNull<u8>,
    len: usize,
    /// Moments to go back to, the newest last.
    undo: Vec<UndoLog>,
}

/// The pages that have changed since a moment, as they were then.
#[derive(Debug, Default)]
struct UndoLog {
    saved: Vec<u64>,
    pages: Vec<(u64, Box<Page>)>,
}

impl Ram {
    /// `len` zero bytes; `len` is a multiple of 4096.
    pub(super) fn new(len: u64) -> Result<Self, EngineError> {
        let max = 64u64 << 30;
        if len == 0 || !len.is_multiple_of(PAGE_SIZE) || len > max {
            return Err(EngineError::RamSize { size: len });
        }
        let bytes = usize::try_from(len).map_err(|_| EngineError::RamSize { size: len })?;
        // One page more, aligned by hand: asked for aligned pages, allocators write the zeros instead
        // of leaving that to the host's page faults.
        let layout = Layout::from_size_align(bytes + PAGE, 16)
            .map_err(|_| EngineError::RamSize { size: len })?;
        // SAFETY: the layout's size is not zero (checked above).
        let block = unsafe { alloc_zeroed(layout) };
        let block = NonNull::new(block).ok_or(EngineError::OutOfMemory { size: len })?;
        let gap = block.as_ptr().align_offset(PAGE);
        // SAFETY: a page boundary lies less than a page into the block, which is a page longer than
        // the RAM.
        let base = unsafe { block.add(gap) };
        Ok(Self {
            block,
            layout,
            base,
            len: bytes,
            undo: Vec::new(),
        })
    }

    /// Bytes of RAM.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len as u64
    }

    /// Never: RAM has at least one page.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether `count` bytes at `at` are all RAM.
    #[must_use]
    pub const fn contains(&self, at: u64, count: u64) -> bool {
        match at.checked_add(count) {
            Some(end) => end <= self.len as u64,
            None => false,
        }
    }

    pub(super) const fn host_base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// Copies bytes out. `false`, and nothing read, where they are not all RAM.
    #[must_use]
    pub fn read(&self, at: u64, buf: &mut [u8]) -> bool {
        if !self.contains(at, buf.len() as u64) {
            return false;
        }
        // SAFETY: `contains` proved that the source lies inside the allocation; `buf` is a
        // distinct Rust slice; Unicorn is not running while `&self` is used from outside, and in
        // a hook it is suspended in the same thread.
        unsafe {
            std::ptr::copy_nonoverlapping(
                self.base.as_ptr().add(at as usize),
                buf.as_mut_ptr(),
                buf.len(),
            );
        }
        true
    }

    /// Copies bytes in. `false`, and nothing written, where they are not all RAM.
    #[must_use]
    pub(super) fn write(&mut self, at: u64, data: &[u8]) -> bool {
        if !self.contains(at, data.len() as u64) {
            return false;
        }
        if !self.undo.is_empty() && !data.is_empty() {
            for page in at / PAGE_SIZE..=(at + data.len() as u64 - 1) / PAGE_SIZE {
                self.note_write(page * PAGE_SIZE);
            }
        }
        // SAFETY: as in `read`, with source and destination exchanged.
        unsafe {
            std::ptr::copy_nonoverlapping(
                data.as_ptr(),
                self.base.as_ptr().add(at as usize),
                data.len(),
            );
        }
        true
    }

    /// From now on keeps the old contents of every page that changes, beside what is being kept.
    pub(super) fn begin_undo(&mut self) {
        self.undo.push(UndoLog {
            saved: vec![0; self.len / PAGE / 64 + 1],
            pages: Vec::new(),
        });
    }

    /// Whether changes are being kept.
    pub(super) const fn keeps_undo(&self) -> bool {
        !self.undo.is_empty()
    }

    /// Forgets the newest moment; what changed since then has changed since the one before.
    pub(super) fn end_undo(&mut self) {
        let Some(newest) = self.undo.pop() else {
            return;
        };
        let Some(before) = self.undo.last_mut() else {
            return;
        };
        for (at, page) in newest.pages {
            let number = (at / PAGE_SIZE) as usize;
            let (word, bit) = (number / 64, 1u64 << (number % 64));
            if before.saved[word] & bit == 0 {
                before.saved[word] |= bit;
                before.pages.push((at, page));
            }
        }
    }

    /// To be called before a page changes, and before Unicorn may write to it unasked.
    pub(super) fn note_write(&mut self, page_at: u64) {
        let Some(undo) = self.undo.last_mut() else {
            return;
        };
        let number = (page_at / PAGE_SIZE) as usize;
        let (word, bit) = (number / 64, 1u64 << (number % 64));
        if undo.saved[word] & bit != 0 {
            return;
        }
        undo.saved[word] |= bit;
        let mut copy = Box::new([0; PAGE]);
        // SAFETY: callers pass the address of a page inside RAM (its number indexed `saved`).
        unsafe {
            std::ptr::copy_nonoverlapping(
                self.base.as_ptr().add(number * PAGE),
                copy.as_mut_ptr(),
                PAGE,
            );
        }
        undo.pages.push((page_at, copy));
    }

    pub(super) fn moments(&self) -> usize {
        self.undo.len()
    }

    /// See [`Engine::changed_since`](super::Engine::changed_since).
    pub(super) fn changed_since(&self, moment: usize) -> Vec<(u64, &Page)> {
        let mut pages: Vec<(u64, &Page)> = Vec::new();
        for (n, log) in self.undo.iter().enumerate().skip(moment) {
            for (at, page) in &log.pages {
                let number = (at / PAGE_SIZE) as usize;
                let (word, bit) = (number / 64, 1u64 << (number % 64));
                // What was kept first is what it held at that moment.
                let earlier = &self.undo[moment..n];
                if earlier.iter().all(|u| u.saved[word] & bit == 0) {
                    pages.push((*at, page));
                }
            }
        }
        pages
    }

    /// Puts every page kept for the newest moment back, and goes on keeping. Gives the pages with what
    /// they held.
    pub(super) fn rewind(&mut self) -> Vec<(u64, Box<Page>)> {
        let Some(undo) = self.undo.last_mut() else {
            return Vec::new();
        };
        let mut pages = std::mem::take(&mut undo.pages);
        for (at, old) in &mut pages {
            undo.saved[(*at / PAGE_SIZE) as usize / 64] = 0;
            // SAFETY: `at` is a page inside RAM, as when it was kept; the copy is memory of its own.
            unsafe {
                std::ptr::swap_nonoverlapping(
                    old.as_mut_ptr(),
                    self.base.as_ptr().add(*at as usize),
                    PAGE,
                );
            }
        }
        pages
    }
}

impl Drop for Ram {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this very layout, and not freed since.
        unsafe { dealloc(self.block.as_ptr(), self.layout) };
    }
}
