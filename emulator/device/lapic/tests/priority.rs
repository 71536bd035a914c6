//! "Handling Interrupts": acceptance, priority, EOI, spurious vectors.

use proptest::prelude::*;

use super::rig::{Rig, reg};
use crate::arch::Vector;
use crate::device::lapic::Acceptance;

#[test]
fn an_interrupt_goes_from_irr_to_isr_to_nothing() {
    let mut rig = Rig::enabled();
    assert_eq!(rig.raise(0x41), Acceptance::Accepted);
    assert_eq!(rig.read(reg::IRR + 0x20), 1 << 1);
    assert_eq!(rig.pending(), Some(0x41));
    assert_eq!(rig.lapic.acknowledge(), Vector(0x41));
    assert_eq!(
        (rig.read(reg::IRR + 0x20), rig.read(reg::ISR + 0x20)),
        (0, 2)
    );
    assert_eq!(rig.read(reg::PPR), 0x40);
    rig.write(reg::EOI, 0);
    assert_eq!((rig.read(reg::ISR + 0x20), rig.read(reg::PPR)), (0, 0));
}

#[test]
fn a_vector_waits_twice_at_most() {
    // "Fixed Interrupt Acceptance": one in ISR, one in IRR.
    let mut rig = Rig::enabled();
    rig.raise(0x41);
    rig.lapic.acknowledge();
    assert_eq!(rig.raise(0x41), Acceptance::Accepted);
    assert_eq!(rig.raise(0x41), Acceptance::Merged);
    assert_eq!(
        rig.pending(),
        None,
        "the same class does not interrupt itself"
    );
    rig.write(reg::EOI, 0);
    assert_eq!(rig.pending(), Some(0x41));
}

#[test]
fn higher_classes_nest_and_eoi_ends_the_innermost() {
    let mut rig = Rig::enabled();
    rig.raise(0x35);
    assert_eq!(rig.lapic.acknowledge(), Vector(0x35));
    rig.raise(0x3f);
    assert_eq!(rig.pending(), None, "0x3f is of the class in service");
    rig.raise(0x80);
    rig.raise(0x90);
    assert_eq!(rig.lapic.acknowledge(), Vector(0x90));
    assert_eq!(rig.pending(), None);
    rig.write(reg::EOI, 0);
    assert_eq!(rig.read(reg::PPR), 0x30);
    assert_eq!(rig.lapic.acknowledge(), Vector(0x80));
    rig.write(reg::EOI, 0);
    assert_eq!(rig.pending(), None);
    rig.write(reg::EOI, 0);
    assert_eq!(rig.lapic.acknowledge(), Vector(0x3f));
}

#[test]
fn tpr_holds_its_class_and_those_below() {
    let mut rig = Rig::enabled();
    rig.raise(0x5f);
    rig.write(reg::TPR, 0x4f);
    assert_eq!((rig.read(reg::PPR), rig.pending()), (0x4f, Some(0x5f)));
    rig.write(reg::TPR, 0x50);
    assert_eq!((rig.read(reg::PPR), rig.pending()), (0x50, None));
    rig.raise(0x60);
    assert_eq!(rig.pending(), Some(0x60));
    rig.write(reg::TPR, 0xff);
    assert_eq!(rig.pending(), None);
}

#[test]
fn cr8_is_the_class_of_tpr() {
    // "Interaction of Task Priorities between CR8 and APIC".
    let mut rig = Rig::enabled();
    rig.write(reg::TPR, 0x5a);
    assert_eq!(rig.lapic.tpr(), 5);
    rig.lapic.set_tpr(9);
    assert_eq!(rig.read(reg::TPR), 0x90);
}

#[test]
fn an_interrupt_that_tpr_takes_back_is_spurious() {
    // "Spurious Interrupt": the vector of SVR, no ISR bit, so no EOI.
    let mut rig = Rig::enabled();
    rig.write(reg::SVR, 0x1ef);
    rig.raise(0x51);
    rig.write(reg::TPR, 0x50);
    assert_eq!(rig.lapic.acknowledge(), Vector(0xef));
    assert_eq!(rig.read(reg::ISR + 0x70), 0);
    rig.write(reg::TPR, 0);
    assert_eq!(rig.lapic.acknowledge(), Vector(0x51));
}

#[test]
fn eoi_with_nothing_in_service_does_nothing() {
    let mut rig = Rig::enabled();
    rig.raise(0x51);
    let before = rig.lapic.clone();
    rig.write(reg::EOI, 0);
    assert_eq!(rig.lapic, before);
}

#[test]
fn vectors_below_16_are_errors_and_never_in_irr() {
    // "Error Handling", receive illegal vector.
    let mut rig = Rig::enabled();
    for vector in 0..16 {
        assert_eq!(rig.raise(vector), Acceptance::IllegalVector);
        assert_eq!(rig.esr(), 0x40);
    }
    assert_eq!(rig.read(reg::IRR), 0);
    assert_eq!(rig.raise(16), Acceptance::Accepted);
    assert_eq!(
        rig.pending(),
        Some(16),
        "class 1 is the lowest that can be taken"
    );
}

#[test]
fn software_disabled_accepts_nothing_but_delivers_what_it_has() {
    // "Local APIC State After It Has Been Software Disabled".
    let mut rig = Rig::enabled();
    rig.raise(0x51);
    rig.write(reg::SVR, 0xff);
    assert_eq!(rig.raise(0x61), Acceptance::Disabled);
    assert_eq!(rig.pending(), Some(0x51));
}

/// The manual's words for PPR and for what may interrupt, written over plain lists.
fn oracle(irr: &[u8], isr: &[u8], tpr: u8) -> (u8, Option<u8>) {
    let class = |v: u8| v / 16;
    let isrv = isr.iter().copied().max().unwrap_or(0);
    let ppr = if class(tpr) >= class(isrv) {
        tpr
    } else {
        class(isrv) * 16
    };
    let irrv = irr.iter().copied().max();
    (ppr, irrv.filter(|v| class(*v) > class(ppr)))
}

proptest! {
    #[test]
    fn priorities_agree_with_the_definition(
        steps in prop::collection::vec((0u8..5, 16u8..=255), 1..200),
    ) {
        let mut rig = Rig::enabled();
        let (mut irr, mut isr, mut tpr) = (Vec::new(), Vec::<u8>::new(), 0);
        for (what, value) in steps {
            match what {
                0 | 1 => {
                    rig.raise(value);
                    irr.retain(|v| *v != value);
                    irr.push(value);
                }
                2 => {
                    tpr = value;
                    rig.write(reg::TPR, value.into());
                }
                3 => {
                    let expected = oracle(&irr, &isr, tpr).1;
                    if let Some(vector) = expected {
                        irr.retain(|v| *v != vector);
                        isr.push(vector);
                    }
                    prop_assert_eq!(rig.lapic.acknowledge().0, expected.unwrap_or(0xff));
                }
                _ => {
                    let done = isr.iter().copied().max();
                    isr.retain(|v| Some(*v) != done);
                    rig.write(reg::EOI, 0);
                }
            }
            let (ppr, pending) = oracle(&irr, &isr, tpr);
            prop_assert_eq!(rig.read(reg::PPR), u32::from(ppr));
            prop_assert_eq!(rig.pending(), pending);
        }
    }
}
