//! What runs: segments that go together, flags, control registers.

use proptest::prelude::*;
use proptest::sample::select;

use super::super::manual::Frames;
use super::super::pages::region;
use super::super::tables::{index, selector};
use super::super::world::{Context, Modes};
use super::places::{ANY_STACK, NOT_CANONICAL, chance, stack, unless};

prop_compose! {
    pub fn modes()(
        bits in (any::<bool>(), chance(20), any::<bool>(), chance(25), unless(20), chance(40)),
        more in (any::<bool>(), chance(40), chance(40), chance(20), chance(20)),
        pkru in prop_oneof![Just(0u32), any::<u32>()],
        dr6 in prop_oneof![Just(0u64), 0u64..16, Just(1 << 14)],
        nmi in (chance(30), chance(50)),
        halted in chance(10),
        shadow in 0u8..3,
        frames in (unless(20), chance(20), unless(20)),
    ) -> Modes {
        let (amd, flip_unblock_knob, set_a_on_failed_walk, la57, wp, am) = bits;
        let (smep, smap, pke, quiet, gd) = more;
        Modes {
            amd, flip_unblock_knob, set_a_on_failed_walk, la57, wp, am, smep, smap, pke, pkru,
            frames: Frames { atomic: frames.0, implicit: frames.1, rsp_checked: frames.2 },
            quiet, gd, dr6, nmi_pending: nmi.0, nmi_blocked: nmi.1, halted, shadow,
        }
    }
}

/// Code and stack segments that go together; `None`: a null SS.
pub type Segments = (u8, u16, Option<u16>);

#[rustfmt::skip]
pub const KERNEL: [Segments; 4] = [
    (0, index::CODE0, Some(index::DATA0)),
    (0, index::CODE0, Some(index::DATA0)),
    (0, index::CODE0, None),
    (0, index::CONFORMING0, Some(index::DATA0_16)),
];
#[rustfmt::skip]
pub const USER: [Segments; 5] = [
    (3, index::CODE3, Some(index::DATA3)),
    (3, index::CODE3, Some(index::DATA3)),
    (3, index::CODE3, Some(index::DATA3_16)),
    (3, index::CONFORMING0, Some(index::DATA3)),
    (3, index::CONFORMING3, Some(index::DATA3_BASED)),
];
#[rustfmt::skip]
pub const MIDDLE: [Segments; 6] = [
    (1, index::CODE1, Some(index::DATA1)),
    (1, index::CODE1, None),
    (1, index::CONFORMING1, Some(index::DATA1)),
    (2, index::CODE2, Some(index::DATA2)),
    (2, index::CODE2, None),
    (2, index::CONFORMING0, Some(index::DATA2)),
];
#[rustfmt::skip]
pub const COMPATIBILITY: [Segments; 8] = [
    (3, index::CODE3_32, Some(index::DATA3)),
    (3, index::CODE3_32, Some(index::DATA3_16)),
    (3, index::CODE3_16, Some(index::DATA3_BASED)),
    (3, index::CODE3_32, Some(index::DATA3_DOWN)),
    (0, index::CODE0_32, Some(index::DATA0)),
    (0, index::CODE0_32, Some(index::DATA0_BASED)),
    (0, index::CODE0_32, Some(index::DATA0_DOWN)),
    (0, index::CODE0_32, Some(index::DATA0_16)),
];

pub fn segments() -> impl Strategy<Value = Segments> {
    prop_oneof![
        6 => select(&KERNEL[..]),
        5 => select(&USER[..]),
        1 => select(&MIDDLE[..]),
        2 => select(&COMPATIBILITY[..]),
    ]
}

pub fn is_compatibility(s: &Segments) -> bool {
    COMPATIBILITY.iter().any(|c| c.1 == s.1)
}

/// The selectors of CS and SS.
pub fn selectors((cpl, cs, ss): Segments, local: (bool, bool)) -> (u16, u16) {
    let ss = ss.map_or(u16::from(cpl), |ss| selector(ss, local.1, cpl));
    (selector(cs, local.0, cpl), ss)
}

/// A data segment register: what code of `cpl` could have loaded.
pub fn data(cpl: u8) -> impl Strategy<Value = u16> {
    let mut indices = vec![index::DATA3, index::CODE3, index::CONFORMING0, 0];
    if cpl == 0 {
        indices.extend([index::DATA0, index::CODE0, index::DATA1, index::DATA2]);
    }
    (select(indices), chance(20), 0u8..4).prop_map(|(i, local, rpl)| selector(i, local, rpl))
}

/// Flags without NT, RF and VM.
pub fn flags() -> impl Strategy<Value = u64> {
    any::<u32>().prop_map(|f| u64::from(f) & 0x3c_3fd5 | 2)
}

/// NT and RF.
pub fn nt_rf(nt: u32) -> impl Strategy<Value = u64> {
    (chance(nt), chance(20)).prop_map(|(nt, rf)| u64::from(nt) << 14 | u64::from(rf) << 16)
}

/// What runs; `nt` times of a hundred with NT set.
pub fn context(nt: u32) -> impl Strategy<Value = Context> {
    (segments(), (chance(20), chance(20))).prop_flat_map(move |(s, local)| {
        let (cs, ss) = selectors(s, local);
        let cpl = s.0;
        let compatibility = is_compatibility(&s);
        let rsp = match (cpl, compatibility) {
            (3, _) => prop_oneof![
                9 => stack(&[region::USER]),
                if compatibility { 0 } else { 1 } => stack(ANY_STACK),
                if compatibility { 0 } else { 1 } => select(&NOT_CANONICAL[..]),
            ]
            .boxed(),
            (_, true) => stack(&[region::STACK]).boxed(),
            _ => prop_oneof![9 => stack(ANY_STACK), 1 => select(&NOT_CANONICAL[..])].boxed(),
        };
        let data = (data(cpl), data(cpl), data(cpl), data(cpl));
        (data, any::<u32>(), rsp, any::<u64>(), flags(), nt_rf(nt)).prop_map(
            move |(data, rip, rsp, high_sp, flags, more)| Context {
                cpl,
                cs,
                ss,
                data: data.into(),
                rip: if s.1 == index::CODE3_16 {
                    u64::from(rip & 0x7fff)
                } else if compatibility {
                    u64::from(rip & 0x7fff_ffff)
                } else {
                    u64::from(rip) | high_sp << 32 >> 17
                },
                rsp,
                high_sp,
                rflags: flags | more,
            },
        )
    })
}
