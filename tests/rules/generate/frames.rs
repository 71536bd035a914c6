//! Worlds with an IRET frame.

use proptest::prelude::*;
use proptest::sample::select;

use super::super::pages::At;
use super::super::tables::{MENU, index, named, selector};
use super::super::world::World;
use super::contexts::{
    COMPATIBILITY, KERNEL, MIDDLE, Segments, USER, context, flags, nt_rf, selectors,
};
use super::events::world;
use super::places::{ANY_STACK, chance, code, code_or_not, stack};
use super::tables::any_selector;

/// Menu entries for CS and SS of a return to `cpl` that have one thing wrong each: L = D = 1, P,
/// DPL, the limit; P, the type, DPL.
fn unfit(cpl: u8) -> (&'static [u16], &'static [u16]) {
    match cpl {
        0 => (
            &[22, 24, 26, index::CODE3, index::CONFORMING3],
            &[27, 27, 29, index::CODE0, index::DATA3],
        ),
        3 => (
            &[23, 25, 26, 34, 21, 21, index::CODE0],
            &[28, 28, 30, index::CODE3, index::DATA0],
        ),
        _ => (
            &[index::CODE0, index::CODE3, index::CONFORMING3],
            &[index::DATA0, index::DATA3],
        ),
    }
}

/// What a frame asks for.
fn frame(cpl: u8, compatibility: bool) -> impl Strategy<Value = (u8, [At; 5])> {
    let good: Vec<Segments> = KERNEL
        .into_iter()
        .chain(USER)
        .chain(MIDDLE)
        .chain(COMPATIBILITY)
        .filter(|s| s.0 >= cpl)
        .collect();
    let size = if compatibility {
        select(vec![4u8, 4, 2]).boxed()
    } else {
        select(vec![8u8, 8, 8, 8, 8, 4, 4, 2]).boxed()
    };
    let target = (select(good), (chance(20), chance(20)));
    let defect = prop_oneof![
        12 => Just(0u8),
        10 => 1u8..4,
        2 => Just(4),
    ];
    let noise = (
        any_selector(),
        any_selector(),
        (any::<prop::sample::Index>(), any::<bool>(), any::<bool>()),
        code_or_not(1),
        any::<u64>(),
        chance(20),
        0u8..4,
    );
    (
        size,
        target,
        defect,
        noise,
        code(),
        stack(ANY_STACK),
        flags(),
        nt_rf(10),
    )
        .prop_map(
            |(size, (segments, local), defect, noise, rip, rsp, flags, more)| {
                let (mut bad_cs, mut bad_ss, near, bad_rip, bits, high, rpl) = noise;
                let (which, near_cs, near_ss) = near;
                let unfit = unfit(segments.0);
                if near_cs {
                    bad_cs = selector(*which.get(unfit.0), local.0, segments.0);
                }
                if near_ss {
                    bad_ss = selector(*which.get(unfit.1), local.1, segments.0);
                }
                let (mut cs, mut ss) = selectors(segments, local);
                let mut rip = rip;
                let mut flags = flags | more;
                match defect {
                    1 => cs = bad_cs,
                    2 => ss = if high { u16::from(rpl) } else { bad_ss },
                    3 => rip = bad_rip,
                    4 => (cs, ss) = (bad_cs, bad_ss),
                    _ => {}
                }
                let mut upper = 0;
                if high {
                    // Reserved flags, VM, and what lies above the selectors, are ignored.
                    flags |= bits;
                    upper = bits & !0xffff;
                }
                let slot = |s: u16| At::Raw(u64::from(s) | upper);
                (size, [rip, slot(cs), At::Raw(flags), rsp, slot(ss)])
            },
        )
}

/// A world with an IRET frame on its stack.
pub fn iret() -> impl Strategy<Value = World> {
    context(4)
        .prop_flat_map(|context| {
            let compatibility = COMPATIBILITY
                .iter()
                .any(|c| named(context.cs) == MENU[usize::from(c.1)]);
            (frame(context.cpl, compatibility), world(context, 6, false))
        })
        .prop_map(|((size, slots), mut world)| {
            let la57 = world.modes.la57;
            world.frame = Some((size, slots.map(|s| s.linear(la57))));
            if size == 2 {
                // Whether an IRETW clears RF is not specified.
                world.context.rflags &= !(1 << 16);
            }
            world
        })
}
