//! Who answers, what nobody answers, and that states go back and forth.

use proptest::prelude::*;

use super::*;
use crate::arch::{CpuModel, Vendor};
use crate::device::{Signal, Watchdog};
use crate::trace::Source;

fn config() -> LapicConfig {
    LapicConfig::of(&CpuModel::of(Vendor::Intel))
}

/// The default machine and a second watchdog at ports 0x600 and memory 0xfed00000.
fn bus() -> DeviceBus {
    let mut bus = DeviceBus::pc(config());
    let dog = Watchdog::new(0x600).with_memory(PhysAddr(0xfed0_0000));
    assert_eq!(bus.add(Box::new(dog)), Ok(()));
    bus
}

fn with<R>(
    bus: &mut DeviceBus,
    now: u64,
    act: impl FnOnce(&mut DeviceBus, &mut DeviceContext<'_>) -> R,
) -> (R, Vec<Signal>) {
    let mut signals = Vec::new();
    let result = act(bus, &mut DeviceContext::new(now, &mut signals));
    (result, signals)
}

#[test]
fn the_default_devices_do_not_collide() {
    // `pc` does not go through `add`; this does.
    let mut one_by_one = DeviceBus::new(config());
    for device in DeviceBus::pc(config()).devices {
        assert_eq!(one_by_one.add(device), Ok(()));
    }
    let owners = [0x80, 0xe9, 0xf4, 0xf7, 0x3f8, 0x3ff, 0x5f0, 0x5f3]
        .map(|port| one_by_one.port_owner(port, 1));
    let names = [
        "post",
        "debugcon",
        "debug-exit",
        "debug-exit",
        "serial",
        "serial",
        "watchdog",
        "watchdog",
    ];
    assert_eq!(owners, names.map(Some));
}

#[test]
fn unknown_ports_and_memory_are_nobodys() {
    let mut bus = bus();
    let ((), signals) = with(&mut bus, 0, |bus, ctx| {
        assert_eq!(bus.port_read(0x60, 1, ctx), None);
        assert_eq!(bus.port_write(0x60, 1, 1, ctx), None);
        assert_eq!(bus.mmio_read(PhysAddr(0xfec0_0000), 4, ctx), None);
        assert_eq!(bus.mmio_write(PhysAddr(u64::MAX), 8, 0, ctx), None);
    });
    assert_eq!(signals, []);
    assert_eq!(
        [0, 1, 2, 4, 8, 255].map(all_ones),
        [0, 0xff, 0xffff, 0xffff_ffff, u64::MAX, u64::MAX]
    );
}

#[test]
fn an_access_over_the_end_of_a_claim_is_nobodys() {
    let mut bus = bus();
    let ((), signals) = with(&mut bus, 0, |bus, ctx| {
        for (port, size) in [
            (0xe9, 2),
            (0xf6, 4),
            (0x3ff, 2),
            (0x7f, 2),
            (0xffff, 4),
            (0xf4, 3),
        ] {
            assert_eq!(bus.port_write(port, size, 1, ctx), None, "{port:#x}/{size}");
        }
        assert_eq!(bus.mmio_read(PhysAddr(0xfee0_0ffc), 8, ctx), None);
        assert_eq!(bus.mmio_read(PhysAddr(0xfedf_fffc), 8, ctx), None);
    });
    assert_eq!(signals, []);
}

#[test]
fn values_are_cut_to_the_size() {
    let mut bus = bus();
    let (read, signals) = with(&mut bus, 0, |bus, ctx| {
        bus.port_write(0xf4, 1, 0xffff_ff10, ctx);
        bus.port_read(0xe9, 1, ctx)
    });
    assert_eq!(
        (read, signals),
        (Some(0xe9), vec![Signal::Exit { value: 0x10 }])
    );
}

#[test]
fn a_second_claim_is_refused() {
    let mut bus = bus();
    let ports = bus.add(Box::new(Watchdog::new(0x3fc))).unwrap_err();
    assert_eq!(
        ports.to_string(),
        "device `watchdog` claims port 0x3fc, which `serial` has already"
    );
    let memory = bus
        .add(Box::new(
            Watchdog::new(0x700).with_memory(PhysAddr(0xfee0_0fff)),
        ))
        .unwrap_err();
    assert_eq!(memory.what, "memory at 0xfee00fff");
    assert_eq!((memory.owner, bus.port_owner(0x700, 1)), ("lapic", None));
}

#[test]
fn the_local_apic_goes_first_where_it_is_moved() {
    let mut bus = bus();
    let dog = PhysAddr(0xfed0_0000);
    assert_eq!(bus.mmio_owner(dog, 4), Some("watchdog"));
    assert!(bus.claims_frame(PhysAddr(0xfee0_0abc)) && bus.claims_frame(PhysAddr(0xfed0_0fff)));
    let (ok, _) = with(&mut bus, 0, |bus, ctx| {
        bus.lapic.msr_write(0x1b, dog.0 | 0x900, ctx)
    });
    assert!(ok);
    assert_eq!(bus.mmio_owner(dog, 4), Some("lapic"));
    assert!(!bus.claims_frame(PhysAddr(0xfee0_0000)));
}

#[test]
fn the_earliest_deadline_is_first_and_only_who_is_due_ticks() {
    let mut bus = bus();
    with(&mut bus, 100, |bus, ctx| {
        bus.mmio_write(PhysAddr(0xfed0_0000), 4, 50, ctx);
        bus.mmio_write(PhysAddr(0xfee0_00f0), 4, 0x1ff, ctx);
        bus.mmio_write(PhysAddr(0xfee0_0320), 4, 0x40, ctx);
        bus.mmio_write(PhysAddr(0xfee0_0380), 4, 20, ctx);
    });
    assert_eq!(bus.next_deadline(), Some(140), "divisor 2 after reset");
    let ((), signals) = with(&mut bus, 140, DeviceBus::tick);
    assert!(
        matches!(
            signals[..],
            [Signal::Irq {
                source: Source::Timer,
                ..
            }]
        ),
        "{signals:?}"
    );
    assert_eq!(bus.next_deadline(), Some(150));
    let ((), signals) = with(&mut bus, 150, DeviceBus::tick);
    assert_eq!(signals, [Signal::Nmi(Source::Device)]);
    assert_eq!(bus.next_deadline(), None);
}

#[test]
fn the_watchdog_of_the_default_machine_raises_an_nmi_exactly() {
    let mut bus = DeviceBus::pc(config());
    // As `out dx, eax` with EAX = 1 + 4 that begins at the boundary 100: it ends at 101, and the
    // fourth instruction after it at 105.
    let (done, _) = with(&mut bus, 100, |bus, ctx| bus.port_write(0x5f0, 4, 5, ctx));
    assert_eq!((done, bus.next_deadline()), (Some(()), Some(105)));
    let ((), early) = with(&mut bus, 104, DeviceBus::tick);
    let ((), due) = with(&mut bus, 105, DeviceBus::tick);
    assert_eq!((early, due), (vec![], vec![Signal::Nmi(Source::Device)]));
}

#[test]
fn devices_are_found_by_type() {
    let mut bus = bus();
    bus.device_mut::<Uart16550>().unwrap().type_in(b"k");
    let (byte, _) = with(&mut bus, 0, |bus, ctx| bus.port_read(0x3f8, 1, ctx));
    assert_eq!(byte, Some(u32::from(b'k')));
    assert!(DeviceBus::new(config()).device::<Uart16550>().is_none());
}

#[test]
fn snapshots_go_back_and_foreign_ones_are_refused() {
    let mut bus = bus();
    let before = bus.save();
    let fork = bus.clone();
    with(&mut bus, 5, |bus, ctx| bus.port_write(0x3ff, 1, 0x5a, ctx));
    assert_ne!(bus.save(), before);
    assert_eq!(fork.save(), before);
    assert_eq!(bus.restore(&before), Ok(()));
    assert_eq!(bus.save(), before);
    assert_eq!(
        bus.save().to_json().to_string(),
        before.to_json().to_string()
    );
    let other = DeviceBus::pc(config());
    assert!(bus.restore(&other.save()).is_err());
    assert_eq!(bus.save(), before);
}

proptest! {
    #[test]
    fn any_guest(
        steps in prop::collection::vec(
            (any::<bool>(), prop_oneof![any::<u16>(), 0x3f0u16..0x400, 0x80u16..0x100, 0x5efu16..0x605], any::<u8>(), any::<u32>()),
            0..300,
        ),
        split in 0usize..300,
    ) {
        let run = |bus: &mut DeviceBus, steps: &[(bool, u16, u8, u32)]| {
            with(bus, 7, |bus, ctx| {
                steps
                    .iter()
                    .map(|&(write, port, size, value)| {
                        let size = if size < 0xc0 { 1 << (size & 3) } else { size };
                        if write {
                            bus.port_write(port, size, value, ctx).map(|()| 0)
                        } else {
                            bus.port_read(port, size, ctx)
                        }
                    })
                    .collect::<Vec<_>>()
            })
        };
        let (head, tail) = steps.split_at(split.min(steps.len()));
        let mut first = bus();
        run(&mut first, head);
        let saved = first.save();
        let seen = run(&mut first, tail);
        let mut second = bus();
        second.restore(&saved).unwrap();
        prop_assert_eq!(run(&mut second, tail), seen);
        prop_assert_eq!(second.save(), first.save());
    }
}
