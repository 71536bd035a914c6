//! "Issuing Interprocessor Interrupts" and "Error Handling".

use super::rig::{MASKED, Rig, reg};
use crate::arch::{CpuModel, Vendor};
use crate::device::lapic::LapicConfig;
use crate::device::{Concern, Signal};
use crate::trace::Source;

const LOGICAL: u32 = 1 << 11;
const ASSERT: u32 = 1 << 14;
const NMI: u32 = 4 << 8;
const TO_SELF: u32 = 1 << 18;
const ALL: u32 = 2 << 18;
const OTHERS: u32 = 3 << 18;

fn send(rig: &mut Rig, destination: u32, low: u32) -> Vec<Signal> {
    rig.write(reg::ICR_HIGH, destination << 24);
    rig.write(reg::ICR, low | ASSERT);
    std::mem::take(&mut rig.signals)
}

fn irq(vector: u8) -> Vec<Signal> {
    vec![Signal::Irq {
        vector: crate::arch::Vector(vector),
        source: Source::Apic,
    }]
}

fn is_absent(signals: &[Signal]) -> bool {
    matches!(
        signals,
        [Signal::Report {
            concern: Concern::Absent,
            ..
        }]
    )
}

#[test]
fn fixed_reaches_itself_by_every_destination() {
    let mut rig = Rig::enabled();
    assert_eq!(send(&mut rig, 0, 0x51), irq(0x51), "physical ID 0");
    assert_eq!(send(&mut rig, 0xff, 0x52), irq(0x52), "physical broadcast");
    assert_eq!(send(&mut rig, 9, 0x53 | TO_SELF), irq(0x53));
    assert_eq!(send(&mut rig, 9, 0x54 | ALL), irq(0x54));
    assert!(is_absent(&send(&mut rig, 9, 0x55)));
    assert!(is_absent(&send(&mut rig, 0, 0x56 | OTHERS)));
    assert_eq!(
        rig.read(reg::ICR),
        0x56 | OTHERS | ASSERT,
        "idle as soon as sent"
    );
    assert_eq!(rig.pending(), Some(0x54));
}

#[test]
fn logical_destinations() {
    // "Logical Destination Mode": flat by mask, cluster by ID and mask.
    let mut rig = Rig::enabled();
    assert!(
        is_absent(&send(&mut rig, 1, 0x51 | LOGICAL)),
        "LDR is 0 after reset"
    );
    rig.write(reg::LDR, 0x21 << 24);
    assert_eq!(send(&mut rig, 0x20, 0x51 | LOGICAL), irq(0x51));
    assert_eq!(send(&mut rig, 0x41, 0x52 | LOGICAL), irq(0x52));
    assert!(is_absent(&send(&mut rig, 0x42, 0x53 | LOGICAL)));
    rig.write(reg::DFR, 0);
    assert_eq!(rig.read(reg::DFR), 0x0fff_ffff);
    assert_eq!(send(&mut rig, 0x23, 0x54 | LOGICAL), irq(0x54));
    assert!(
        is_absent(&send(&mut rig, 0x31, 0x55 | LOGICAL)),
        "another cluster"
    );
    assert!(
        is_absent(&send(&mut rig, 0x22, 0x56 | LOGICAL)),
        "another one of the cluster"
    );
    assert_eq!(send(&mut rig, 0xff, 0x57 | LOGICAL), irq(0x57));
}

#[test]
fn nmi_ignores_vector_and_software_enable() {
    let nmi = [Signal::Nmi(Source::Apic)];
    let mut rig = Rig::reset();
    assert_eq!(send(&mut rig, 0, NMI), nmi);
    assert_eq!(send(&mut rig, 0, NMI | 0x02), nmi);
    assert_eq!(rig.esr(), 0, "the vector is not looked at");
    let by_shorthand = send(&mut rig, 0, NMI | TO_SELF);
    assert!(
        matches!(
            &by_shorthand[..],
            [
                Signal::Report {
                    concern: Concern::Violation,
                    ..
                },
                Signal::Nmi(Source::Apic)
            ]
        ),
        "an invalid combination by table \"Valid Combinations\": {by_shorthand:?}"
    );
    assert!(is_absent(&send(&mut rig, 0, NMI | OTHERS)));
}

#[test]
fn fixed_to_itself_while_software_disabled_is_not_accepted() {
    let mut rig = Rig::reset();
    assert!(is_absent(&send(&mut rig, 0, 0x51)));
    assert_eq!(rig.read(reg::IRR + 0x20), 0);
}

#[test]
fn modes_that_one_processor_has_no_use_for() {
    let mut rig = Rig::enabled();
    // INIT level de-assert.
    rig.write(reg::ICR, 5 << 8 | 1 << 15);
    assert_eq!(rig.signals, []);
    // Start-up, to itself.
    assert!(is_absent(&send(&mut rig, 0, 6 << 8 | 8)));
    for (mode, concern) in [
        (2, Concern::NotModelled),
        (3, Concern::Violation),
        (5, Concern::NotModelled),
        (7, Concern::Violation),
    ] {
        rig.write(reg::ICR, mode << 8 | ASSERT);
        assert_eq!(rig.reports(), [concern], "delivery mode {mode}");
    }
}

