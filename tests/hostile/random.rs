//! Random guests, partly sane: each mishap is rare enough for the others to be reached.

use proptest::prelude::*;

use super::guest::{Guest, Handler, Mode, place};

/// Instructions worth trying, `??` for any byte, `@@` for a ModRM byte that mostly names memory or
/// registers that are set up.
const TEMPLATES: &[&str] = &[
    // Descriptor tables, system registers.
    "0f00@@",
    "0f01@@",
    "0f01d0",
    "0f01d1",
    "0f01f8",
    "0f01f9",
    "0f01c8",
    "0f01ca",
    "0f01cb",
    "0f0133",
    "0f013b",
    "0f013f",
    "0f02@@",
    "0f03@@",
    "0f05",
    "480f07",
    "0f07",
    "0f06",
    "0f08",
    "0f09",
    "0f0b",
    "0fff@@",
    "0fb9@@",
    "0f20@@",
    "0f22@@",
    "0f21@@",
    "0f23@@",
    "0f30",
    "0f31",
    "0f32",
    "0f33",
    "0f34",
    "0f35",
    "480f35",
    "0fa2",
    "0faa",
    "660f3882@@",
    "f30faed0",
    "f30fae@@",
    "b9????00c00f32",
    "b9????00c00f30",
    "b91b0000000f30",
    "b9??0800000f30",
    "b9??0800000f32",
    // Segments and far transfers.
    "8e@@",
    "8ed0",
    "668ed0",
    "8ee0",
    "8ee8",
    "8cd8",
    "8c@@",
    "0fa1",
    "0fa9",
    "0fb2@@",
    "0fb4@@",
    "0fb5@@",
    "17",
    "1f",
    "07",
    "c4@@",
    "c5@@",
    "ff1c24",
    "48ff1c24",
    "ff2c24",
    "48ff2c24",
    "cb",
    "48cb",
    "66cb",
    "ca??00",
    "9a????????0800",
    "ea????????4000",
    "cf",
    "48cf",
    "66cf",
    "6a2b6a236a02",
    "ff27",
    "ff17",
    "66ff27",
    "66c3",
    "66e8????",
    "c3",
    "c2??00",
    "f2c3",
    "3ec3",
    // Events.
    "cd??",
    "cd80",
    "cc",
    "ce",
    "f1",
    "f4",
    "fa",
    "fb",
    "fb90",
    "9c",
    "9d",
    "669c",
    "669d",
    "48c704240?0?0?0?9d",
    "810c24000100009d",
    "810c24000001009d",
    "810c24000004009d",
    "810c24004000009d",
    "8ed090",
    "8ed0cc",
    "9b",
    "d6",
    "f390",
    "0f01c8",
    "0f01c9",
    // Ports.
    "e4??",
    "e5??",
    "e6??",
    "e7??",
    "ec",
    "ed",
    "ee",
    "ef",
    "66ed",
    "66baf803",
    "66baf803ee",
    "6c",
    "6d",
    "6e",
    "6f",
    "f36c",
    "f36d",
    "f36e",
    "f26f",
    "67f36e",
    "66f36d",
    "48f36d",
    // Strings.
    "f3a4",
    "48f3a5",
    "f348a5",
    "f3aa",
    "f348ab",
    "f3a6",
    "f2a7",
    "f2ae",
    "f3af",
    "f3ac",
    "67f3a4",
    "66f3ab",
    "64f3a4",
    "fcf3a4",
    "fdf3a4",
    "b9??000000f3a4",
    "b9??000000f348ab",
    "a4",
    "48a5",
    "aa",
    "48ab",
    "a6",
    "ae",
    "ac",
    "b9????0000f3aa",
    // Atomic, wide and odd accesses.
    "f0480fb10f",
    "f00fc70f",
    "480fc70f",
    "f0480fc70f",
    "f0ff07",
    "f090",
    "f00f0b",
    "f001@@",
    "f04829@@",
    "f0809707??",
    "f081@@????????",
    "f083@@??",
    "f0480fba2f??",
    "f00fba37??",
    "f0480fab07",
    "f08607",
    "f0fe07",
    "f0f717",
    "f0f61f",
    "f0480fc10f",
    "f00fb00f",
    "f04887@@",
    "f0c3",
    "87@@",
    "4887@@",
    "0fc1@@",
    "f00fc1@@",
    "480fab07",
    "480fb3@@",
    "0fba@@??",
    "0fb0@@",
    "c8??00??",
    "c8????1f",
    "c9",
    "8f@@",
    "ff@@",
    "fe@@",
    "62@@??????",
    "d7",
    "a0????????????????",
    "48a3????????????????",
    "0fae07",
    "0fae0f",
    "480fae07",
    "480fae0f",
    "480fae27",
    "480fae2f",
    "0fc727",
    "480fc727",
    "0fc71f",
    "0fc72f",
    "31c9b8070000000f01d1",
    "31c9b8030000000f01d1",
    "0fae17",
    "0fae1f",
    "0fae2f",
    "0fae27",
    "0fae37",
    "0fae3f",
    "0faee8",
    "0fc7@@",
    "0fc7f0",
    "480fc7f8",
    "0f18@@",
    "0f0d@@",
    "0fc3@@",
    "0f38f0@@",
    "f20f38f0@@",
    "0f38f6@@",
    "0f1f@@",
    "f30f1efa",
    "0f1a@@",
    // Arithmetic.
    "f7@@",
    "48f7@@",
    "f6@@",
    "48f7f1",
    "d1@@",
    "c1@@??",
    "48d3@@",
    "c0@@??",
    "0f9?@@",
    "0f4?@@",
    "0fa4@@??",
    "0fad@@",
    "48990?",
    "37",
    "3f",
    "27",
    "2f",
    "d4??",
    "d5??",
    "62????",
    "63@@",
    // x87, MMX, SSE, BMI.
    "d8@@",
    "d9@@",
    "da@@",
    "db@@",
    "dc@@",
    "dd@@",
    "de@@",
    "df@@",
    "dbe3",
    "d9ee",
    "d9e8",
    "d9fe",
    "dd37",
    "dd27",
    "d927",
    "d937",
    "db2f",
    "db3f",
    "df3f",
    "9bd9@@",
    "0f10@@",
    "0f11@@",
    "0f28@@",
    "0f29@@",
    "0f2b@@",
    "660f6f@@",
    "660f7f@@",
    "f30f6f@@",
    "f30f7f@@",
    "0f6f@@",
    "0f7f@@",
    "0f77",
    "660f??@@",
    "f20f??@@",
    "f30f??@@",
    "0f??@@",
    "0f38??@@",
    "660f38??@@",
    "660f3a??@@??",
    "0ff7@@",
    "660ff7@@",
    "0f50@@",
    "c5f877",
    "c4e2????@@",
    "c4e3????@@??",
    "660f6c@@",
    "0f5?@@",
    // Branches, into themselves and others too.
    "eb??",
    "ebfe",
    "7???",
    "74fe",
    "75fe",
    "e2??",
    "e2fe",
    "67e2??",
    "e3??",
    "e8????0000",
    "e8??ffffff",
    "e8fbffffff",
    "e9????0000",
    "e9??ffffff",
    "0f8?????0000",
    "ebff",
    "e8f6ffffff",
    // Self-modification.
    "8805????0000",
    "8805??ffffff",
    "c605????000090",
    "c605??ffffff??",
    "c60501000000cc",
    "48c705????0000????????",
    "c60424??",
    "fe05????0000",
    "fe05faffffff",
    "ff05faffffff",
    "48ff05??ffffff",
    "c605faffffff??",
    "f3aa90",
    "4889070f01f8",
    // The stack, addresses.
    "50",
    "58",
    "54",
    "5c",
    "60",
    "61",
    "68????????",
    "6a??",
    "ff34??",
    "48ff3424",
    "488b24??",
    "4889e?",
    "488d@@",
    "67@@??",
    "89@@",
    "488b@@",
    "8b@@",
    "a1????????",
    "48bc????????????????",
    // Prefixes.
    "66666666666666666666666666660f0b",
    "2e2e2e2e2e2e2e2e2e2e2e2e2e2e90",
    "6667f0f2f3264890",
    "f2f290",
    "4890",
    "4f0f05",
    "6448cf",
    "f348cf",
    "6690",
    "660f05",
    "f0cd80",
    "2ecc",
    "64ec",
    "4d0f22d8",
    "440f22c0",
    // Far returns into every kind of code segment.
    "6a40680060000048cb",
    "6a48680060000048cb",
    "6a58680060000048cb",
    "6a0868??60000048cb",
    "6a2b68??60000048cb",
    "6a2b68??60000048cf",
    "6a236800d000009c6a1b68??60000048cf",
    "6a236800d000009c6a5368??60000048cf",
    "6a236800d000009c6a2b68??60000048cf",
    "6a106800d000009c6a0868??60000048cf",
    "6a106800d000009c6a4068??60000048cf",
    "ff1d00000000eb0600a000007000",
    // Indirect branches to what registers hold.
    "ffe7",
    "ffd7",
    "ffe6",
    "ffd6",
    "ffd1",
    "66ffe7",
    "4889fcc3",
    "4889f4cf",
    // INVPCID, CR3 with and without its flush.
    "31c0660f388207",
    "b801000000660f388207",
    "b802000000660f388207",
    "b803000000660f388207",
    "0f20d80f22d8",
    "0f20d8480fbae83f0f22d8",
    "0f20d8480fbae8000f22d8",
    "0f20e0480fbaf8110f22e0",
    "0f20e0480fbaf8070f22e0",
    "0f20e0480fbaf8150f22e0",
    "0f20e0480fbaf8140f22e0",
    "0f20e0480fbaf8160f22e0",
    "0f20e0480fbaf8090f22e0",
    "0f20c0480fbaf8100f22c0",
    "0f20c0480fbaf8030f22c0",
    "0f20c0480fbaf8020f22c0",
    "0f013f0f013e",
    // Page tables change behind what is cached.
    "480fba3cc5003001000?",
    "48813425??300100??000000",
    "80342508300100??",
    // TF on, off, and through.
    "9c814c2400000100009d",
    "9c804c2401019d",
    "9c804c2401019d8ed090",
    "9c806424fe009d",
    "66f3",
    "f3f2a4",
    "f2f3a4",
    "672e36a4",
];

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

