//! Random guests, partly sane: each mishap is rare enough for the others to be reached.

use proptest::prelude::*;

use super::guest::{Guest, Handler, Mode, place};
use super::instruction::instruction;
use super::values::address;

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
