use super::*;
use crate::schedule::{SymbolResolver, resolve};

struct Image;

impl SymbolResolver for Image {
    fn resolve(&self, name: &str) -> Option<VirtAddr> {
        match name {
            "main" => Some(VirtAddr(0x1000)),
            "nmi_entry" => Some(VirtAddr(0x2000)),
            _ => None,
        }
    }
}

fn schedule(texts: &[&str]) -> ScheduleState {
    ScheduleState::new(
        texts
            .iter()
            .map(|t| resolve(t.parse().expect("an injection"), &Image).expect("resolved"))
            .collect(),
    )
}

const fn at(icount: u64, sub: u32) -> Boundary {
    Boundary { icount, sub }
}

/// After an instruction, an NMI can be latched.
const fn plain(icount: u64, rip: u64) -> BoundaryContext {
    BoundaryContext {
        at: at(icount, 0),
        rip: VirtAddr(rip),
        next_is_iret: false,
        just_delivered: None,
        nmi_can_be_latched: true,
    }
}

const fn delivered(icount: u64, sub: u32, rip: u64, vector: Vector) -> BoundaryContext {
    BoundaryContext {
        at: at(icount, sub),
        just_delivered: Some(vector),
        ..plain(icount, rip)
    }
}

const fn before_iret(icount: u64, rip: u64) -> BoundaryContext {
    BoundaryContext {
        next_is_iret: true,
        ..plain(icount, rip)
    }
}

fn fires(s: &mut ScheduleState, ctx: BoundaryContext) -> usize {
    s.at_boundary(&ctx).len()
}

#[test]
fn a_place_fires_at_its_first_arrival_once() {
    let mut s = schedule(&["--nmi at=main+0x10"]);
    assert_eq!(s.breakpoints().collect::<Vec<_>>(), [VirtAddr(0x1010)]);
    assert_eq!(s.next_icount(at(0, 0)), None);
    assert_eq!(fires(&mut s, plain(5, 0x1000)), 0);
    assert_eq!(s.at_boundary(&plain(6, 0x1010)), [Stimulus::Nmi]);
    assert_eq!(fires(&mut s, plain(6, 0x1010)), 0);
    assert_eq!(fires(&mut s, plain(9, 0x1010)), 0);
    assert_eq!(s.breakpoints().count(), 0);
    assert!(s.is_exhausted());
}

#[test]
fn arrivals_are_counted_when_control_comes_back() {
    let mut s = schedule(&["--nmi at=main#3"]);
    assert_eq!(fires(&mut s, plain(6, 0x1000)), 0);
    // The same boundary again, then REP iterations: no arrivals.
    assert_eq!(fires(&mut s, plain(6, 0x1000)), 0);
    for sub in 1..4 {
        let mut rep = plain(6, 0x1000);
        rep.at = at(6, sub);
        assert_eq!(fires(&mut s, rep), 0);
    }
    // An NMI between two iterations goes elsewhere, and its IRET (instruction 8) comes back.
    assert_eq!(fires(&mut s, delivered(6, 4, 0x2000, Vector::NMI)), 0);
    assert_eq!(fires(&mut s, plain(8, 0x1000)), 0);
    let mut rep = plain(8, 0x1000);
    rep.at = at(8, 1);
    assert_eq!(fires(&mut s, rep), 0);
    // The third: a loop.
    assert_eq!(fires(&mut s, plain(9, 0x1000)), 1);
}

#[test]
fn a_handler_that_is_the_place_is_an_arrival_each_time_it_is_delivered_to() {
    let mut s = schedule(&["--nmi at=nmi_entry#2"]);
    assert_eq!(fires(&mut s, delivered(6, 1, 0x2000, Vector::NMI)), 0);
    assert_eq!(fires(&mut s, delivered(6, 1, 0x2000, Vector::NMI)), 0);
    // Nothing retired in between, but it was delivered to again.
    assert_eq!(fires(&mut s, delivered(6, 2, 0x2000, Vector::NMI)), 1);
}

