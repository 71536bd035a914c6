//! Deterministic random numbers, and the values that parsers get wrong.

/// SplitMix64 (Steele, Lea, Flood 2014).
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`, which is not 0.
    pub const fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub const fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    /// A number at an edge: of a width, of the address space, of a page, of what is near `here`.
    pub fn edge(&mut self, here: u64) -> u64 {
        const EDGES: [u64; 18] = [
            0,
            1,
            2,
            0x18,
            0xfff,
            0x1000,
            0x20_0000,
            0xfee0_0000,
            0xffff_ffff,
            1 << 32,
            64 << 30,
            0x7fff_ffff_f000,
            0x8000_0000_0000,
            0xffff_8000_0000_0000,
            0xffff_ffff_8000_0000,
            i64::MAX as u64,
            u64::MAX - 0xfff,
            u64::MAX,
        ];
        let base = match self.below(8) {
            0 => self.next(),
            1 => 1 << self.below(64),
            2 => self.next() & 0xffff,
            3 | 4 => here,
            _ => EDGES[self.below(EDGES.len())],
        };
        match self.below(4) {
            0 => base.wrapping_add(1 + self.next() % 24),
            1 => base.wrapping_sub(1 + self.next() % 24),
            _ => base,
        }
    }
}
