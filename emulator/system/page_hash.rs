//! A fast, fixed hash for page numbers.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map keyed by a page number; its iteration order must never reach output.
pub type PageMap<V> = HashMap<u64, V, BuildHasherDefault<PageHasher>>;

/// One multiplication, folded, so that both ends of the result depend on all of the key.
#[derive(Clone, Copy, Default, Debug)]
pub struct PageHasher(u64);

/// 2^64 divided by the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for PageHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.write_u64(u64::from(b));
        }
    }

    fn write_u64(&mut self, n: u64) {
        let wide = u128::from(self.0 ^ n).wrapping_mul(u128::from(MULTIPLIER));
        self.0 = (wide as u64) ^ (wide >> 64) as u64;
    }
}
