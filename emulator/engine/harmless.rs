//! Copies of frames, harmless to translate: see [`super::crash`].
//!
//! Code in a frame that the translator may not survive is fetched from a copy in which the LOCK
//! prefixes in question are NOPs. Nothing but fetches goes there, and no block that holds one of the
//! bytes that differ is run: its instructions are looked at, and stepped from the frame itself. All the
//! other blocks of the frame run at full speed.

use super::crash;
use super::error::EngineError;
use super::ram::{Page, Ram};
use crate::arch::PAGE_SIZE;
use crate::system::page_hash::PageMap;

/// Physical address of the copies: above every RAM and below 2^52.
pub(super) const COPIES: u64 = 0x000e_0000_0000_0000;

/// Frames with a copy at a time; code in others is stepped.
const SLOTS: u64 = 256;

const NOP: u8 = 0x90;

/// Which frame has which copy.
#[derive(Debug)]
pub(super) struct Harmless {
    pages: Ram,
    slots: PageMap<u64>,
}

impl Harmless {
    pub(super) fn new() -> Result<Self, EngineError> {
        Ok(Self {
            pages: Ram::new(SLOTS * PAGE_SIZE)?,
            slots: PageMap::default(),
        })
    }

    /// The copies, to be mapped at [`COPIES`].
    pub(super) const fn pages(&self) -> &Ram {
        &self.pages
    }

    /// Where the copy of `frame` lies, if it has one.
    pub(super) fn address(&self, frame: u64) -> Option<u64> {
        self.slots.get(&frame).map(|slot| COPIES + slot)
    }

    /// Whether there is a copy at this physical address.
    pub(super) fn contains(&self, at: u64) -> bool {
        at.checked_sub(COPIES)
            .is_some_and(|slot| self.pages.contains(slot, PAGE_SIZE))
    }

    /// Makes or renews the copy of `frame`, which holds `page`. `false`: there is no room.
    pub(super) fn renew(&mut self, frame: u64, page: &Page) -> bool {
        let next = self.slots.len() as u64 * PAGE_SIZE;
        let slot = self.slots.get(&frame).copied().unwrap_or(next);
        let mut copy = *page;
        for at in crash::suspects(page) {
            copy[at] = NOP;
        }
        let written = self.pages.write(slot, &copy);
        if written {
            self.slots.insert(frame, slot);
        }
        written
    }

    /// Whether these bytes, from `offset` on in `frame`, are others in its copy.
    pub(super) fn differs(&self, frame: u64, offset: u64, bytes: &[u8]) -> bool {
        let Some(slot) = self.slots.get(&frame) else {
            return false;
        };
        let mut copied = [0; PAGE_SIZE as usize];
        let copied = &mut copied[..bytes.len().min(PAGE_SIZE as usize)];
        !self.pages.read(slot + offset, copied) || copied != bytes
    }

    /// Forgets all copies: whatever was translated of them is gone.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// lock btr eax, eax
    const PATTERN: [u8; 4] = [0xf0, 0x0f, 0xb3, 0xc0];

    fn page() -> Page {
        let mut page = [0xcc; PAGE_SIZE as usize];
        page[0x100..0x104].copy_from_slice(&PATTERN);
        // It may go on in the next page.
        page[0xffe..].copy_from_slice(&[0xf0, 0x66]);
        page
    }

    #[test]
    fn a_copy_has_nothing_to_crash_on_and_is_otherwise_the_same() {
        let mut copies = Harmless::new().unwrap();
        assert!(copies.renew(0x5000, &page()));
        let at = copies.address(0x5000).unwrap();
        assert!(copies.contains(at) && !copies.contains(at - PAGE_SIZE));
        let mut copy = [0; PAGE_SIZE as usize];
        assert!(copies.pages().read(at - COPIES, &mut copy));
        assert_eq!(crash::suspects(&copy).count(), 0);
        let changed: Vec<_> = (0..copy.len()).filter(|&n| copy[n] != page()[n]).collect();
        assert_eq!(changed, [0x100, 0xffe]);
        assert!(copies.differs(0x5000, 0x100, &PATTERN));
        assert!(copies.differs(0x5000, 0xff, &[0xcc, 0xf0]));
        assert!(!copies.differs(0x5000, 0x101, &PATTERN[1..]));
        assert!(!copies.differs(0x6000, 0x100, &PATTERN), "it has no copy");
    }

    #[test]
    fn a_renewed_copy_stays_where_it_is_and_room_ends() {
        let mut copies = Harmless::new().unwrap();
        for frame in 0..SLOTS {
            assert!(copies.renew(frame * PAGE_SIZE, &page()));
        }
        assert!(!copies.renew(SLOTS * PAGE_SIZE, &page()));
        assert_eq!(copies.address(SLOTS * PAGE_SIZE), None);
        let at = copies.address(PAGE_SIZE).unwrap();
        assert!(copies.renew(PAGE_SIZE, &[0x90; PAGE_SIZE as usize]));
        assert_eq!(copies.address(PAGE_SIZE), Some(at));
        copies.clear();
        assert!(copies.renew(SLOTS * PAGE_SIZE, &page()));
    }
}
