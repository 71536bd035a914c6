//! Which bytes the undisturbed run still needs, and when.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::machine::{PhysAccess, Touch};
use crate::system::page_hash::PageMap;

/// One access to a word of eight bytes: bits for its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Use {
    /// The number of the boundary after which it comes.
    time: u32,
    read: u8,
    written: u8,
    /// Read by a page walk.
    walked: u8,
}

/// What becomes of a byte that differs at some moment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fate {
    /// It is written before it is read: nobody will know.
    Overwritten,
    /// It is neither read nor written again, as far as the undisturbed run was followed.
    Untouched,
    /// It is read.
    Read,
}

/// All accesses of the undisturbed run, for one question: which comes first after a moment.
///
/// Of several equal accesses to a word in a row only the last is kept: the first after any moment is of
/// the same kind.
#[derive(Clone, Debug, Default)]
pub struct Liveness {
    words: PageMap<Vec<Use>>,
    /// When CR2 is read (`true`) or written.
    cr2: BTreeMap<u32, bool>,
    /// When virtual time last had an effect.
    clock: Option<u32>,
}

impl Liveness {
    /// Adds what was accessed after boundary number `time`; times never fall.
    pub fn note(&mut self, time: u32, accesses: &[PhysAccess]) {
        for a in accesses {
            let end = a.at.0.saturating_add(a.len.into());
            let mut at = a.at.0;
            while at < end {
                let word = at & !7;
                let to = end.min(word + 8);
                let mask = (at - word..to - word).fold(0u8, |m, n| m | 1 << n);
                self.touch(time, word, mask, a.touch);
                at = to;
            }
        }
    }

    fn touch(&mut self, time: u32, word: u64, mask: u8, touch: Touch) {
        let uses = self.words.entry(word).or_default();
        let mut new = Use {
            time,
            read: 0,
            written: 0,
            walked: 0,
        };
        match touch {
            Touch::Read => new.read = mask,
            Touch::Write => new.written = mask,
            Touch::Walk => new.walked = mask,
        }
        match uses.last_mut() {
            Some(last)
                if (last.read, last.written, last.walked)
                    == (new.read, new.written, new.walked) =>
            {
                last.time = time;
            }
            _ => uses.push(new),
        }
    }

    /// Notes that CR2 is read, or written.
    pub fn note_cr2(&mut self, time: u32, read: bool) {
        let seen = self.cr2.entry(time).or_insert(read);
        *seen |= read;
    }

    /// What becomes of CR2 from boundary number `time` on.
    #[must_use]
    pub fn fate_of_cr2(&self, time: u32) -> Fate {
        match self.cr2.range(time..).next() {
            Some((_, true)) => Fate::Read,
            Some((_, false)) => Fate::Overwritten,
            None => Fate::Untouched,
        }
    }

    /// Notes that virtual time has an effect.
    pub fn note_clock(&mut self, time: u32) {
        self.clock = Some(time);
    }

    /// Whether virtual time has an effect from boundary number `time` on.
    #[must_use]
    pub fn uses_clock(&self, time: u32) -> bool {
        self.clock.is_some_and(|last| last >= time)
    }

    /// What becomes of these bytes from boundary number `time` on: the worst of them counts.
    /// `walks`: whether a page walk counts as reading them.
    #[must_use]
    pub fn fate(&self, time: u32, bytes: &Range<u64>, walks: bool) -> Fate {
        let mut worst = Fate::Overwritten;
        let mut at = bytes.start;
        while at < bytes.end {
            let word = at & !7;
            let to = bytes.end.min(word + 8);
            let mask = (at - word..to - word).fold(0u8, |m, n| m | 1 << n);
            worst = worst.max(self.fate_in_word(time, word, mask, walks));
            at = to;
        }
        worst
    }

