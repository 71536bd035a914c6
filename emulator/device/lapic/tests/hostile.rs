//! Whatever a guest does: no panic, no forbidden state, and the same again from a saved state.

use proptest::prelude::*;

use super::rig::{APIC_BASE, DISABLED, Rig, X2APIC, XAPIC};
use crate::arch::PhysAddr;
use crate::device::Device;
use crate::device::lapic::TscClock;

#[derive(Clone, Debug)]
enum Step {
    Read(u64, u8),
    Write(u64, u8, u64),
    Rdmsr(u32),
    Wrmsr(u32, u64),
    Raise(u8),
    Acknowledge,
    Cr8(u8),
    Clock(u32, u64),
    Wait(u64),
}

fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0u64..0x200,
        any::<u32>().prop_map(u64::from),
        (0u32..64).prop_map(|bit| 1 << bit),
    ]
}

fn msr() -> impl Strategy<Value = u32> {
    prop_oneof![0x800u32..0x900, Just(0x6e0), any::<u32>()]
}

fn step() -> impl Strategy<Value = Step> {
    let base = prop_oneof![Just(XAPIC), Just(X2APIC), Just(DISABLED), any::<u64>()];
    let offset = prop_oneof![
        (0u64..0x40).prop_map(|i| i * 16),
        0u64..0x1100,
        any::<u64>()
    ];
    let size = prop_oneof![8 => Just(4u8), 1 => any::<u8>()];
    prop_oneof![
        4 => (offset.clone(), size.clone()).prop_map(|(o, s)| Step::Read(o, s)),
        12 => (offset, size, value()).prop_map(|(o, s, v)| Step::Write(o, s, v)),
        2 => msr().prop_map(Step::Rdmsr),
        6 => (msr(), value()).prop_map(|(n, v)| Step::Wrmsr(n, v)),
        1 => base.prop_map(|v| Step::Wrmsr(APIC_BASE, v)),
        2 => any::<u8>().prop_map(Step::Raise),
        2 => Just(Step::Acknowledge),
        1 => any::<u8>().prop_map(Step::Cr8),
        1 => (any::<u32>(), any::<u64>()).prop_map(|(r, o)| Step::Clock(r, o)),
        3 => prop_oneof![0u64..100, any::<u64>()].prop_map(Step::Wait),
    ]
}

/// Does the step and gives what the guest sees of it.
fn act(rig: &mut Rig, step: &Step) -> Option<u64> {
    let base = rig.lapic.base() & !0xfff;
    match *step {
        Step::Read(offset, size) => {
            let at = PhysAddr(base.wrapping_add(offset));
            return Some(rig.with_ctx(|lapic, ctx| lapic.mmio_read(at, size, ctx)));
        }
        Step::Write(offset, size, value) => {
            let at = PhysAddr(base.wrapping_add(offset));
            rig.with_ctx(|lapic, ctx| lapic.mmio_write(at, size, value, ctx));
        }
        Step::Rdmsr(number) => return rig.rdmsr(number),
        Step::Wrmsr(number, value) => return Some(rig.wrmsr(number, value).into()),
        Step::Raise(vector) => {
            rig.raise(vector);
        }
        Step::Acknowledge => return Some(rig.lapic.acknowledge().0.into()),
        Step::Cr8(class) => rig.lapic.set_tpr(class),
        Step::Clock(rate, offset) => {
            let clock = TscClock { rate, offset };
            rig.with_ctx(|lapic, ctx| lapic.set_tsc_clock(clock, ctx));
        }
        Step::Wait(time) => {
            rig.now = rig.now.saturating_add(time);
            rig.with_ctx(|lapic, ctx| lapic.tick(ctx));
        }
    }
    None
}

proptest! {
    #[test]
    fn any_guest(
        before in prop::collection::vec(step(), 0..60),
        after in prop::collection::vec(step(), 0..60),
    ) {
        let mut rig = Rig::enabled();
        for step in &before {
            act(&mut rig, step);
            prop_assert_eq!(rig.lapic.irr.word(0) & 0xffff, 0);
            prop_assert_eq!(rig.lapic.isr.word(0) & 0xffff, 0);
            rig.with_ctx(|lapic, ctx| lapic.tick(ctx));
            prop_assert!(rig.lapic.next_deadline().is_none_or(|at| at > rig.now));
            let settled = rig.lapic.clone();
            rig.with_ctx(|lapic, ctx| lapic.tick(ctx));
            prop_assert_eq!(&settled, &rig.lapic, "a tick for nothing changes nothing");
        }
        let saved = rig.lapic.save();
        let now = rig.now;
        let run = |rig: &mut Rig| {
            rig.signals.clear();
            let seen: Vec<_> = after.iter().map(|step| act(rig, step)).collect();
            (seen, std::mem::take(&mut rig.signals))
        };
        let first = run(&mut rig);
        let end = rig.lapic.save();
        let mut again = Rig::reset();
        again.now = now;
        again.lapic.restore(&saved).unwrap();
        prop_assert_eq!(run(&mut again), first);
        prop_assert_eq!(again.lapic.save().to_json(), end.to_json());
        prop_assert_eq!(again.lapic.save(), end);
    }
}
