//! A set of vectors, as IRR, ISR and TMR hold them.

use serde::{Deserialize, Serialize};

/// 256 bits, in the eight 32-bit words that software sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct VectorSet([u32; 8]);

impl VectorSet {
    const fn place(vector: u8) -> (usize, u32) {
        ((vector >> 5) as usize, 1 << (vector & 31))
    }

    /// Whether there is none below 16.
    pub(super) fn is_legal(&self) -> bool {
        self.0[0] & 0xffff == 0
    }

    /// Adds a vector; `false` if it was there.
    pub(super) fn insert(&mut self, vector: u8) -> bool {
        let (word, bit) = Self::place(vector);
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    pub(super) fn remove(&mut self, vector: u8) {
        let (word, bit) = Self::place(vector);
        self.0[word] &= !bit;
    }

    /// The highest vector, which is the one of highest priority.
    pub(super) fn highest(&self) -> Option<u8> {
        let word = self.0.iter().rposition(|&w| w != 0)?;
        Some((word as u8) << 5 | (31 - self.0[word].leading_zeros() as u8))
    }

    /// The word that software reads at 0x10 * `index` from the register's start.
    pub(super) fn word(&self, index: u8) -> u32 {
        self.0[usize::from(index & 7)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vector_has_its_own_bit() {
        for vector in 0..=255u8 {
            let mut set = VectorSet::default();
            assert_eq!(set.highest(), None);
            assert!(set.insert(vector));
            assert!(!set.insert(vector));
            assert_eq!(set.highest(), Some(vector));
            assert_eq!(set.word(vector / 32), 1 << (vector % 32));
            set.remove(vector);
            assert_eq!(set, VectorSet::default());
        }
    }
}
