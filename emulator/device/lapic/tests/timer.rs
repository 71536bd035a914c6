//! "APIC Timer" and "TSC-Deadline Mode".

use super::rig::{APIC_BASE, DISABLED, MASKED, Rig, XAPIC, reg};
use crate::arch::{CpuModel, Vendor};
use crate::device::Device;
use crate::device::lapic::{LapicConfig, TscClock};

const PERIODIC: u32 = 1 << 17;
const DEADLINE: u32 = 2 << 17;
const TSC_DEADLINE: u32 = 0x6e0;

#[test]
fn one_shot_fires_once_and_exactly() {
    let mut rig = Rig::enabled();
    rig.write(reg::LVT_TIMER, 0x40);
    rig.write(reg::INITIAL, 10);
    rig.now = 1009;
    rig.with_ctx(|lapic, ctx| lapic.tick(ctx));
    assert_eq!((rig.irqs().len(), rig.read(reg::CURRENT)), (0, 1));
    assert_eq!(rig.run_to(5000), [(1010, 0x40)]);
    assert_eq!(rig.read(reg::CURRENT), 0);
    assert_eq!(rig.read(reg::INITIAL), 10);
    assert_eq!(rig.lapic.next_deadline(), None);
}

#[test]
fn periodic_fires_at_every_multiple() {
    let mut rig = Rig::enabled();
    rig.write(reg::LVT_TIMER, 0x40 | PERIODIC);
    rig.write(reg::INITIAL, 10);
    assert_eq!(rig.run_to(1035), [(1010, 0x40), (1020, 0x40), (1030, 0x40)]);
    assert_eq!(rig.read(reg::CURRENT), 5);
    rig.write(reg::INITIAL, 0);
    assert_eq!(rig.run_to(9999), [], "a write of 0 stops it");
    assert_eq!(rig.read(reg::CURRENT), 0);
}

#[test]
fn the_divisor_scales_the_period() {
    let mut rig = Rig::enabled();
    rig.write(reg::DIVIDE, 0b0011);
    rig.write(reg::LVT_TIMER, 0x40 | PERIODIC);
    rig.write(reg::INITIAL, 10);
    assert_eq!(rig.run_to(1320), [(1160, 0x40), (1320, 0x40)]);
}

#[test]
fn masked_the_timer_counts_and_is_silent() {
    let mut rig = Rig::enabled();
    rig.write(reg::LVT_TIMER, 0x40 | MASKED);
    rig.write(reg::INITIAL, 10);
    assert_eq!(rig.lapic.next_deadline(), None);
    rig.now = 1004;
    assert_eq!(rig.read(reg::CURRENT), 6);
    rig.now = 1020;
    rig.write(reg::LVT_TIMER, 0x40);
    assert_eq!(rig.irqs(), [], "what expired while masked is lost");
    assert_eq!(rig.lapic.next_deadline(), None);

    rig.write(reg::LVT_TIMER, 0x40 | PERIODIC | MASKED);
    rig.write(reg::INITIAL, 10);
    rig.now = 1045;
    rig.write(reg::LVT_TIMER, 0x40 | PERIODIC);
    assert_eq!(rig.run_to(1060), [(1050, 0x40), (1060, 0x40)]);
}

#[test]
fn a_new_initial_count_starts_anew() {
    let mut rig = Rig::enabled();
    rig.write(reg::LVT_TIMER, 0x40);
    rig.write(reg::INITIAL, 10);
    rig.now = 1009;
    rig.write(reg::INITIAL, 10);
    assert_eq!(rig.run_to(2000), [(1019, 0x40)]);
}

#[test]
fn one_shot_and_periodic_change_without_touching_the_count() {
    let mut rig = Rig::enabled();
    rig.write(reg::LVT_TIMER, 0x40);
    rig.write(reg::INITIAL, 100);
    rig.now = 1060;
    rig.write(reg::LVT_TIMER, 0x40 | PERIODIC);
    assert_eq!(rig.read(reg::CURRENT), 40);
    assert_eq!(rig.run_to(1250), [(1100, 0x40), (1200, 0x40)]);
    rig.write(reg::LVT_TIMER, 0x40);
    assert_eq!(rig.read(reg::CURRENT), 50);
    assert_eq!(rig.run_to(9000), [(1300, 0x40)]);
    rig.write(reg::LVT_TIMER, 0x40 | PERIODIC);
    assert_eq!(rig.read(reg::CURRENT), 0, "stays at zero");
}

#[test]
fn a_late_look_raises_one_interrupt_for_many_periods() {
    let mut rig = Rig::enabled();
    rig.write(reg::LVT_TIMER, 0x40 | PERIODIC);
    rig.write(reg::INITIAL, 1);
    rig.now = u64::MAX / 2;
    rig.with_ctx(|lapic, ctx| lapic.tick(ctx));
    assert_eq!(rig.irqs().len(), 1);
    assert_eq!(rig.lapic.next_deadline(), Some(rig.now + 1));
}

#[test]
fn an_illegal_vector_is_an_error_when_it_fires() {
    let mut rig = Rig::enabled();
    rig.write(reg::LVT_TIMER, 0x0f);
    rig.write(reg::INITIAL, 10);
    assert_eq!(rig.run_to(1020), []);
    assert_eq!(rig.esr(), 0x40);
}

