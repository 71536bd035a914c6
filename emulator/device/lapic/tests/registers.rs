//! "Local APIC Register Address Map", its x2APIC form, and "Reserved Bit Checking".

use super::rig::{Rig, reg};
use crate::device::Concern;

#[test]
fn values_after_reset() {
    // "Local APIC State After Power-Up or Reset".
    let mut rig = Rig::reset();
    let expected = [
        (0x020, 0),
        (0x080, 0),
        (0x090, 0),
        (0x0a0, 0),
        (0x0d0, 0),
        (0x0e0, 0xffff_ffff),
        (0x0f0, 0xff),
        (0x280, 0),
        (0x300, 0),
        (0x310, 0),
        (0x320, 0x1_0000),
        (0x330, 0x1_0000),
        (0x340, 0x1_0000),
        (0x350, 0x1_0000),
        (0x360, 0x1_0000),
        (0x370, 0x1_0000),
        (0x380, 0),
        (0x390, 0),
        (0x3e0, 0),
    ];
    for (offset, value) in expected {
        assert_eq!(rig.read(offset), value, "{offset:#x}");
    }
    for offset in (0x100..0x280).step_by(0x10) {
        assert_eq!(rig.read(offset), 0, "{offset:#x}");
    }
    let version = rig.read(0x30);
    assert!(
        (0x10..=0x15).contains(&(version & 0xff)),
        "an integrated APIC"
    );
    assert_eq!(version >> 16 & 0xff, 5, "max LVT entry: six of them");
    assert_eq!(rig.signals, []);
}

#[test]
fn only_defined_bits_are_kept() {
    let mut rig = Rig::enabled();
    for (offset, kept) in [
        (0x080, 0x0000_00ff),
        (0x0d0, 0xff00_0000),
        (0x0e0, 0xffff_ffff),
        (0x0f0, 0x0000_03ff),
        (0x310, 0xff00_0000),
        (0x320, 0x0007_00ff),
        (0x330, 0x0001_07ff),
        (0x340, 0x0001_07ff),
        (0x350, 0x0001_a7ff),
        (0x360, 0x0001_a7ff),
        (0x370, 0x0001_00ff),
        (0x3e0, 0x0000_000b),
    ] {
        rig.write(offset, 0xffff_ffff);
        assert_eq!(rig.read(offset), kept, "{offset:#x}");
    }
}

#[test]
fn reserved_registers_are_logged() {
    let mut rig = Rig::reset();
    for offset in [
        0x000, 0x010, 0x040, 0x070, 0x290, 0x2f0, 0x3a0, 0x3f0, 0x400, 0xff0,
    ] {
        assert_eq!(rig.read(offset), 0, "{offset:#x}");
        assert_eq!(rig.reports(), [Concern::Violation]);
        assert_eq!(rig.esr(), 0x80);
        rig.write(offset, 1);
        assert_eq!(rig.esr(), 0x80);
        rig.signals.clear();
    }
    // APR and RRD: "The Illegal Register Access bit (7) of the ESR will not be set".
    rig.read(0x090);
    rig.read(0x0c0);
    assert_eq!(rig.esr(), 0);
}

#[test]
fn what_is_read_only_or_write_only_is_said() {
    let mut rig = Rig::reset();
    for offset in [
        0x020, 0x030, 0x090, 0x0a0, 0x0c0, 0x100, 0x1f0, 0x270, 0x390,
    ] {
        let before = rig.lapic.clone();
        rig.write(offset, 0xffff_ffff);
        assert_eq!(rig.reports(), [Concern::Violation], "{offset:#x}");
        assert_eq!(rig.lapic, before);
    }
    assert_eq!(rig.read(reg::EOI), 0);
    assert_eq!(rig.reports(), [Concern::Violation]);
}

#[test]
fn accesses_of_other_shapes_are_undefined_and_said() {
    let mut rig = Rig::enabled();
    rig.write(reg::TPR, 0x35);
    let before = rig.lapic.clone();
    for (offset, size, value) in [
        (0x80, 1, 0x35),
        (0x80, 2, 0x35),
        (0x81, 1, 0),
        (0xf1, 1, 0x01),
        (0xf3, 2, 0),
        (0x84, 4, 0),
        (0x88, 1, 0),
        (0x80, 8, 0),
        (0x7e, 4, 0),
    ] {
        assert_eq!(rig.read_sized(offset, size), value, "{offset:#x}/{size}");
        assert_eq!(rig.reports(), [Concern::Violation]);
        rig.write_sized(offset, size, u64::MAX);
        assert_eq!(rig.reports(), [Concern::Violation]);
        assert_eq!(rig.lapic, before);
    }
}

/// Table "Local APIC Register Address Map Supported by x2APIC": number, readable, writable bits
/// (`None`: read-only).
const X2APIC: [(u32, bool, Option<u64>); 22] = [
    (0x802, true, None),
    (0x803, true, None),
    (0x808, true, Some(0xff)),
    (0x80a, true, None),
    (0x80b, false, Some(0)),
    (0x80d, true, None),
    (0x80f, true, Some(0x3ff)),
    (0x810, true, None),
    (0x81f, true, None),
    (0x827, true, None),
    (0x828, true, Some(0)),
    (0x832, true, Some(0x7_00ff)),
    (0x833, true, Some(0x1_07ff)),
    (0x834, true, Some(0x1_07ff)),
    (0x835, true, Some(0x1_a7ff)),
    (0x836, true, Some(0x1_a7ff)),
    (0x837, true, Some(0x1_00ff)),
    (0x838, true, Some(0xffff_ffff)),
    (0x839, true, None),
    (0x83e, true, Some(0xb)),
    (0x830, true, Some(0xffff_ffff_000c_dfff)),
    (0x83f, false, Some(0xff)),
];

#[test]
fn x2apic_reserved_bits_and_registers_are_gp() {
    for (number, readable, writable) in X2APIC {
        let mut rig = Rig::x2apic(0);
        assert_eq!(rig.rdmsr(number).is_some(), readable, "{number:#x}");
        let Some(bits) = writable else {
            assert!(!rig.wrmsr(number, 0), "{number:#x} is read-only");
            continue;
        };
        for bit in 0..64 {
            let allowed = bits >> bit & 1 != 0;
            assert_eq!(
                rig.wrmsr(number, 1 << bit),
                allowed,
                "{number:#x} bit {bit}"
            );
        }
        assert!(rig.wrmsr(number, 0), "{number:#x}");
    }
    let mut rig = Rig::x2apic(0);
    for number in 0x800..=0x8ff {
        let vectors = (0x810..=0x827).contains(&number);
        if !vectors && !X2APIC.iter().any(|row| row.0 == number) {
            assert_eq!(rig.rdmsr(number), None, "{number:#x}");
            assert!(!rig.wrmsr(number, 0), "{number:#x}");
        }
    }
}
