//! Which bits of a present entry must be 0 (SDM vol. 3, 4.5.4 and 4.7; APM vol. 2, 5.3).

use super::PagingContext;
use crate::arch::bits::pte;

/// Bits `high` down to `low`.
const fn bits(high: u32, low: u32) -> u64 {
    (u64::MAX >> (63 - high)) & (u64::MAX << low)
}

/// Reserved bits that no register or feature changes: (level, leaf, mask).
const FIXED: [(u8, bool, u64); 7] = [
    (5, false, pte::PS),
    (4, false, pte::PS),
    (3, false, 0),
    (3, true, bits(29, 13)),
    (2, false, 0),
    (2, true, bits(20, 13)),
    (1, true, 0),
];

/// The reserved bits of an entry at `level`, a leaf or not.
#[must_use]
pub fn reserved_bits(context: &PagingContext, level: u8, leaf: bool) -> u64 {
    let mut mask = match FIXED.iter().find(|row| row.0 == level && row.1 == leaf) {
        Some(row) => row.2,
        None => 0,
    };
    if context.maxphyaddr < 52 {
        mask |= bits(51, u32::from(context.maxphyaddr));
    }
    if !context.nxe() {
        mask |= pte::XD;
    }
    if level == 3 && leaf && !context.features.page_1gb {
        mask |= pte::PS;
    }
    // Ignored in PDPTEs and PDEs.
    if level >= 4 && context.knobs.nonleaf_bit8_reserved {
        mask |= pte::G;
    }
    mask
}
