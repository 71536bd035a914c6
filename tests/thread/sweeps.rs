//! An NMI at every boundary of the window: who survives.

use std::collections::BTreeSet;

use iretrace::load::Image;
use iretrace::machine::{Machine, MachineConfig, TimeMode};
use iretrace::sweep::{Bound, Plan, Shot, Sweep, SweepError, Tally};

use crate::guest::{PAGES, image};

/// More than any handler here needs, and little for one that does not end.
const PATIENCE: u64 = 1_000;

fn sweep(image: &Image, change: impl FnOnce(&mut Plan)) -> Tally {
    let at = |symbol: &str| Some(Bound::Address(image.resolve(symbol).expect(symbol)));
    let mut plan = Plan {
        from: at("window"),
        to: at("window_end"),
        patience: PATIENCE,
        ..Plan::default()
    };
    plan.checks.nmi_body = Some(image.resolve("nmi_body").expect("a symbol"));
    change(&mut plan);
    let make = || -> Result<Machine, SweepError> {
        let config = MachineConfig {
            time: TimeMode::Frozen,
            ..MachineConfig::default()
        };
        let mut machine = Machine::new(config)?;
        machine.load(image)?;
        Ok(machine)
    };
    let sweep = Sweep::new(&make, image, &plan).expect("a window");
    sweep.all().expect("a sweep")
}

/// The words of what is bad.
fn bad(tally: &Tally) -> BTreeSet<String> {
    let bad = tally
        .classes
        .keys()
        .filter(|k| k.verdict.is_bad() || k.verdict.is_undecided());
    bad.map(|k| format!("{}: {}", k.verdict, k.what)).collect()
}

/// A page fault in an NMI that was entered on IST1 loses its frame to the next one, unless something prevents it: that
/// it does not fault (the page tables, or what it touches), that NMIs stay blocked, that it has copies of its frame, or
/// that it is on another stack.
fn one_nmi_at_every_boundary(nmi: &str) {
    for pages in PAGES {
        let image = image(&[&format!("PAGES={pages}"), &format!("NMI={nmi}")]);
        let tally = sweep(&image, |_| {});
        let bad = bad(&tally);
        assert!(tally.cases > 100, "{pages}, {nmi}");
        match pages {
            // These end with failure undisturbed; what an NMI changes is not judged here.
            "walk-racy" | "stack" => {}
            "lazy" | "pretouch" | "lower" if nmi == "naive" => {
                assert!(
                    bad.iter().any(|b| b.contains("frame-lost")),
                    "{pages}: {bad:#?}"
                );
            }
            _ => assert_eq!(bad, BTreeSet::new(), "{pages}, {nmi}"),
        }
    }
}

#[test]
fn naive_loses_frames_where_it_faults() {
    one_nmi_at_every_boundary("naive");
}

#[test]
fn no_iret_survives() {
    one_nmi_at_every_boundary("no-iret");
}

#[test]
fn nestable_survives() {
    one_nmi_at_every_boundary("nestable");
}

#[test]
fn three_state_survives() {
    one_nmi_at_every_boundary("three-state");
}

#[test]
fn no_touch_survives() {
    one_nmi_at_every_boundary("no-touch");
}

/// Two NMIs: the second at every boundary of what the first one causes, while task A works.
#[test]
fn a_second_nmi_in_the_first_one() {
    for nmi in ["no-iret", "nestable", "three-state", "no-touch"] {
        let image = image(&[&format!("NMI={nmi}")]);
        let mut machine = Machine::new(MachineConfig::default()).expect("a machine");
        machine.load(&image).expect("it fits");
        let touch = image.resolve("nmi_touch").expect("a symbol");
        machine.run(iretrace::machine::Until::Address(touch));
        let touched = machine.boundary().icount;
        let tally = sweep(&image, |plan| {
            plan.levels = vec![vec![Shot::nmi()], vec![Shot::nmi()]];
            // Around the first touch, which faults.
            plan.from = Some(Bound::Icount(touched - 12));
            plan.to = Some(Bound::Icount(touched + 12));
        });
        assert_eq!(bad(&tally), BTreeSet::new(), "{nmi}");
        assert!(tally.cases > 24, "{nmi}: {}", tally.cases);
    }
}