#[test]
fn disabling_masks_and_the_mask_stays_until_enabled() {
    let mut rig = Rig::enabled();
    rig.write(reg::LVT_TIMER, 0x40);
    rig.write(reg::INITIAL, 10);
    rig.write(reg::SVR, 0xff);
    assert_eq!(rig.read(reg::LVT_TIMER), 0x40 | MASKED);
    rig.write(reg::LVT_TIMER, 0x41);
    assert_eq!(rig.read(reg::LVT_TIMER), 0x41 | MASKED);
    rig.write(reg::SVR, 0x1ff);
    assert_eq!(
        rig.read(reg::LVT_TIMER),
        0x41 | MASKED,
        "enabling does not unmask"
    );
    rig.write(reg::LVT_TIMER, 0x41);
    assert_eq!(
        rig.run_to(1010),
        [(1010, 0x41)],
        "it has counted all the time"
    );
}

#[test]
fn an_expiry_before_disabling_is_not_lost() {
    let mut rig = Rig::enabled();
    rig.write(reg::LVT_TIMER, 0x40);
    rig.write(reg::INITIAL, 10);
    rig.now = 1010;
    rig.write(reg::SVR, 0xff);
    assert_eq!(rig.pending(), Some(0x40));
}

#[test]
fn tsc_deadline_fires_when_the_tsc_is_there_and_disarms() {
    let mut rig = Rig::enabled();
    rig.write(reg::LVT_TIMER, 0x40 | DEADLINE);
    assert!(rig.wrmsr(TSC_DEADLINE, 1234));
    assert_eq!(rig.rdmsr(TSC_DEADLINE), Some(1234));
    assert_eq!(rig.run_to(5000), [(1234, 0x40)]);
    assert_eq!(rig.rdmsr(TSC_DEADLINE), Some(0));
    // In the past: at once.
    assert!(rig.wrmsr(TSC_DEADLINE, 4999));
    assert_eq!(rig.pending(), Some(0x40));
    assert_eq!(rig.rdmsr(TSC_DEADLINE), Some(0));
}

#[test]
fn tsc_deadline_of_zero_disarms() {
    let mut rig = Rig::enabled();
    rig.write(reg::LVT_TIMER, 0x40 | DEADLINE);
    assert!(rig.wrmsr(TSC_DEADLINE, 1234));
    assert!(rig.wrmsr(TSC_DEADLINE, 0));
    assert_eq!(rig.run_to(5000), []);
}

#[test]
fn tsc_deadline_follows_writes_to_the_tsc() {
    let mut rig = Rig::enabled();
    rig.write(reg::LVT_TIMER, 0x40 | DEADLINE);
    assert!(rig.wrmsr(TSC_DEADLINE, 2000));
    let clock = TscClock {
        rate: 3,
        offset: 1000u64.wrapping_sub(3 * 1000),
    };
    rig.with_ctx(|lapic, ctx| lapic.set_tsc_clock(clock, ctx));
    // TSC is 1000 at 1000 and gains 3 a step: not below 2000 first at 1334.
    assert_eq!(rig.run_to(9000), [(1334, 0x40)]);
}

#[test]
fn the_two_ways_of_counting_exclude_each_other() {
    let mut rig = Rig::enabled();
    rig.write(reg::LVT_TIMER, 0x40);
    assert!(rig.wrmsr(TSC_DEADLINE, 1234), "ignored, not refused");
    assert_eq!(rig.rdmsr(TSC_DEADLINE), Some(0));
    rig.write(reg::INITIAL, 10);
    rig.write(reg::LVT_TIMER, 0x40 | DEADLINE);
    assert_eq!(
        (rig.read(reg::CURRENT), rig.lapic.next_deadline()),
        (0, None)
    );
    rig.write(reg::INITIAL, 20);
    assert_eq!(rig.read(reg::INITIAL), 10, "writes are ignored");
    assert!(rig.wrmsr(TSC_DEADLINE, 1234));
    rig.write(reg::LVT_TIMER, 0x40 | PERIODIC);
    assert_eq!(rig.rdmsr(TSC_DEADLINE), Some(0));
    assert_eq!(rig.run_to(5000), []);
}

#[test]
fn without_the_feature_there_is_no_deadline_mode() {
    let mut rig = Rig::with(LapicConfig::of(&CpuModel::of(Vendor::Amd)));
    rig.write(reg::SVR, 0x1ff);
    rig.write(reg::LVT_TIMER, 0x40 | DEADLINE);
    assert_eq!(rig.read(reg::LVT_TIMER), 0x40);
    assert_eq!(rig.rdmsr(TSC_DEADLINE), None);
    assert!(!rig.wrmsr(TSC_DEADLINE, 1));
}

#[test]
fn a_global_disable_forgets_the_timer() {
    let mut rig = Rig::enabled();
    rig.write(reg::LVT_TIMER, 0x40 | DEADLINE);
    assert!(rig.wrmsr(TSC_DEADLINE, 1234));
    assert!(rig.wrmsr(APIC_BASE, DISABLED));
    assert_eq!(
        (rig.rdmsr(TSC_DEADLINE), rig.lapic.next_deadline()),
        (Some(0), None)
    );
    assert!(rig.wrmsr(APIC_BASE, XAPIC));
    assert_eq!(rig.read(reg::LVT_TIMER), MASKED);
}
