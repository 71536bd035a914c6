//! Gates, descriptor tables, TSS, pages: sound, with few defects.

use proptest::prelude::*;
use proptest::sample::select;

use super::super::pages::{At, PageSpec, region};
use super::super::tables::{MENU, index, selector};
use super::super::world::{GateSpec, Table, Tss};
use super::places::{chance, code_or_not, tss_stack, unless};

/// Any selector that names a descriptor, or none.
pub fn any_selector() -> impl Strategy<Value = u16> {
    prop_oneof![
        12 => (0..MENU.len() as u16 + 2, any::<bool>(), 0u8..4)
            .prop_map(|(i, local, rpl)| selector(i, local, rpl)),
        1 => 0u16..4,
        1 => any::<u16>(),
    ]
}

/// A handler's code segment that is good for some CPL.
pub fn handler_selector() -> impl Strategy<Value = u16> {
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
    pub fn gate()(
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
pub enum Defect {
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

pub fn defect() -> impl Strategy<Value = Defect> {
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
pub fn pages(sound_tables: bool) -> impl Strategy<Value = Vec<PageSpec>> {
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
    pub fn table(home: u8, full: u32, defects: u32)(
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
    pub fn tss(defects: u32)(
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

/// The vectors that a delivery or an IRET raises, and #DF.
pub const RAISED: [u8; 8] = [6, 8, 10, 11, 12, 13, 14, 17];

pub fn idt_limit(first: u8) -> impl Strategy<Value = u16> {
    let mut vectors = RAISED.to_vec();
    vectors.extend([first, first, first]);
    prop_oneof![
        14 => Just(0xfffu16),
        1 => (select(vectors), 13u16..17).prop_map(|(v, end)| u16::from(v) * 16 + end),
    ]
}

pub fn idt_base(defects: u32) -> impl Strategy<Value = At> {
    prop_oneof![
        9 => Just(At::In(region::IDT, -0x1000)),
        12 => (0i64..0x200).prop_map(|n| At::In(region::IDT, -n)),
        defects => (1i64..0x120).prop_map(|n| At::In(region::BELOW_HOLE, 0x1000 - n)),
        defects => (1i64..0x120).prop_map(|n| At::In(region::WRAP, -n)),
    ]
}

/// Quadwords of the tables that are disturbed, and how.
pub fn noise(defects: u32) -> impl Strategy<Value = Vec<(At, u64)>> {
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