#[test]
fn icounts_are_exact() {
    let mut s = schedule(&["--nmi icount=7", "--nmi icount=7.2", "--nmi icount=0"]);
    assert_eq!(fires(&mut s, plain(0, 0)), 1);
    assert_eq!(s.next_icount(at(0, 0)), Some(7));
    assert_eq!(s.next_boundary(at(0, 0)), Some(at(7, 0)));
    assert_eq!(fires(&mut s, plain(7, 0)), 1);
    assert_eq!(s.next_boundary(at(7, 0)), Some(at(7, 2)));
    assert_eq!(s.next_icount(at(7, 0)), Some(7));
    assert_eq!(fires(&mut s, delivered(7, 1, 0, Vector::NMI)), 0);
    // The boundary 7.2 never comes.
    assert_eq!(fires(&mut s, plain(8, 0)), 0);
    assert_eq!(s.next_icount(at(8, 0)), None);
    let unfired: Vec<String> = s.unfired().map(ToString::to_string).collect();
    assert_eq!(unfired, ["--nmi icount=7.2"]);
}

#[test]
fn after_counts_deliveries_of_its_vector() {
    let mut s = schedule(&["--nmi after=page-fault#2", "--irq 0x21@after=nmi"]);
    assert!(s.wants_deliveries() && !s.wants_irets());
    assert_eq!(fires(&mut s, delivered(3, 1, 0, Vector::PF)), 0);
    assert_eq!(fires(&mut s, delivered(3, 1, 0, Vector::PF)), 0);
    assert_eq!(fires(&mut s, plain(4, 0)), 0);
    assert_eq!(
        s.at_boundary(&delivered(4, 1, 0, Vector::PF)),
        [Stimulus::Nmi]
    );
    assert_eq!(
        s.at_boundary(&delivered(4, 2, 0, Vector::NMI)),
        [Stimulus::Irq(Vector(0x21))]
    );
    assert!(s.is_exhausted() && !s.wants_deliveries());
}

#[test]
fn two_deliveries_at_one_icount_are_two() {
    // #DB and then NMI at one boundary, or #PF whose handler faults at once.
    let mut s = schedule(&["--nmi after=page-fault#2"]);
    assert_eq!(fires(&mut s, delivered(3, 1, 0, Vector::PF)), 0);
    assert_eq!(fires(&mut s, delivered(3, 2, 0, Vector::PF)), 1);
}

#[test]
fn before_iret_counts_arrivals_at_irets() {
    let mut s = schedule(&["--nmi before=iret#2"]);
    assert!(s.wants_irets());
    assert_eq!(fires(&mut s, before_iret(10, 0x30)), 0);
    assert_eq!(fires(&mut s, before_iret(10, 0x30)), 0);
    assert_eq!(fires(&mut s, plain(11, 0x1000)), 0);
    assert_eq!(fires(&mut s, before_iret(20, 0x30)), 1);
    assert!(!s.wants_irets());
}

#[test]
fn every_fires_at_multiples_and_from_a_start() {
    let mut s = schedule(&["--nmi every=100"]);
    assert_eq!(fires(&mut s, plain(0, 0)), 0);
    assert_eq!(s.next_icount(at(0, 0)), Some(100));
    for n in 1..5 {
        assert_eq!(fires(&mut s, plain(100 * n - 1, 0)), 0);
        assert_eq!(fires(&mut s, plain(100 * n, 0)), 1);
        assert_eq!(fires(&mut s, delivered(100 * n, 1, 0, Vector::NMI)), 0);
        assert_eq!(s.next_icount(at(100 * n, 1)), Some(100 * n + 100));
    }
    // Passed without a look: once, then in step again.
    assert_eq!(s.next_boundary(at(950, 3)), Some(at(951, 0)));
    assert_eq!(fires(&mut s, plain(951, 0)), 1);
    assert_eq!(s.next_icount(at(951, 0)), Some(1000));

    let mut s = schedule(&["--nmi every=100,from=30"]);
    assert_eq!(s.next_icount(at(0, 0)), Some(30));
    assert_eq!(fires(&mut s, plain(30, 0)), 1);
    assert_eq!(s.next_icount(at(30, 0)), Some(130));

    let mut s = schedule(&["--nmi every=100,from=main"]);
    assert_eq!(s.next_icount(at(0, 0)), None);
    assert_eq!(s.breakpoints().collect::<Vec<_>>(), [VirtAddr(0x1000)]);
    let before = s.generation();
    assert_eq!(fires(&mut s, plain(77, 0x1000)), 1);
    assert_ne!(s.generation(), before);
    assert_eq!(s.breakpoints().count(), 0);
    assert_eq!(s.next_icount(at(77, 0)), Some(177));
    assert_eq!(fires(&mut s, plain(177, 0)), 1);
}

