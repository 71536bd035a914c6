//! Random addresses and operands.

use proptest::prelude::*;

use super::guest::place;

/// Linear addresses worth having in a register.
const PLACES: &[u64] = &[
    0,
    place::CODE,
    place::CODE + 0x40,
    place::CODE + 0x1000,
    place::CODE_END,
    place::HANDLERS,
    place::STACK,
    place::IST1,
    place::GDT,
    place::IDT,
    place::TSS,
    place::TABLES,
    place::PT,
    place::DATA,
    place::DATA + 0x1000,
    place::APIC,
    place::APIC + 0x80,
    place::APIC + 0x300,
    place::APIC + 0x380,
    place::ALIAS + place::CODE,
    place::ALIAS + place::DATA,
    place::SELF,
    0xffff_ff00_0000_0000,
    place::LOW_END,
    place::LOW_END + 0x1000,
    place::LOW_END - 0x1000,
    place::TOP,
    place::TOP - 0x1000,
    place::ALIAS,
    place::CODE_END - 0x1000,
    place::RAM,
    0x20_0000,
    0x40_0000 + place::CODE,
    0x7fff_ffff_f000,
    0x8000_0000_0000,
    0xffff_8000_0000_0000,
    u64::MAX - 0xfff,
    0xffff_ffff,
    0xfee0_0000,
];

/// An address: near such a place, or anywhere.
pub fn address() -> impl Strategy<Value = u64> {
    let near = || prop::sample::select(PLACES);
    prop_oneof![
        4 => near(),
        4 => (near(), -17i64..17).prop_map(|(a, d)| a.wrapping_add_signed(d)),
        2 => (near(), 0u64..0x1000).prop_map(|(a, d)| a.wrapping_add(d)),
        1 => any::<u64>(),
        2 => 0u64..64,
        1 => any::<u32>().prop_map(u64::from),
    ]
}

/// A ModRM byte.
pub fn modrm() -> impl Strategy<Value = u8> {
    prop_oneof![
        // [rdi], [rsi], [rcx]
        4 => (0u8..8, prop::sample::select(&[7u8, 6, 1][..])).prop_map(|(r, m)| r << 3 | m),
        3 => (0u8..64).prop_map(|r| 0xc0 | r),
        1 => any::<u8>(),
    ]
}
