//! Random cases: mostly sound, with few defects each, so that every step of the lists is reached
//! past the ones before it.

use proptest::prelude::*;
use proptest::sample::select;

use super::pages::{At, PageSpec, region};
use super::stimulus::Stimulus;
use super::tables::{MENU, index, selector};
use super::world::{Context, GateSpec, Modes, Table, Tss, World};

/// Addresses that are canonical with neither width, or with one.
const NOT_CANONICAL: [At; 5] = [
    At::Raw(0x0100_0000_0000_0100),
    At::Raw(0xfeff_ffff_ffff_f000),
    At::Raw(0x0000_8000_0000_0040),
    At::Raw(0xffff_7fff_ffff_fff8),
    At::Raw(0x7fff_ffff_ffff_ffc8),
];

/// `n` times of a hundred.
fn chance(n: u32) -> impl Strategy<Value = bool> {
    prop::bool::weighted(f64::from(n) / 100.0)
}

/// Not `n` times of a hundred; shrinks to true.
fn unless(n: u32) -> impl Strategy<Value = bool> {
    chance(n).prop_map(|unlikely| !unlikely)
}

/// Where a stack pointer is: often such that a frame crosses the border of two pages.
fn offset() -> impl Strategy<Value = i64> {
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

fn stack(regions: &'static [u8]) -> impl Strategy<Value = At> {
    (select(regions), offset()).prop_map(|(r, o)| At::In(r, o))
}

const ANY_STACK: &[u8] = &[
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
fn tss_stack() -> impl Strategy<Value = At> {
    prop_oneof![
        12 => stack(ANY_STACK),
        1 => select(&NOT_CANONICAL[..]),
        // The first address of the canonical hole.
        1 => Just(At::In(region::BELOW_HOLE, 0x1000)),
    ]
}

/// Code: only its address matters.
fn code() -> impl Strategy<Value = At> {
    prop_oneof![
        3 => any::<u32>().prop_map(|a| At::Raw(u64::from(a))),
        3 => any::<u32>().prop_map(|a| At::Raw(0xffff_ffff_0000_0000 | u64::from(a))),
        1 => (-0x1000i64..0x1000).prop_map(|o| At::In(region::BELOW_HOLE, o)),
        1 => (-0x1000i64..0x1000).prop_map(|o| At::In(region::ABOVE_HOLE, o)),
    ]
}

/// Code that may be out of the canonical space.
fn code_or_not(good: u32) -> impl Strategy<Value = At> {
    prop_oneof![
        good => code(),
        1 => select(&NOT_CANONICAL[..]),
        1 => select(vec![At::In(region::BELOW_HOLE, 0x1000), At::In(region::ABOVE_HOLE, -0x1001)]),
    ]
}

/// Any selector that names a descriptor, or none.
fn any_selector() -> impl Strategy<Value = u16> {
    prop_oneof![
        12 => (0..MENU.len() as u16 + 2, any::<bool>(), 0u8..4)
            .prop_map(|(i, local, rpl)| selector(i, local, rpl)),
        1 => 0u16..4,
        1 => any::<u16>(),
    ]
}

/// A handler's code segment that is good for some CPL.
fn handler_selector() -> impl Strategy<Value = u16> {
    const OTHERS: [u16; 7] = [
        index::CONFORMING0,
        index::CONFORMING0,
        index::CONFORMING1,
        index::CODE1,
        index::CODE2,
        index::CODE3,
        index::CONFORMING3,
    ];
    let indices = prop_oneof![5 => Just(index::CODE0), 1 => select(&OTHERS[..])];
    (indices, chance(20), 0u8..4).prop_map(|(i, local, rpl)| selector(i, local, rpl))
}

prop_compose! {
    fn gate()(
        selector in prop_oneof![9 => handler_selector(), 1 => any_selector()],
        offset in code_or_not(24),
        ist in prop_oneof![3 => Just(0u8), 2 => 1u8..8],
        kind in prop_oneof![16 => 0x0eu8..0x10, 1 => 0u8..32],
        dpl in prop_oneof![3 => Just(3u8), 2 => 0u8..4],
        present in unless(5),
    ) -> GateSpec {
        GateSpec { selector, offset, ist, kind, dpl, present }
    }
}

/// What may be wrong with a page.
#[derive(Clone, Copy, Debug)]
enum Defect {
    NotPresent,
    ReadOnly,
    /// Of the other mode.
    Mode,
    Reserved,
    /// A user page with a protection key.
    Key(u8),
    /// The same, read-only.
    ReadOnlyKey(u8),
}

fn defect() -> impl Strategy<Value = Defect> {
    prop_oneof![
        2 => Just(Defect::NotPresent),
        2 => Just(Defect::ReadOnly),
        1 => Just(Defect::Mode),
        1 => Just(Defect::Reserved),
        1 => (0u8..4).prop_map(Defect::Key),
        1 => (0u8..4).prop_map(Defect::ReadOnlyKey),
    ]
}

/// All pages: few defects, and any A and D.
fn pages(sound_tables: bool) -> impl Strategy<Value = Vec<PageSpec>> {
    const ALL: usize = 2 * region::COUNT as usize;
    const TABLES: usize = 2 * (region::TSS as usize + 1);
    let in_tables = prop::collection::vec((0..TABLES, defect()), 1..3);
    // Where A of a descriptor cannot be set.
    let descriptors = 2 * usize::from(region::GDT)..2 * (usize::from(region::LDT) + 1);
    let read_only = descriptors.prop_map(|i| vec![(i, Defect::ReadOnly)]);
    let defects = prop_oneof![
        9 => Just(Vec::new()),
        if sound_tables { 0 } else { 2 } => read_only,
        if sound_tables { 0 } else { 2 } => in_tables,
    ];
    let in_stacks = prop::collection::vec((TABLES..ALL, defect()), 0..6);
    (defects, in_stacks, any::<u32>(), any::<u32>()).prop_map(
        |(tables, stacks, accessed, dirty)| {
            let mut pages: Vec<_> = (0..ALL)
                .map(|i| PageSpec {
                    present: true,
                    writable: true,
                    user: i / 2 == usize::from(region::USER),
                    reserved: false,
                    key: 0,
                    accessed: accessed >> i & 1 == 1,
                    dirty: dirty & accessed >> i & 1 == 1,
                })
                .collect();
            for (i, defect) in tables.into_iter().chain(stacks) {
                let page = &mut pages[i];
                match defect {
                    Defect::NotPresent => page.present = false,
                    Defect::ReadOnly => page.writable = false,
                    Defect::Mode => page.user = !page.user,
                    Defect::Reserved => page.reserved = true,
                    Defect::Key(key) => (page.user, page.key) = (true, key),
                    Defect::ReadOnlyKey(key) => {
                        (page.user, page.key, page.writable) = (true, key, false);
                    }
                }
            }
            pages
        },
    )
}

prop_compose! {
    fn table(home: u8, full: u32, defects: u32)(
        base in prop_oneof![
            28 => Just(At::In(home, -0x1000)),
            16 => (1i64..36).prop_map(move |n| At::In(home, -8 * n)),
            defects => (1i64..36).prop_map(|n| At::In(region::BELOW_HOLE, 0x1000 - 8 * n)),
            defects => (1i64..36).prop_map(|n| At::In(region::WRAP, -8 * n)),
            // Descriptors are aligned: how wide the write of A is cannot be told.
            defects => any::<u64>().prop_map(|base| At::Raw(base & !7)),
        ],
        limit in prop_oneof![
            18 => Just(full),
            defects => 0..full,
            defects => (1..full / 8).prop_map(|n| 8 * n - 1),
        ],
        accessed in prop_oneof![
            4 => Just(u64::MAX),
            2 => any::<u64>(),
            1 => Just(0),
        ],
        flips in prop_oneof![
            3 => Just(Vec::new()),
            defects => prop::collection::vec((0..23usize, 40u32..56), 1..3),
        ],
    ) -> Table {
        Table { base, limit, accessed, flips }
    }
}

prop_compose! {
    fn tss(defects: u32)(
        selector in prop_oneof![Just(0x30u16), any::<u16>()],
        base in prop_oneof![
            9 => Just(At::In(region::TSS, -0x1000)),
            9 => (0i64..0x70).prop_map(|n| At::In(region::TSS, -n)),
            defects => (0i64..0x70).prop_map(|n| At::In(region::BELOW_HOLE, 0x1000 - n)),
            defects => (0i64..0x70).prop_map(|n| At::In(region::WRAP, -n)),
        ],
        limit in prop_oneof![8 => Just(0x67u32), defects => 0u32..0x70],
        stacks in prop::collection::vec(tss_stack(), 10),
    ) -> Tss {
        Tss { selector, base, limit, stacks }
    }
}

prop_compose! {
    fn modes()(
        bits in (any::<bool>(), chance(20), any::<bool>(), chance(25), unless(20), chance(40)),
        more in (any::<bool>(), chance(40), chance(40), chance(20), chance(20)),
        pkru in prop_oneof![Just(0u32), any::<u32>()],
        dr6 in prop_oneof![Just(0u64), 0u64..16, Just(1 << 14)],
        nmi in (chance(30), chance(50)),
        halted in chance(10),
        shadow in 0u8..3,
    ) -> Modes {
        let (amd, flip_unblock_knob, set_a_on_failed_walk, la57, wp, am) = bits;
        let (smep, smap, pke, quiet, gd) = more;
        Modes {
            amd, flip_unblock_knob, set_a_on_failed_walk, la57, wp, am, smep, smap, pke, pkru,
            quiet, gd, dr6, nmi_pending: nmi.0, nmi_blocked: nmi.1, halted, shadow,
        }
    }
}

/// Code and stack segments that go together; `None`: a null SS.
type Segments = (u8, u16, Option<u16>);

#[rustfmt::skip]
const KERNEL: [Segments; 4] = [
    (0, index::CODE0, Some(index::DATA0)),
    (0, index::CODE0, Some(index::DATA0)),
    (0, index::CODE0, None),
    (0, index::CONFORMING0, Some(index::DATA0_16)),
];
#[rustfmt::skip]
const USER: [Segments; 5] = [
    (3, index::CODE3, Some(index::DATA3)),
    (3, index::CODE3, Some(index::DATA3)),
    (3, index::CODE3, Some(index::DATA3_16)),
    (3, index::CONFORMING0, Some(index::DATA3)),
    (3, index::CONFORMING3, Some(index::DATA3_BASED)),
];
#[rustfmt::skip]
const MIDDLE: [Segments; 6] = [
    (1, index::CODE1, Some(index::DATA1)),
    (1, index::CODE1, None),
    (1, index::CONFORMING1, Some(index::DATA1)),
    (2, index::CODE2, Some(index::DATA2)),
    (2, index::CODE2, None),
    (2, index::CONFORMING0, Some(index::DATA2)),
];
#[rustfmt::skip]
const COMPATIBILITY: [Segments; 8] = [
    (3, index::CODE3_32, Some(index::DATA3)),
    (3, index::CODE3_32, Some(index::DATA3_16)),
    (3, index::CODE3_16, Some(index::DATA3_BASED)),
    (3, index::CODE3_32, Some(index::DATA3_DOWN)),
    (0, index::CODE0_32, Some(index::DATA0)),
    (0, index::CODE0_32, Some(index::DATA0_BASED)),
    (0, index::CODE0_32, Some(index::DATA0_DOWN)),
    (0, index::CODE0_32, Some(index::DATA0_16)),
];

fn segments() -> impl Strategy<Value = Segments> {
    prop_oneof![
        6 => select(&KERNEL[..]),
        5 => select(&USER[..]),
        1 => select(&MIDDLE[..]),
        2 => select(&COMPATIBILITY[..]),
    ]
}

fn is_compatibility(s: &Segments) -> bool {
    COMPATIBILITY.iter().any(|c| c.1 == s.1)
}

/// The selectors of CS and SS.
fn selectors((cpl, cs, ss): Segments, local: (bool, bool)) -> (u16, u16) {
    let ss = ss.map_or(u16::from(cpl), |ss| selector(ss, local.1, cpl));
    (selector(cs, local.0, cpl), ss)
}

/// A data segment register: what code of `cpl` could have loaded.
fn data(cpl: u8) -> impl Strategy<Value = u16> {
    let mut indices = vec![index::DATA3, index::CODE3, index::CONFORMING0, 0];
    if cpl == 0 {
        indices.extend([index::DATA0, index::CODE0, index::DATA1, index::DATA2]);
    }
    (select(indices), chance(20), 0u8..4).prop_map(|(i, local, rpl)| selector(i, local, rpl))
}

/// Flags without NT, RF and VM.
fn flags() -> impl Strategy<Value = u64> {
    any::<u32>().prop_map(|f| u64::from(f) & 0x3c_3fd5 | 2)
}

/// NT and RF.
fn nt_rf(nt: u32) -> impl Strategy<Value = u64> {
    (chance(nt), chance(20)).prop_map(|(nt, rf)| u64::from(nt) << 14 | u64::from(rf) << 16)
}

/// What runs; `nt` times of a hundred with NT set.
fn context(nt: u32) -> impl Strategy<Value = Context> {
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

/// The vectors that a delivery or an IRET raises, and #DF.
const RAISED: [u8; 8] = [6, 8, 10, 11, 12, 13, 14, 17];

fn idt_limit(first: u8) -> impl Strategy<Value = u16> {
    let mut vectors = RAISED.to_vec();
    vectors.extend([first, first, first]);
    prop_oneof![
        14 => Just(0xfffu16),
        1 => (select(vectors), 13u16..17).prop_map(|(v, end)| u16::from(v) * 16 + end),
    ]
}

fn idt_base(defects: u32) -> impl Strategy<Value = At> {
    prop_oneof![
        9 => Just(At::In(region::IDT, -0x1000)),
        12 => (0i64..0x200).prop_map(|n| At::In(region::IDT, -n)),
        defects => (1i64..0x120).prop_map(|n| At::In(region::BELOW_HOLE, 0x1000 - n)),
        defects => (1i64..0x120).prop_map(|n| At::In(region::WRAP, -n)),
    ]
}

/// Quadwords of the tables that are disturbed, and how.
fn noise(defects: u32) -> impl Strategy<Value = Vec<(At, u64)>> {
    let place = (region::IDT..region::STACK, -0x200i64..0x20).prop_map(|(r, n)| At::In(r, 8 * n));
    let bits = prop_oneof![
        2 => (0u32..64).prop_map(|bit| 1 << bit),
        1 => any::<u64>(),
    ];
    prop_oneof![
        7 => Just(Vec::new()),
        defects => prop::collection::vec((place, bits), 1..30),
    ]
}

/// A world around `context`, with gates for `first` and for all that can be raised.
fn world(context: Context, first: u8, sound: bool) -> impl Strategy<Value = World> {
    let gates =
        (prop::collection::vec(gate(), RAISED.len()), gate()).prop_map(move |(raised, gate)| {
            let mut gates: Vec<_> = RAISED.into_iter().zip(raised).collect();
            gates.retain(|g| g.0 != first);
            gates.push((first, gate));
            gates
        });
    let full = 8 * MENU.len() as u32 - 1;
    let defects = u32::from(!sound);
    let tables = (
        table(region::GDT, full, defects),
        table(region::LDT, full - 8, defects),
        unless(5 * defects),
        tss(defects),
    );
    (
        modes(),
        noise(defects),
        tables,
        (idt_base(defects), idt_limit(first)),
        gates,
        pages(sound),
    )
        .prop_map(
            move |(modes, noise, (gdt, ldt, ldt_usable, tss), idt, gates, pages)| World {
                modes,
                context,
                gdt,
                ldt,
                ldt_usable,
                idt_base: idt.0,
                idt_limit: idt.1,
                gates,
                tss,
                pages,
                noise,
                frame: None,
            },
        )
}

/// A world and an event to deliver in it; `sound`: the tables have no defects but in gates.
pub fn delivery(sound: bool) -> impl Strategy<Value = (World, Stimulus)> {
    (context(20), Stimulus::any()).prop_flat_map(move |(mut context, stimulus)| {
        if stimulus.is_instruction_breakpoint() {
            // RF would have held it.
            context.rflags &= !(1 << 16);
        }
        (
            world(context, stimulus.vector(false), sound),
            Just(stimulus),
        )
    })
}

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

/// A step of a sequence.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    Deliver(Stimulus),
    /// With operands of this size, after an error code that the last delivery pushed.
    Iret(u8),
}

/// A world with sound tables and what happens in it.
pub fn sequence() -> impl Strategy<Value = (World, Vec<Op>)> {
    let op = prop_oneof![
        3 => Stimulus::any().prop_map(Op::Deliver),
        1 => Just(Op::Deliver(Stimulus::Nmi(false))),
        4 => select(vec![8u8, 8, 8, 8, 8, 4, 2]).prop_map(Op::Iret),
    ];
    (delivery(true), prop::collection::vec(op, 1..8)).prop_map(|((mut world, first), mut ops)| {
        // Gates for what the operations ask for: those that there are, in turn.
        let gates: Vec<_> = world.gates.iter().map(|g| g.1).collect();
        for (i, op) in ops.iter().enumerate() {
            if let Op::Deliver(s) = op {
                let vector = s.vector(world.modes.amd);
                if world.gates.iter().all(|g| g.0 != vector) {
                    world.gates.push((vector, gates[i % gates.len()]));
                }
            }
        }
        ops.insert(0, Op::Deliver(first));
        (world, ops)
    })
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
                .any(|c| super::tables::named(context.cs) == MENU[usize::from(c.1)]);
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
