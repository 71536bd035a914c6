//! One paging-structure entry.
//!
//! ```text
//!  63 62  59 58  52 51          M M-1          12 11  9 8 7  6 5 4   3   2 1 0
//! +--+------+------+-------------+---------------+-----+-+--+-+-+---+---+-+-+-+
//! |XD| key  | ign. | reserved    | frame or table| ign.|G|PS|D|A|PCD|PWT|U|W|P|
//! +--+------+------+-------------+---------------+-----+-+--+-+-+---+---+-+-+-+
//! ```
//! (SDM vol. 3, tables 4-14 to 4-20. Bit 7 of a PTE and bit 12 of a large leaf are PAT.)

use super::super::bits::pte;

/// A PML5E, PML4E, PDPTE, PDE or PTE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry(pub u64);

/// Bits 51:12, whatever MAXPHYADDR is: what lies above it is reserved, and checked before.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

impl Entry {
    /// P.
    #[must_use]
    pub const fn present(self) -> bool {
        self.0 & pte::P != 0
    }

    /// Whether the entry maps a page at `level` (1: PTE, always; 2 and 3: PS).
    /// PS is reserved at levels 4 and 5.
    #[must_use]
    pub const fn is_leaf(self, level: u8) -> bool {
        level == 1 || ((level == 2 || level == 3) && self.0 & pte::PS != 0)
    }

    /// The physical address of the next table.
    #[must_use]
    pub const fn table(self) -> u64 {
        self.0 & ADDRESS
    }

    /// The physical base of the page that a leaf at `level` maps.
    #[must_use]
    pub const fn frame(self, level: u8) -> u64 {
        self.0 & ADDRESS & !(page_size(level) - 1)
    }

    /// The protection key of a leaf: bits 62:59.
    #[must_use]
    pub const fn key(self) -> u8 {
        ((self.0 >> 59) & 0xf) as u8
    }
}

/// Bytes mapped by a leaf at `level`: 4 KiB, 2 MiB, 1 GiB.
#[must_use]
pub const fn page_size(level: u8) -> u64 {
    1 << level_shift(level)
}

/// The lowest linear-address bit that indexes a table of `level`.
#[must_use]
pub const fn level_shift(level: u8) -> u32 {
    12 + 9 * (level as u32 - 1)
}

/// The byte offset in a table of `level` of the entry for `address`.
#[must_use]
pub const fn index_offset(address: u64, level: u8) -> u64 {
    ((address >> level_shift(level)) & 0x1ff) * 8
}
