//! Every combination of the bits of a PDE and a PTE, the registers, and the access.

use std::time::Instant;

use crate::oracle::{Entries, Entry, Mode};
use crate::rig::{ACCESSES, Setting, bit, modes};

/// An entry that restricts nothing and points to a table.
pub const TABLE: Entry = Entry {
    p: true,
    w: true,
    u: true,
    a: true,
    d: false,
    bit7: false,
    bit8: false,
    xd: false,
    beyond: false,
    low: false,
    key: 0,
};

/// All accesses in all settings to what `entries` map; how many that were.
pub fn count(settings: &[Setting], entries: &[Entries]) -> u64 {
    for setting in settings {
        for e in entries {
            for by in ACCESSES {
                setting.check(e, by);
            }
        }
    }
    (settings.len() * entries.len() * ACCESSES.len()) as u64
}

pub fn say(what: &str, combinations: u64, begun: Instant) {
    let seconds = begun.elapsed().as_secs_f64();
    println!("{what}: {combinations} combinations in {seconds:.1} s");
}

const ADDRESS: u64 = 0x6d5c_4b3a_2918;

/// P, R/W, U/S, A, XD, a reserved bit.
fn table(n: u32) -> Entry {
    Entry {
        p: bit(n, 0),
        w: bit(n, 1),
        u: bit(n, 2),
        a: bit(n, 3),
        xd: bit(n, 4),
        beyond: bit(n, 5),
        ..Entry::default()
    }
}

/// The same, D, and whether the key is `key` or 0.
fn leaf(n: u32, key: u8) -> Entry {
    Entry {
        d: bit(n, 6),
        key: if bit(n, 7) { key } else { 0 },
        ..table(n)
    }
}

fn settings(key: u8) -> Vec<Setting> {
    let all = modes(key).into_iter();
    all.map(|mode| Setting::new(mode, ADDRESS)).collect()
}

const UPPER: Entries = Entries {
    pml5e: TABLE,
    pml4e: TABLE,
    pdpte: TABLE,
    pde: TABLE,
    pte: TABLE,
};

/// P, R/W, U/S, A, XD and a reserved bit of the PDE; these, D and the key of the PTE; WP, SMEP,
/// SMAP, PKE, NXE, AC, and AD and WD of the key; every access.
#[test]
fn four_kilobyte_pages() {
    let begun = Instant::now();
    let mut entries = Vec::new();
    for pde in 0..1 << 6 {
        for pte in 0..1 << 8 {
            entries.push(Entries {
                pde: table(pde),
                pte: leaf(pte, 5),
                ..UPPER
            });
        }
    }
    let combinations = count(&settings(5), &entries);
    assert_eq!(combinations, 1 << (6 + 8 + 8 + 3));
    say("PDE, PTE", combinations, begun);
}

/// The same for a PDE with PS = 1, and its second reserved bit; the PTE is not there.
#[test]
fn two_megabyte_pages() {
    let begun = Instant::now();
    let mut entries = Vec::new();
    for pde in 0..1 << 9 {
        entries.push(Entries {
            pde: Entry {
                bit7: true,
                low: bit(pde, 8),
                ..leaf(pde, 15)
            },
            pte: Entry::default(),
            ..UPPER
        });
    }
    let combinations = count(&settings(15), &entries);
    assert_eq!(combinations, 1 << (9 + 8 + 3));
    say("PDE with PS", combinations, begun);
}

/// Bits that mean something in an entry that maps a page, and nothing in one that does not: D, the
/// key, G; PAT in a PTE. With CR4.PGE and without.
#[test]
fn bits_that_are_ignored_and_global_pages() {
    let begun = Instant::now();
    let mut entries = Vec::new();
    for n in 0..1 << 8 {
        let pde = Entry {
            d: bit(n, 0),
            bit8: bit(n, 1),
            key: if bit(n, 2) { 9 } else { 0 },
            bit7: bit(n, 3),
            ..TABLE
        };
        let pte = Entry {
            d: bit(n, 4),
            bit8: bit(n, 5),
            key: if bit(n, 6) { 9 } else { 0 },
            bit7: bit(n, 7),
            ..TABLE
        };
        entries.push(Entries { pde, pte, ..UPPER });
    }
    let mut all = settings(9);
    for mode in modes(9) {
        all.push(Setting::new(Mode { pge: true, ..mode }, ADDRESS));
    }
    let combinations = count(&all, &entries);
    assert_eq!(combinations, 1 << (8 + 9 + 3));
    say("ignored bits, G", combinations, begun);
}

/// Each key looks at its own two bits of PKRU.
#[test]
fn every_key() {
    let begun = Instant::now();
    let mut combinations = 0;
    for key in 0..16 {
        let mut entries = Vec::new();
        for of_page in 0..16 {
            for n in 0..1 << 3 {
                let pte = Entry {
                    w: bit(n, 0),
                    u: bit(n, 1),
                    d: bit(n, 2),
                    key: of_page,
                    ..TABLE
                };
                entries.push(Entries { pte, ..UPPER });
            }
        }
        combinations += count(&settings(key), &entries);
    }
    assert_eq!(combinations, 1 << (4 + 4 + 3 + 8 + 3));
    say("keys", combinations, begun);
}