    fn fate_in_word(&self, time: u32, word: u64, mut open: u8, walks: bool) -> Fate {
        let Some(uses) = self.words.get(&word) else {
            return Fate::Untouched;
        };
        let first = uses.partition_point(|u| u.time < time);
        for u in &uses[first..] {
            if u.read & open != 0 || (walks && u.walked & open != 0) {
                return Fate::Read;
            }
            open &= !u.written;
            if open == 0 {
                return Fate::Overwritten;
            }
        }
        Fate::Untouched
    }

    /// Whether one of these bytes is written from boundary number `time` on.
    #[must_use]
    pub fn is_written(&self, time: u32, word: u64) -> bool {
        self.words.get(&(word & !7)).is_some_and(|uses| {
            uses.iter()
                .rev()
                .take_while(|u| u.time >= time)
                .any(|u| u.written != 0)
        })
    }

    /// How many words have been accessed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether nothing has been.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::PhysAddr;

    fn access(touch: Touch, at: u64, len: u32) -> PhysAccess {
        PhysAccess {
            touch,
            at: PhysAddr(at),
            len,
        }
    }

    #[test]
    fn the_first_access_after_a_moment_decides() {
        let mut live = Liveness::default();
        live.note(1, &[access(Touch::Read, 0x1000, 8)]);
        live.note(2, &[access(Touch::Write, 0x1000, 4)]);
        live.note(3, &[access(Touch::Read, 0x1002, 4)]);
        live.note(5, &[access(Touch::Write, 0x1000, 8)]);
        let fate = |time, at: u64, len: u64| live.fate(time, &(at..at + len), true);
        assert_eq!(fate(0, 0x1000, 8), Fate::Read);
        assert_eq!(fate(1, 0x1000, 1), Fate::Read);
        assert_eq!(fate(2, 0x1000, 4), Fate::Overwritten);
        assert_eq!(fate(2, 0x1004, 1), Fate::Read);
        assert_eq!(fate(2, 0x1000, 8), Fate::Read);
        assert_eq!(fate(2, 0x1006, 2), Fate::Overwritten);
        assert_eq!(fate(3, 0x1000, 2), Fate::Overwritten);
        assert_eq!(fate(4, 0x1000, 8), Fate::Overwritten);
        assert_eq!(fate(6, 0x1000, 8), Fate::Untouched);
        assert_eq!(fate(0, 0x2000, 1), Fate::Untouched);
        assert!(live.is_written(5, 0x1003) && !live.is_written(6, 0x1003));
    }

    #[test]
    fn walks_do_not_read_what_they_set() {
        let mut live = Liveness::default();
        live.note(4, &[access(Touch::Walk, 0x3008, 8)]);
        assert_eq!(live.fate(0, &(0x3008..0x3009), false), Fate::Untouched);
        assert_eq!(live.fate(0, &(0x3008..0x3009), true), Fate::Read);
    }

    #[test]
    fn a_run_of_equal_accesses_is_one() {
        let mut live = Liveness::default();
        for time in 0..1000 {
            live.note(time, &[access(Touch::Read, 8, 8)]);
        }
        assert_eq!(live.words[&8].len(), 1);
        assert_eq!(live.fate(999, &(8..9), true), Fate::Read);
        assert_eq!(live.fate(1000, &(8..9), true), Fate::Untouched);
    }

    #[test]
    fn time_matters_up_to_its_last_use() {
        let mut live = Liveness::default();
        assert!(!live.uses_clock(0));
        live.note_clock(2);
        live.note_clock(4);
        assert!(live.uses_clock(0) && live.uses_clock(4) && !live.uses_clock(5));
    }

    #[test]
    fn cr2_has_a_fate_too() {
        let mut live = Liveness::default();
        live.note_cr2(3, false);
        live.note_cr2(5, true);
        assert_eq!(live.fate_of_cr2(0), Fate::Overwritten);
        assert_eq!(live.fate_of_cr2(4), Fate::Read);
        assert_eq!(live.fate_of_cr2(6), Fate::Untouched);
    }
}