fn address() -> impl Strategy<Value = u64> {
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

fn modrm() -> impl Strategy<Value = u8> {
    prop_oneof![
        // [rdi], [rsi], [rcx]
        4 => (0u8..8, prop::sample::select(&[7u8, 6, 1][..])).prop_map(|(r, m)| r << 3 | m),
        3 => (0u8..64).prop_map(|r| 0xc0 | r),
        1 => any::<u8>(),
    ]
}

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

fn instruction() -> impl Strategy<Value = Vec<u8>> {
    let template = || {
        (
            prop::sample::select(TEMPLATES),
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

fn handler() -> impl Strategy<Value = Handler> {
    prop_oneof![
        6 => Just(Handler::Skip),
        2 => Just(Handler::Return),
        1 => Just(Handler::Halt),
        2 => any::<u8>().prop_map(Handler::Jump),
        1 => any::<[u8; 12]>().prop_map(Handler::Bytes),
        1 => Just(Handler::Absent),
    ]
}

fn vector() -> impl Strategy<Value = u8> {
    prop_oneof![4 => 0u8..32, 1 => any::<u8>(), 2 => prop::sample::select(&[1u8, 2, 6, 8, 13, 14][..])]
}

fn injection() -> impl Strategy<Value = String> {
    let when = prop_oneof![
        (1u32..3000).prop_map(|n| format!("icount={n}")),
        (1u32..300, 0u32..4).prop_map(|(n, s)| format!("icount={n}.{s}")),
        (1u32..200, 1u32..4)
            .prop_map(|(n, nth)| format!("at={:#x}#{nth}", place::CODE + u64::from(n))),
        (0u8..32, 1u32..4).prop_map(|(v, n)| format!("after={v:#x}#{n}")),
        (1u32..6).prop_map(|n| format!("before=iret#{n}")),
        (1u32..40).prop_map(|n| format!("every={n}")),
        Just("every=1".to_owned()),
        (1u32..9, 1u32..900).prop_map(|(p, n)| format!("every={p},from={n}")),
    ];
    let storm = (1u32..200, 0u32..900).prop_map(|(c, n)| format!("--nmi storm={c},from={n}"));
    prop_oneof![
        4 => when.clone().prop_map(|w| format!("--nmi {w}")),
        1 => storm,
        2 => (16u8..=255, when.clone()).prop_map(|(v, w)| format!("--irq {v:#x}@{w}")),
        1 => when.clone().prop_map(|w| format!("--mce @{w}")),
        1 => when.clone().prop_map(|w| format!("--exception 6@{w}")),
        1 => (when, any::<u16>(), address())
            .prop_map(|(w, c, a)| format!("--exception 14@{w},ec={c:#x},addr={a:#x}")),
    ]
}

fn flip() -> impl Strategy<Value = (u32, u64)> {
    let bits = prop_oneof![
        (0u32..64).prop_map(|n| 1u64 << n),
        (0u32..12).prop_map(|n| 1u64 << n),
        (0u32..64, 0u32..64).prop_map(|(a, b)| 1 << a | 1 << b),
    ];
    let at = prop_oneof![
        1 => (0u32..16).prop_map(|n| place::GDT as u32 + 8 * n),
        1 => (0u32..64).prop_map(|n| place::IDT as u32 + 8 * n),
        1 => (0u32..13).prop_map(|n| place::TSS as u32 + 8 * n),
        3 => (0u32..64).prop_map(|n| place::PT as u32 + 8 * n),
        1 => (0u32..3).prop_map(|n| place::TABLES as u32 + 0x1000 * n),
        1 => 0u32..place::RAM as u32,
    ];
    (at, bits)
}

/// Mostly `T::default()`.
fn rarely<T: std::fmt::Debug + Clone + Default>(
    s: impl Strategy<Value = T>,
) -> impl Strategy<Value = T> {
    prop::option::weighted(0.2, s).prop_map(Option::unwrap_or_default)
}

prop_compose! {
    fn registers()(
        mut gpr in prop::array::uniform16(address()),
        stack in prop_oneof![8 => Just(place::STACK), 2 => address()],
        count in prop_oneof![3 => 0u64..40, 1 => address()],
        flags in rarely(any::<u32>()),
        trap in prop::bool::weighted(0.1),
        enabled in any::<bool>(),
    ) -> ([u64; 16], u64) {
        gpr[4] = stack;
        gpr[1] = count;
        let mut flags = u64::from(flags) & !0x100;
        if trap {
            flags |= 0x100;
        }
        if enabled {
            flags |= 0x200;
        }
        (gpr, flags & 0x3f_7fd5)
    }
}

prop_compose! {
    /// A guest.
    pub fn guest()(
        (amd, without) in (any::<bool>(), rarely(any::<u16>())),
        mode in prop_oneof![
            10 => Just(Mode::Kernel64), 6 => Just(Mode::User64), 3 => Just(Mode::User32),
            2 => Just(Mode::User16), 2 => Just(Mode::Kernel32), 2 => Just(Mode::Kernel16)
        ],
        code in prop::collection::vec(instruction(), 1..120),
        (start, origin) in (
            prop_oneof![4 => Just(0u16), 1 => 0u16..64],
            rarely(prop::sample::select(
                &[
                    place::ALIAS + place::CODE,
                    place::LOW_END,
                    place::LOW_END,
                    place::TOP,
                    place::TOP,
                    0x40_0000 + place::CODE,
                ][..],
            )),
        ),
        (gpr, rflags) in registers(),
        (cr0, cr4) in (rarely(any::<u64>()), rarely(any::<u64>())),
        efer in prop_oneof![Just(0x801u64), any::<u64>()],
        (dr, dr7) in (prop::array::uniform4(address()), rarely(any::<u64>())),
        pkru in rarely(any::<u32>()),
        (handler, handlers) in (
            prop_oneof![8 => Just(Handler::Skip), 1 => handler()],
            prop::collection::vec((vector(), prop_oneof![Just(0u8), 0u8..8], 0u8..4, handler()), 0..8),
        ),
        flips in rarely(prop::collection::vec(flip(), 0..5)),
        supervisor in prop::bool::weighted(0.2),
        schedule in rarely(prop::collection::vec(injection(), 0..4)),
        max_insns in prop_oneof![4 => Just(1500u64), 1 => Just(10_000u64)],
    ) -> Guest {
        Guest {
            amd, without, mode, code, start, origin, gpr, rflags, cr0, cr4, efer, dr, dr7, pkru, handler,
            handlers, flips, supervisor, schedule, max_insns,
        }
    }
}
