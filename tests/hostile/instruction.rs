//! Random instructions, most of them from templates.

use proptest::prelude::*;

use super::guest::place;
use super::templates;
use super::values::{address, modrm};

/// A template with its open places filled.
fn fill(template: &str, random: &[u8], modrms: &[u8]) -> Vec<u8> {
    let digits: Vec<char> = template.chars().collect();
    let digit = |c: char| c.to_digit(16).unwrap_or(0) as u8;
    let mut out = Vec::new();
    for (n, pair) in digits.chunks(2).enumerate() {
        let noise = random[n % random.len()];
        out.push(match pair {
            ['?', '?'] => noise,
            ['@', '@'] => modrms[n % modrms.len()],
            [high, '?'] => digit(*high) << 4 | noise & 15,
            ['?', low] => noise & 0xf0 | digit(*low),
            [high, low] => digit(*high) << 4 | digit(*low),
            _ => 0,
        });
    }
    out
}

const PREFIXES: &[u8] = &[
    0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65, 0x40, 0x41, 0x44, 0x48, 0x4f,
];

/// An instruction, a few that belong together, or noise.
pub fn instruction() -> impl Strategy<Value = Vec<u8>> {
    let template = || {
        (
            prop::sample::select(templates::all()),
            prop::collection::vec(any::<u8>(), 11),
            prop::collection::vec(modrm(), 3),
        )
            .prop_map(|(t, random, modrms)| fill(t, &random, &modrms))
    };
    let prefixed = (
        prop::collection::vec(prop::sample::select(PREFIXES), 1..4),
        template(),
    )
        .prop_map(|(mut p, t)| {
            p.extend(t);
            p
        });
    let load = (
        prop::sample::select(&[0u8, 1, 2, 3, 4, 5, 6, 7][..]),
        address(),
    )
        .prop_map(|(reg, value)| {
            let mut out = vec![0x48, 0xb8 + reg];
            out.extend(value.to_le_bytes());
            out
        });
    // mov rax, imm; mov crN/drN, rax
    let control = (
        prop::sample::select(&[0x22u8, 0x23][..]),
        prop::sample::select(&[0u8, 2, 3, 4, 6, 7, 8][..]),
        prop_oneof![
            address(),
            prop::sample::select(
                &[
                    0x8001_0033u64,
                    0x8000_0011,
                    0x8005_003b,
                    0x620,
                    0x20,
                    0x37_0620,
                    0x30_06a0,
                    0x2_0620,
                    0x2_06a0,
                    0x20_0620,
                    0x4_0620,
                    0x1620,
                    place::TABLES | 5,
                    place::TABLES | 1 << 63 | 5,
                    0x401,
                    0x1_0402,
                    0xf_00ff,
                    place::TABLES,
                    place::TABLES | 1 << 63 | 1,
                    0x3ff,
                    0x2000,
                ][..]
            )
        ],
    )
        .prop_map(|(op, n, value)| {
            let mut out = vec![0x48, 0xb8];
            out.extend(value.to_le_bytes());
            if n == 8 {
                out.push(0x44);
            }
            out.extend([0x0f, op, 0xc0 | (n & 7) << 3]);
            out
        });
    // mov eax, selector; mov sreg, eax (or pop, lss and so on)
    let selector = (
        prop_oneof![3 => (0u16..18, 0u16..8).prop_map(|(n, low)| (n * 8) | low), 1 => any::<u16>()],
        prop::sample::select(
            &[
                "8ec0", "8ed0", "8ed8", "8ee0", "8ee8", "0f00d0", "0f00d8", "500fa1", "500fa9",
                "0f02d8", "0f03d8", "0f00e0", "0f00e8",
            ][..],
        ),
    )
        .prop_map(|(selector, what)| {
            let mut out = vec![0xb8];
            out.extend(u32::from(selector).to_le_bytes());
            out.extend(fill(what, &[0], &[0]));
            out
        });
    // mov rdi, place; mov rsi, place; mov ecx, count; rep string
    let strings = (
        address(),
        address(),
        prop_oneof![4 => 0u32..40, 1 => 0u32..0x3000],
        prop::sample::select(&["", "", "66", "48", "67", "64"][..]),
        prop::sample::select(&[0xf3u8, 0xf3, 0xf3, 0xf2, 0x90][..]),
        prop::sample::select(
            &[
                0xa4u8, 0xa5, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf, 0xa6, 0xa7, 0x6c, 0x6d, 0x6e,
                0x6f,
            ][..],
        ),
        prop::bool::weighted(0.2),
    )
        .prop_map(|(to, from, count, prefix, rep, op, down)| {
            let mut out = vec![0x48, 0xbf];
            out.extend(to.to_le_bytes());
            out.extend([0x48, 0xbe]);
            out.extend(from.to_le_bytes());
            out.push(0xb9);
            out.extend(count.to_le_bytes());
            out.push(if down { 0xfd } else { 0xfc });
            // REX stands last.
            let rex = prefix == "48";
            if !rex {
                out.extend(fill(prefix, &[0], &[0]));
            }
            out.push(rep);
            if rex {
                out.push(0x48);
            }
            out.push(op);
            out
        });
    // mov rax, address; mov drN, rax; mov eax, DR7; mov dr7, rax
    let breakpoint = (address(), 0u8..4, 0u32..16).prop_map(|(at, n, kind)| {
        let mut out = vec![0x48, 0xb8];
        out.extend(at.to_le_bytes());
        out.extend([0x0f, 0x23, 0xc0 | n << 3, 0xb8]);
        let dr7 = 0x400 | 2u32 << (2 * n) | kind << (16 + 4 * n);
        out.extend(dr7.to_le_bytes());
        out.extend([0x0f, 0x23, 0xf8]);
        out
    });
    prop_oneof![
        10 => template(),
        3 => prefixed,
        3 => load,
        1 => control,
        1 => selector,
        1 => strings,
        1 => breakpoint,
        2 => prop::collection::vec(any::<u8>(), 1..8),
        1 => Just(vec![0x90]),
    ]
}
