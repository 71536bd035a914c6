//! The levels above the PDE, 1-GiB pages, 5-level paging, and A bits after a fault.

use std::time::Instant;

use crate::exhaustive::{TABLE, count, say};
use crate::oracle::{Entries, Entry, Mode};
use crate::rig::{Setting, bit};

const LOW: u64 = 0x0000_1234_5678_9abc;
const HIGH: u64 = 0xffff_fedc_ba98_7654;
const LA57: u64 = 0x00ed_cba9_8765_4321;

/// P, R/W, U/S, A, XD, bit 7, bit 8 and a reserved address bit.
fn entry(n: u32) -> Entry {
    Entry {
        p: bit(n, 0),
        w: bit(n, 1),
        u: bit(n, 2),
        a: bit(n, 3),
        xd: bit(n, 4),
        bit7: bit(n, 5),
        bit8: bit(n, 6),
        beyond: bit(n, 7),
        ..Entry::default()
    }
}

/// What may stand below: a page for all, one for nobody but the supervisor's reads, nothing, and
/// something reserved.
const BELOW: [Entry; 4] = [
    TABLE,
    Entry {
        p: true,
        key: 3,
        d: true,
        ..ZERO
    },
    ZERO,
    Entry {
        beyond: true,
        ..TABLE
    },
];
const ZERO: Entry = Entry {
    p: false,
    w: false,
    u: false,
    a: false,
    d: false,
    bit7: false,
    bit8: false,
    xd: false,
    beyond: false,
    low: false,
    key: 0,
};

/// Everything that the upper levels' rules depend on, and the rights twice: open and closed.
fn settings(la57: bool, a_on_fault: bool) -> Vec<Setting> {
    let mut all = Vec::new();
    for n in 0..1 << 4 {
        for address in if la57 { [LOW, LA57] } else { [LOW, HIGH] } {
            let closed = bit(n, 3);
            let mode = Mode {
                nxe: bit(n, 0),
                gigabyte_pages: bit(n, 1),
                bit8_must_be_zero: bit(n, 2),
                wp: closed,
                smep: closed,
                smap: closed,
                pke: closed,
                pge: closed,
                pkru: if closed { 0x80 } else { 0 },
                la57,
                ..Mode::default()
            };
            all.push(Setting::with(mode, address, a_on_fault));
        }
    }
    all
}

/// All bits of a PML4E, with all kinds of what is below it.
#[test]
fn pml4_entries() {
    let begun = Instant::now();
    let mut entries = Vec::new();
    for n in 0..1 << 8 {
        for pdpte in BELOW {
            for pde in BELOW {
                entries.push(Entries {
                    pml4e: entry(n),
                    pdpte,
                    pde,
                    pte: TABLE,
                    ..Entries::default()
                });
            }
        }
    }
    let mut combinations = 0;
    for a_on_fault in [false, true] {
        combinations += count(&settings(false, a_on_fault), &entries);
    }
    say("PML4E", combinations, begun);
}

/// All bits of a PDPTE, which may map 1 GiB: its D, key and low reserved bits too.
#[test]
fn page_directory_pointer_entries() {
    let begun = Instant::now();
    let mut entries = Vec::new();
    for n in 0..1 << 11 {
        for pde in BELOW {
            entries.push(Entries {
                pml4e: TABLE,
                pdpte: Entry {
                    d: bit(n, 8),
                    low: bit(n, 9) && bit(n, 5),
                    key: if bit(n, 10) { 3 } else { 0 },
                    ..entry(n)
                },
                pde,
                pte: BELOW[(n % 4) as usize],
                ..Entries::default()
            });
        }
    }
    let mut combinations = 0;
    for a_on_fault in [false, true] {
        combinations += count(&settings(false, a_on_fault), &entries);
    }
    say("PDPTE", combinations, begun);
}

/// All bits of a PML5E and, where it counts, of the PML4E below it.
#[test]
fn pml5_entries() {
    let begun = Instant::now();
    let mut entries = Vec::new();
    for n in 0..1 << 8 {
        for pml4e in BELOW {
            for pdpte in BELOW {
                entries.push(Entries {
                    pml5e: entry(n),
                    pml4e,
                    pdpte,
                    pde: TABLE,
                    pte: TABLE,
                });
            }
        }
        // Bits 7 and 8 of the PML4E, XD and P under every PML5E.
        for m in [0x21, 0x41, 0x11, 0x71, 0x07] {
            entries.push(Entries {
                pml5e: entry(n),
                pml4e: entry(m),
                pdpte: TABLE,
                pde: TABLE,
                pte: TABLE,
            });
        }
    }
    let mut combinations = 0;
    for a_on_fault in [false, true] {
        combinations += count(&settings(true, a_on_fault), &entries);
    }
    say("PML5E", combinations, begun);
}

/// PDE and PTE with `set_a_on_failed_walk`: A above the entry that ends the walk, never in it.
#[test]
fn accessed_bits_of_a_walk_that_faults() {
    let begun = Instant::now();
    let mut entries = Vec::new();
    for pde in 0..1 << 8 {
        for pte in 0..1 << 5 {
            entries.push(Entries {
                pml4e: Entry { a: false, ..TABLE },
                pdpte: Entry { a: false, ..TABLE },
                pde: entry(pde),
                pte: entry(pte),
                ..Entries::default()
            });
        }
    }
    let combinations = count(&settings(false, true), &entries);
    say("A bits of failed walks", combinations, begun);
}

/// SDM vol. 1, 3.3.7.1: an address is canonical if bits 63 to 47 (with LA57: to 56) are all alike.
#[test]
fn canonical_addresses() {
    let mut number = 0;
    for la57 in [false, true] {
        let first = if la57 { 56 } else { 47 };
        // Every pattern of the upper 17 bits, over all-zero and all-one lower ones.
        for upper in 0..1u64 << 17 {
            for lower in [0, (1 << 47) - 1] {
                let address = upper << 47 | lower;
                let mut alike = true;
                for n in first..64 {
                    if address >> n & 1 != address >> 63 {
                        alike = false;
                    }
                }
                let found = iretrace::arch::VirtAddr(address).is_canonical(la57);
                assert_eq!(found, alike, "{address:#x}, LA57 = {la57}");
                number += 1;
            }
        }
    }
    println!("canonical: {number} addresses");
}
