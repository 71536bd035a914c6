//! "x2APIC State Transitions" and "Enabling or Disabling the Local APIC".

use super::rig::{APIC_BASE, DISABLED, MASKED, Rig, X2APIC, XAPIC, reg};
use crate::arch::{CpuModel, PhysAddr, Vendor};
use crate::device::lapic::{LapicConfig, Mode};
use crate::device::{Concern, Device};

/// EN = 0 with EXTD = 1.
const INVALID: u64 = 0xfee0_0500;

#[test]
fn transitions() {
    // Figure "Local x2APIC State Transitions with IA32_APIC_BASE, INIT, and Reset".
    let way: [(&[u64], u64, bool); 12] = [
        (&[], DISABLED, true),
        (&[], XAPIC, true),
        (&[], X2APIC, true),
        (&[], INVALID, false),
        (&[X2APIC], DISABLED, true),
        (&[X2APIC], XAPIC, false),
        (&[X2APIC], X2APIC, true),
        (&[X2APIC], INVALID, false),
        (&[DISABLED], DISABLED, true),
        (&[DISABLED], XAPIC, true),
        (&[DISABLED], X2APIC, false),
        (&[DISABLED], INVALID, false),
    ];
    for (path, last, allowed) in way {
        let mut rig = Rig::reset();
        assert_eq!(rig.rdmsr(APIC_BASE), Some(XAPIC));
        for step in path {
            assert!(rig.wrmsr(APIC_BASE, *step));
        }
        let before = rig.lapic.clone();
        assert_eq!(rig.wrmsr(APIC_BASE, last), allowed, "{path:x?} {last:#x}");
        if allowed {
            assert_eq!(rig.rdmsr(APIC_BASE), Some(last));
        } else {
            assert_eq!(rig.lapic, before, "#GP changes nothing");
        }
    }
}

#[test]
fn reserved_bits_of_the_base() {
    let mut config = LapicConfig::of(&CpuModel::of(Vendor::Intel));
    config.maxphyaddr = 40;
    config.x2apic = false;
    let mut rig = Rig::with(config);
    for bit in (0..8).chain([9, 10]).chain(40..64) {
        assert!(!rig.wrmsr(APIC_BASE, XAPIC | 1 << bit), "bit {bit}");
    }
    assert!(
        rig.wrmsr(APIC_BASE, 0xff_ffff_f800),
        "any base within MAXPHYADDR, BSP is writable"
    );
}

#[test]
fn the_page_moves_and_goes() {
    let mut rig = Rig::reset();
    assert_eq!(
        rig.lapic.mmio(),
        std::slice::from_ref(&(0xfee0_0000..0xfee0_1000))
    );
    assert!(rig.wrmsr(APIC_BASE, 0x1_2345_6900));
    assert_eq!(
        rig.lapic.mmio(),
        std::slice::from_ref(&(0x1_2345_6000..0x1_2345_7000))
    );
    rig.write(reg::TPR, 0x20);
    assert_eq!(rig.read(reg::TPR), 0x20);
    let old = PhysAddr(0xfee0_0080);
    assert_eq!(rig.with_ctx(|l, ctx| l.mmio_read(old, 4, ctx)), u64::MAX);
    assert!(rig.wrmsr(APIC_BASE, X2APIC));
    assert_eq!(rig.lapic.mmio(), []);
    assert!(rig.wrmsr(APIC_BASE, DISABLED));
    assert_eq!(rig.lapic.mmio(), []);
}

#[test]
fn disabling_loses_the_state() {
    // "When IA32_APIC_BASE[11] is set to 0, prior initialization to the APIC may be lost".
    let mut rig = Rig::enabled();
    rig.raise(0x51);
    rig.write(reg::TPR, 0x20);
    assert!(rig.wrmsr(APIC_BASE, DISABLED));
    assert_eq!(rig.pending(), None);
    assert_eq!(rig.raise(0x51), crate::device::lapic::Acceptance::Disabled);
    assert!(rig.wrmsr(APIC_BASE, XAPIC));
    assert_eq!(rig.lapic, Rig::reset().lapic);
}

#[test]
fn entering_x2apic_keeps_all_but_ids_and_destination() {
    // "State Changes From xAPIC Mode to x2APIC Mode".
    let mut config = LapicConfig::of(&CpuModel::of(Vendor::Intel));
    config.id = 0x1234_5678;
    let mut rig = Rig::with(config);
    assert_eq!(rig.read(reg::ID), 0x7800_0000);
    rig.write(reg::SVR, 0x1ef);
    rig.write(reg::TPR, 0x30);
    rig.write(reg::LVT_LINT0, 0x700 | MASKED);
    rig.write(reg::LDR, 0x1000_0000);
    rig.write(reg::ICR_HIGH, 0x5500_0000);
    rig.raise(0x51);
    rig.raise(0x61);
    rig.lapic.acknowledge();
    assert!(rig.wrmsr(APIC_BASE, X2APIC));
    assert_eq!(rig.lapic.mode(), Mode::X2Apic);
    assert_eq!(rig.rdmsr(0x802), Some(0x1234_5678));
    assert_eq!(rig.rdmsr(0x808), Some(0x30));
    assert_eq!(rig.rdmsr(0x80a), Some(0x60));
    assert_eq!(rig.rdmsr(0x80d), Some(0x4567_0100), "ID 19:4, bit 8");
    assert_eq!(rig.rdmsr(0x80f), Some(0x1ef));
    assert_eq!(rig.rdmsr(0x813), Some(1 << 1), "ISR 0x61");
    assert_eq!(rig.rdmsr(0x822), Some(1 << 17), "IRR 0x51");
    assert_eq!(rig.rdmsr(0x830), Some(0));
    assert_eq!(rig.rdmsr(0x835), Some(0x1_0700));
}

#[test]
fn x2apic_msrs_exist_in_x2apic_mode_only() {
    let mut rig = Rig::reset();
    for mode in [XAPIC, DISABLED] {
        assert!(rig.wrmsr(APIC_BASE, mode));
        for number in 0x800..0x900 {
            assert_eq!(rig.rdmsr(number), None);
            assert!(!rig.wrmsr(number, 0));
        }
    }
    assert_eq!(rig.rdmsr(0x1a), None, "not an MSR of the APIC");
    assert_eq!(rig.reports(), [] as [Concern; 0]);
}