#[test]
fn illegal_vectors_and_lowest_priority_are_errors() {
    let mut rig = Rig::enabled();
    assert_eq!(send(&mut rig, 0, 0x0f), []);
    assert_eq!(rig.esr(), 0x20, "send illegal vector");
    assert_eq!(send(&mut rig, 0, 0x0f | TO_SELF), []);
    assert_eq!(rig.esr(), 0x60, "sent and received");
    assert_eq!(send(&mut rig, 0, 0x0f | 1 << 8), []);
    assert_eq!(rig.esr(), 0x10, "only redirectable IPI");
    assert_eq!(rig.read(reg::IRR), 0);
}

#[test]
fn esr_shows_what_came_since_the_write_before() {
    let mut rig = Rig::enabled();
    send(&mut rig, 0, 1);
    assert_eq!(rig.read(reg::ESR), 0, "not before a write");
    rig.write(reg::ESR, 0xffff_ffff);
    assert_eq!(
        rig.read(reg::ESR),
        0x20,
        "the value written does not matter"
    );
    assert_eq!(rig.esr(), 0, "back-to-back writes clear it");
}

#[test]
fn the_error_interrupt_comes_once_until_esr_is_written() {
    let mut rig = Rig::enabled();
    rig.write(reg::LVT_ERROR, 0xfe);
    assert_eq!(send(&mut rig, 0, 1), irq(0xfe));
    rig.lapic.acknowledge();
    rig.write(reg::EOI, 0);
    assert_eq!(send(&mut rig, 0, 1), []);
    rig.write(reg::ESR, 0);
    assert_eq!(send(&mut rig, 0, 1), irq(0xfe));
    // Masked: collected, not raised.
    rig.write(reg::ESR, 0);
    rig.write(reg::LVT_ERROR, 0xfe | MASKED);
    assert_eq!(send(&mut rig, 0, 1), []);
    assert_eq!(rig.esr(), 0x20);
    // An error entry that is itself illegal ends there.
    rig.write(reg::LVT_ERROR, 0x03);
    assert_eq!(send(&mut rig, 0, 1), []);
    assert_eq!(rig.esr(), 0x60);
}

#[test]
fn x2apic_icr_is_one_write() {
    let mut rig = Rig::x2apic(0x123);
    assert!(rig.wrmsr(0x830, 0x123 << 32 | 0x4051));
    assert_eq!(rig.irqs(), [(0x51, Source::Apic)]);
    assert_eq!(rig.rdmsr(0x830), Some(0x123 << 32 | 0x4051));
    assert!(rig.wrmsr(0x830, 0xffff_ffff << 32 | 0x4052), "broadcast");
    assert_eq!(rig.irqs(), [(0x52, Source::Apic)]);
    assert!(
        rig.wrmsr(0x830, 0x23 << 32 | 0x4053),
        "the xAPIC ID is not it"
    );
    assert_eq!(rig.reports(), [Concern::Absent]);
    // Logical: cluster 0x12, bit 3.
    assert_eq!(rig.rdmsr(0x80d), Some(0x0012_0008));
    assert!(rig.wrmsr(0x830, 0x0012_000c << 32 | 0x4854));
    assert_eq!(rig.irqs(), [(0x54, Source::Apic)]);
    for other in [0x0012_0004, 0x0013_0008] {
        assert!(rig.wrmsr(0x830, other << 32 | 0x4855));
        assert_eq!(rig.reports(), [Concern::Absent]);
    }
}

#[test]
fn x2apic_icr_checks_reserved_bits() {
    let amd = LapicConfig::of(&CpuModel::of(Vendor::Amd));
    let mut amd = Rig::with(amd);
    assert!(amd.wrmsr(0x1b, super::rig::X2APIC));
    let mut intel = Rig::x2apic(0);
    for bit in [13, 16, 17, 20, 31] {
        assert!(!intel.wrmsr(0x830, 0x51 | 1 << bit), "bit {bit}");
        assert!(!amd.wrmsr(0x830, 0x51 | 1 << bit), "bit {bit}");
    }
    assert!(!amd.wrmsr(0x830, 0x1051), "delivery status");
    assert!(intel.wrmsr(0x830, 0x1051));
    assert_eq!(intel.rdmsr(0x830), Some(0x51));
}

#[test]
fn self_ipi() {
    let mut rig = Rig::x2apic(5);
    assert!(rig.wrmsr(0x83f, 0x51));
    assert_eq!(rig.irqs(), [(0x51, Source::Apic)]);
    assert_eq!(rig.rdmsr(0x83f), None, "write-only");
    assert!(!rig.wrmsr(0x83f, 0x151), "reserved bits");
    assert!(rig.wrmsr(0x83f, 0x0f));
    assert!(rig.wrmsr(0x828, 0));
    assert_eq!(rig.rdmsr(0x828), Some(0x60));
}
