//! Frames that hold code: what of them is code, and whether it may be translated.
//!
//! A frame from which code has been translated is not writable for native code: every store into
//! it stops the engine before the storing instruction, which then runs by itself on a copy of the
//! frame. What it changed is compared with what had been translated. (Unicorn's own watch over changed code
//! makes an unaligned read-modify-write twice when its first byte hits the running block.)
//!
//! A frame may only be fetched from after a [`crash`] scan since it last changed, and from its
//! [`harmless`](super::harmless) copy if the scan finds anything.

use super::crash;
use super::harmless::Harmless;
use super::ram::{Page, Ram};
use crate::arch::PAGE_SIZE;
use crate::system::page_hash::PageMap;

const PAGE: usize = PAGE_SIZE as usize;

/// Stores beside the code of a frame after which its code is given up, so that memory that once
/// held code becomes data again.
const SPARED: u32 = 256;

/// The code of one frame.
#[derive(Clone, Debug)]
struct CodeFrame {
    /// A bit for each byte that has been translated.
    bytes: [u64; PAGE / 64],
    /// Stores that changed none of them.
    spared: u32,
}

/// All frames of RAM.
#[derive(Debug)]
pub(super) struct CodeFrames {
    /// A bit for each frame: it is among `frames`.
    present: Vec<u64>,
    frames: PageMap<Box<CodeFrame>>,
    /// A bit for each frame: it has not been writable since it was scanned, and is safe.
    safe: Vec<u64>,
    /// The same, and it is not: it has a copy, or there was no room for one.
    suspect: Vec<u64>,
    copies: Harmless,
}

const fn bit(frame: u64) -> (usize, u64) {
    let n = frame / PAGE_SIZE;
    ((n / 64) as usize, 1 << (n % 64))
}

impl CodeFrames {
    pub(super) fn new(ram: u64, copies: Harmless) -> Self {
        let words = (ram / PAGE_SIZE / 64) as usize + 1;
        Self {
            present: vec![0; words],
            frames: PageMap::default(),
            safe: vec![0; words],
            suspect: vec![0; words],
            copies,
        }
    }

    /// Whether code has been fetched from `frame`.
    pub(super) fn contains(&self, frame: u64) -> bool {
        let (word, bit) = bit(frame);
        self.present.get(word).is_some_and(|w| w & bit != 0)
    }

    /// Code is fetched from `frame`, which lies in RAM. Whether it is the first.
    pub(super) fn add(&mut self, frame: u64) -> bool {
        if self.contains(frame) {
            return false;
        }
        let (word, bit) = bit(frame);
        self.present[word] |= bit;
        let empty = CodeFrame {
            bytes: [0; PAGE / 64],
            spared: 0,
        };
        self.frames.insert(frame, Box::new(empty));
        true
    }

    /// Notes that bytes of `frame` were translated.
    pub(super) fn mark(&mut self, frame: u64, bytes: std::ops::Range<usize>) {
        if let Some(f) = self.frames.get_mut(&frame) {
            for n in bytes {
                f.bytes[n / 64] |= 1 << (n % 64);
            }
        }
    }

    /// Whether one of these bytes has been translated.
    pub(super) fn is_code(&self, frame: u64, mut bytes: std::ops::Range<usize>) -> bool {
        self.frames
            .get(&frame)
            .is_some_and(|f| bytes.any(|n| f.bytes[n / 64] & 1 << (n % 64) != 0))
    }

    /// Forgets the code of `frame`: what was translated is dropped by the caller.
    pub(super) fn remove(&mut self, frame: u64) {
        let (word, bit) = bit(frame);
        if let Some(w) = self.present.get_mut(word) {
            *w &= !bit;
        }
        self.frames.remove(&frame);
        self.changed(frame);
    }

    /// Forgets all code.
    pub(super) fn clear(&mut self) {
        self.present.fill(0);
        self.frames.clear();
        self.suspect.fill(0);
        self.copies.clear();
    }

    /// `frame` has changed, or may change unseen from now on.
    pub(super) fn changed(&mut self, frame: u64) {
        let (word, bit) = bit(frame);
        for known in [&mut self.safe, &mut self.suspect] {
            if let Some(w) = known.get_mut(word) {
                *w &= !bit;
            }
        }
    }

    /// Where Unicorn may fetch the code of `frame` from, whatever it is: the frame itself, or its copy.
    pub(super) fn fetch_from(&mut self, frame: u64, ram: &Ram) -> Option<u64> {
        let (word, bit) = bit(frame);
        let has = |known: &[u64]| known.get(word).is_some_and(|w| w & bit != 0);
        if has(&self.safe) {
            return Some(frame);
        }
        if has(&self.suspect) {
            return self.copies.address(frame);
        }
        let mut page = [0; PAGE];
        if !ram.read(frame, &mut page) {
            return None;
        }
        if crash::suspects(&page).next().is_none() {
            self.safe[word] |= bit;
            return Some(frame);
        }
        self.suspect[word] |= bit;
        let renewed = self.copies.renew(frame, &page);
        self.copies.address(frame).filter(|_| renewed)
    }

    /// Whether Unicorn has not been shown these bytes, from `offset` on in `frame`, but others.
    pub(super) fn is_altered(&self, frame: u64, offset: u64, bytes: &[u8]) -> bool {
        let (word, bit) = bit(frame);
        let suspect = self.suspect.get(word).is_some_and(|w| w & bit != 0);
        suspect && self.copies.differs(frame, offset, bytes)
    }

    /// The copies, from which code may have been translated.
    pub(super) const fn copies(&self) -> &Harmless {
        &self.copies
    }

    /// An instruction stores into `frame`, which is to hold `new` where it holds `old`: whether the
    /// frame's code is to be dropped.
    pub(super) fn settle(&mut self, frame: u64, old: &Page, new: &Page) -> bool {
        self.changed(frame);
        let Some(f) = self.frames.get_mut(&frame) else {
            return false;
        };
        f.spared += 1;
        f.spared >= SPARED || f.is_changed(old, new)
    }

    /// Whether what has been translated of `frame` is another in `old` and `new`.
    pub(super) fn is_changed(&self, frame: u64, old: &Page, new: &Page) -> bool {
        self.frames
            .get(&frame)
            .is_some_and(|f| f.is_changed(old, new))
    }
}

impl CodeFrame {
    fn is_changed(&self, old: &Page, new: &Page) -> bool {
        let is_code = |n: usize| self.bytes[n / 64] & 1 << (n % 64) != 0;
        (0..PAGE)
            .step_by(64)
            .filter(|&n| new[n..n + 64] != old[n..n + 64])
            .any(|from| (from..from + 64).any(|n| new[n] != old[n] && is_code(n)))
    }
}
