//! Addresses: stacks and code, canonical or not.

use proptest::prelude::*;
use proptest::sample::select;

use super::super::pages::{At, region};

/// Addresses that are canonical with neither width, or with one.
pub const NOT_CANONICAL: [At; 5] = [
    At::Raw(0x0100_0000_0000_0100),
    At::Raw(0xfeff_ffff_ffff_f000),
    At::Raw(0x0000_8000_0000_0040),
    At::Raw(0xffff_7fff_ffff_fff8),
    At::Raw(0x7fff_ffff_ffff_ffc8),
];

/// `n` times of a hundred.
pub fn chance(n: u32) -> impl Strategy<Value = bool> {
    prop::bool::weighted(f64::from(n) / 100.0)
}

/// Not `n` times of a hundred; shrinks to true.
pub fn unless(n: u32) -> impl Strategy<Value = bool> {
    chance(n).prop_map(|unlikely| !unlikely)
}

/// Where a stack pointer is: often such that a frame crosses the border of two pages.
pub fn offset() -> impl Strategy<Value = i64> {
    prop_oneof![
        3 => -0x200i64..-0x28,
        // A frame that is popped, or pushed, from here crosses.
        3 => -0x28i64..0,
        3 => 0i64..0x30,
        1 => 0xf80i64..0x1000,
        1 => -0x1000i64..-0xfc0,
        1 => -0x1000i64..0x1000,
    ]
}

pub fn stack(regions: &'static [u8]) -> impl Strategy<Value = At> {
    (select(regions), offset()).prop_map(|(r, o)| At::In(r, o))
}

pub const ANY_STACK: &[u8] = &[
    region::STACK,
    region::STACK,
    region::STACK,
    region::HIGH,
    region::HIGH,
    region::USER,
    region::BELOW_HOLE,
    region::ABOVE_HOLE,
    region::WRAP,
];

/// A stack that the TSS names.
pub fn tss_stack() -> impl Strategy<Value = At> {
    prop_oneof![
        12 => stack(ANY_STACK),
        1 => select(&NOT_CANONICAL[..]),
        // The first address of the canonical hole.
        1 => Just(At::In(region::BELOW_HOLE, 0x1000)),
    ]
}

/// Code: only its address matters.
pub fn code() -> impl Strategy<Value = At> {
    prop_oneof![
        3 => any::<u32>().prop_map(|a| At::Raw(u64::from(a))),
        3 => any::<u32>().prop_map(|a| At::Raw(0xffff_ffff_0000_0000 | u64::from(a))),
        1 => (-0x1000i64..0x1000).prop_map(|o| At::In(region::BELOW_HOLE, o)),
        1 => (-0x1000i64..0x1000).prop_map(|o| At::In(region::ABOVE_HOLE, o)),
    ]
}

/// Code that may be out of the canonical space.
pub fn code_or_not(good: u32) -> impl Strategy<Value = At> {
    prop_oneof![
        good => code(),
        1 => select(&NOT_CANONICAL[..]),
        1 => select(vec![At::In(region::BELOW_HOLE, 0x1000), At::In(region::ABOVE_HOLE, -0x1001)]),
    ]
}