#[test]
fn the_end_of_time_is_no_overflow() {
    let mut s = schedule(&[
        "--nmi every=18446744073709551615",
        "--nmi every=1,from=18446744073709551615",
    ]);
    let last = plain(u64::MAX, 0);
    assert_eq!(fires(&mut s, last), 2);
    assert!(s.is_exhausted());
    assert_eq!(s.next_boundary(last.at), None);
    let s = schedule(&["--nmi every=5"]);
    assert_eq!(s.next_boundary(last.at), None);
}

#[test]
fn a_storm_raises_whenever_the_latch_is_free() {
    let mut s = schedule(&["--nmi storm=3,from=main"]);
    let full = |mut ctx: BoundaryContext| {
        ctx.nmi_can_be_latched = false;
        ctx
    };
    assert_eq!(fires(&mut s, plain(1, 0x900)), 0);
    // Raised and delivered; in its handler the second is latched, and the third waits.
    assert_eq!(fires(&mut s, plain(2, 0x1000)), 1);
    assert_eq!(fires(&mut s, delivered(2, 1, 0x2000, Vector::NMI)), 1);
    assert_eq!(fires(&mut s, full(plain(3, 0x2001))), 0);
    assert_eq!(fires(&mut s, full(before_iret(4, 0x2002))), 0);
    assert!(s.wants_deliveries());
    // The latched one is delivered after the IRET, which frees the latch.
    assert_eq!(fires(&mut s, delivered(5, 1, 0x2000, Vector::NMI)), 1);
    assert_eq!(fires(&mut s, delivered(9, 1, 0x2000, Vector::NMI)), 0);
    assert!(s.is_exhausted());

    let s = schedule(&["--nmi storm=3"]);
    assert_eq!(s.clone().at_boundary(&plain(0, 0)), [Stimulus::Nmi]);
    let s = schedule(&["--nmi storm=3,from=50"]);
    assert_eq!(s.next_icount(at(0, 0)), Some(50));
}

#[test]
fn a_storm_leaves_the_latch_to_others_at_the_same_boundary() {
    let mut s = schedule(&["--nmi storm=1", "--nmi storm=1", "--nmi icount=4"]);
    assert_eq!(s.at_boundary(&plain(4, 0)), [Stimulus::Nmi]);
    assert_eq!(fires(&mut s, plain(5, 0)), 1);
    assert_eq!(fires(&mut s, plain(6, 0)), 1);
    assert!(s.is_exhausted());
}

#[test]
fn several_are_due_in_the_schedule_s_order() {
    let mut s = schedule(&[
        "--irq 0x21@icount=4",
        "--nmi at=main",
        "--mce @icount=4",
        "--exception page-fault@icount=4,ec=0x2,addr=0x5000",
    ]);
    assert_eq!(
        s.at_boundary(&plain(4, 0x1000)),
        [
            Stimulus::Irq(Vector(0x21)),
            Stimulus::Nmi,
            Stimulus::MachineCheck,
            Stimulus::Exception {
                vector: Vector::PF,
                error_code: Some(2),
                address: Some(VirtAddr(0x5000)),
            },
        ]
    );
}

#[test]
fn a_clone_is_a_snapshot() {
    let mut s = schedule(&["--nmi at=main#2", "--nmi every=10"]);
    fires(&mut s, plain(3, 0x1000));
    let snapshot = s.clone();
    let run = |mut s: ScheduleState| {
        (4..40)
            .map(|n| fires(&mut s, plain(n, if n % 9 == 0 { 0x1000 } else { 0 })))
            .collect::<Vec<_>>()
    };
    let first = run(s);
    assert_eq!(first.iter().sum::<usize>(), 4);
    assert_eq!(run(snapshot.clone()), first);
    assert_eq!(snapshot, snapshot.clone());
}

#[test]
fn injections_can_be_added_during_a_run() {
    let mut s = ScheduleState::default();
    assert!(s.is_exhausted());
    let injection = "--nmi at=main".parse().expect("an injection");
    s.push(resolve(injection, &Image).expect("resolved"));
    assert_eq!(s.breakpoints().count(), 1);
    assert_eq!(fires(&mut s, plain(1, 0x1000)), 1);
}
