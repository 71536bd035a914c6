//! Sweeps of the built-in programs: what they find, and that reductions change nothing.

use std::collections::BTreeMap;
use std::path::Path;

use iretrace::load::{Image, LoadOptions};
use iretrace::machine::{Machine, MachineConfig, TimeMode};
use iretrace::sweep::{Bound, Plan, Report, Shot, Spot, Sweep, SweepError, Tally, Verdict};
use iretrace::trace::Symbols as _;

struct Swept {
    image: Image,
    boundaries: usize,
    tally: Tally,
    report: Report,
}

fn open(program: &str) -> Image {
    Image::open(Path::new(program), &LoadOptions::default()).expect("a built-in program")
}

fn machine(image: &Image) -> Result<Machine, SweepError> {
    let mut machine = Machine::new(MachineConfig {
        time: TimeMode::Frozen,
        ..MachineConfig::default()
    })?;
    machine.load(image)?;
    Ok(machine)
}

fn sweep(program: &str, change: impl Fn(&mut Plan, &Image)) -> Swept {
    let image = open(program);
    let mut plan = Plan::default();
    change(&mut plan, &image);
    let make = || machine(&image);
    let sweep = Sweep::new(&make, &image, &plan).expect("a window");
    let tally = sweep.all().expect("a sweep");
    let report = Report::new(&image, sweep.baseline(), &tally, Vec::new(), true);
    Swept {
        boundaries: sweep.baseline().window,
        tally,
        report,
        image,
    }
}

fn at(image: &Image, symbol: &str) -> Option<Bound> {
    Some(Bound::Address(image.resolve(symbol).expect("a symbol")))
}

fn from_ready(plan: &mut Plan, image: &Image) {
    plan.from = at(image, "ready");
}

impl Swept {
    fn bad(&self) -> impl Iterator<Item = (&iretrace::sweep::Key, &iretrace::sweep::Class)> {
        let bad = |v: Verdict| v.is_bad() || v.is_undecided();
        self.tally
            .classes
            .iter()
            .filter(move |(k, _)| bad(k.verdict))
    }

    /// The functions at whose instructions something bad was injected last.
    fn bad_places(&self) -> BTreeMap<String, u64> {
        let mut places = BTreeMap::new();
        for (_, class) in self.bad() {
            for (rip, n) in &class.places {
                let name = self.image.name(iretrace::arch::VirtAddr(*rip));
                let name = name.unwrap_or_default();
                let name = name.split('+').next().unwrap_or_default().to_owned();
                *places.entry(name).or_default() += n;
            }
        }
        places
    }
}

#[test]
fn a_correct_handler_survives_an_nmi_at_every_boundary() {
    let swept = sweep("@nmi-nestable", from_ready);
    assert_eq!(swept.bad().count(), 0, "{:#?}", swept.report.classes);
    // Every boundary is a case, and no other.
    assert_eq!(swept.tally.cases, swept.boundaries as u64);
    assert!(swept.boundaries > 800);
}

#[test]
fn a_correct_handler_survives_a_second_nmi_in_its_handler() {
    // Around the program's own NMI, and in user code.
    for (from, to) in [
        ("syscall_entered", None),
        ("user_code", Some(6)),
        ("nmi_entry", Some(12)),
    ] {
        let swept = sweep("@nmi-nestable", |plan, image| {
            plan.from = at(image, from);
            let length = to.unwrap_or(3);
            let first = first_arrival(image, from);
            plan.to = Some(Bound::Icount(first + length));
            plan.levels = vec![vec![Shot::nmi()], vec![Shot::nmi()]];
        });
        assert_eq!(
            swept.bad().count(),
            0,
            "{from}: {:#?}",
            swept.report.classes
        );
        assert!(swept.tally.cases > 10 * swept.boundaries as u64);
    }
}

/// The count of instructions at the first arrival at a symbol.
fn first_arrival(image: &Image, symbol: &str) -> u64 {
    let mut machine = Machine::new(MachineConfig::default()).expect("a machine");
    machine.load(image).expect("it fits");
    let to = image.resolve(symbol).expect("a symbol");
    machine.run(iretrace::machine::Until::Address(to));
    machine.boundary().icount
}

/// Its name; where its window begins, if not at `ready`, and how many instructions it has; the depth; the symbol
/// at which something bad must be found; the beginnings of all symbols at which it may be.
type Mutant = (
    &'static str,
    Option<(&'static str, u64)>,
    usize,
    &'static str,
    &'static [&'static str],
);

/// Each mutant lacks one safeguard of the correct program, and goes wrong in one window.
#[test]
fn every_mutant_is_caught_in_its_window() {
    #[rustfmt::skip]
    let cases: [Mutant; 7] = [
        ("no-flag", None, 1, "nmi_body", &["nmi_", "page_fault", "breakpoint_entry"]),
        ("no-df-test", None, 1, "entry_syscall", &["entry_syscall", "return_by_sysret"]),
        ("early-clear", None, 1, "nmi_leave_mark", &["nmi_leave_mark"]),
        ("wrong-order", None, 1, "nmi_body_done", &["nmi_", "page_fault", "breakpoint_entry"]),
        ("no-cr2", None, 1, "page_fault_read", &["page_fault"]),
        ("no-repeat-check", Some(("nmi_body_done", 4)), 2, "nmi_repeat", &["nmi_repeat"]),
        ("user-on-ist", Some(("user_withdrawn", 3)), 2, "stack_fault_entry", &["stack_fault", "nmi_leave_iret"]),
    ];
    for (name, window, depth, expected, allowed) in cases {
        let swept = sweep(&format!("@nmi-nestable-{name}"), |plan, image| {
            from_ready(plan, image);
            if let Some((symbol, length)) = window {
                let first = first_arrival(image, symbol);
                plan.from = Some(Bound::Icount(first));
                plan.to = Some(Bound::Icount(first + length));
            }
            plan.levels = vec![vec![Shot::nmi()]; depth];
            plan.patience = 20_000;
        });
        let places = swept.bad_places();
        assert!(
            places.keys().any(|p| p.starts_with(expected)),
            "{name}: {places:?}"
        );
        assert!(
            places
                .keys()
                .all(|p| allowed.iter().any(|a| p.starts_with(a))),
            "{name}: {places:?}"
        );
        // The shortest schedule has one option for each level.
        for (key, class) in swept.bad() {
            assert_eq!(class.schedule.len(), key.shots.len(), "{name}");
        }
    }
}

/// The undisturbed program has a fault in its NMI handler; a second NMI before it loses the frame.
#[test]
fn the_window_in_which_a_fault_loses_the_frame_is_found() {
    let swept = sweep("@nested-nmi", |_, _| {});
    let (key, class) = swept
        .bad()
        .find(|(k, _)| k.what == "frame-lost")
        .expect("a lost frame");
    assert_eq!(key.verdict, Verdict::Finding);
    assert_eq!(class.schedule.len(), 1);
    assert_eq!(
        class
            .rip
            .and_then(|r| swept.image.name(iretrace::arch::VirtAddr(r))),
        Some("touch".to_owned())
    );
    // Before there is an IDT, an NMI is the end.
    let place = image_place(&swept, "_start");
    let spot = Spot {
        level: 1,
        shot: "nmi".to_owned(),
        rip: place,
    };
    assert_ne!(swept.tally.spots[&spot][Verdict::Shutdown as usize], 0);
}

fn image_place(swept: &Swept, symbol: &str) -> u64 {
    swept.image.resolve(symbol).expect("a symbol").0
}

/// What does not depend on which of several equal cases is run.
fn classes(swept: &Swept) -> Vec<(iretrace::sweep::Key, u64, BTreeMap<u64, u64>)> {
    let classes = swept.tally.classes.iter();
    classes
        .map(|(k, c)| (k.clone(), c.count, c.places.clone()))
        .collect()
}

/// Without reductions each case is raised where it is, and runs to the end of the run: rejoining and
/// dead bytes are proved by what the end is.
#[test]
fn reductions_change_no_verdict() {
    let (mut saved, mut swept) = (0, 0);
    for program in iretrace::load::builtin::list() {
        let program = format!("@{}", program.name);
        let both = [true, false].map(|reduce| {
            sweep(&program, |plan, image| {
                plan.reduce = reduce;
                plan.patience = 3_000;
                plan.horizon = 3_000;
                plan.levels = vec![vec![
                    Shot::nmi(),
                    "irq=0x40".parse().expect("a shot"),
                    "PF,ec=0x0,addr=0x5000".parse().expect("a shot"),
                ]];
                // Behind what sets a kernel up, if there is that much of it.
                if length(image) > 1_000 {
                    plan.from = Some(Bound::Icount(790));
                }
                let first = if plan.from.is_some() { 790 } else { 0 };
                plan.to = Some(Bound::Icount(first + 250));
            })
        });
        assert_eq!(classes(&both[0]), classes(&both[1]), "{program}");
        assert_eq!(both[0].tally.spots, both[1].tally.spots, "{program}");
        saved += both[1].tally.runs - both[0].tally.runs;
        swept += 1;
    }
    assert!(saved > 100 && swept > 40, "{saved} {swept}");
}

/// Instructions of the undisturbed run, if they are few.
fn length(image: &Image) -> u64 {
    let mut machine = Machine::new(MachineConfig {
        max_insns: 5_000,
        ..MachineConfig::default()
    })
    .expect("a machine");
    machine.load(image).expect("it fits");
    machine.run(iretrace::machine::Until::Never);
    machine.boundary().icount
}

#[test]
fn the_oracle_has_the_last_word() {
    use iretrace::sweep::{Oracle, Outcome};
    let swept = sweep("@nmi-nestable", |plan, image| {
        from_ready(plan, image);
        plan.to = at(image, "start_iret");
        plan.oracle = Some(Oracle::new(|machine, outcome| {
            assert!(machine.boundary().icount > 0);
            let what = format!("{}, by me", outcome.verdict);
            Some(Outcome::new(Verdict::Finding, what))
        }));
    });
    let whats: Vec<&str> = swept.bad().map(|(k, _)| k.what.as_str()).collect();
    assert_eq!(whats, ["same-except, by me"]);
    assert_eq!(swept.tally.cases, 5);
}

/// A second NMI at every boundary of what the first one causes, in a few instructions near each program's
/// end, where its handlers are in place.
#[test]
fn reductions_change_no_verdict_at_depth_two() {
    let mut runs = [0; 2];
    let mut check = |program: &str, from: u64, patience: u64| {
        let both = [true, false].map(|reduce| {
            sweep(program, |plan, _| {
                plan.from = Some(Bound::Icount(from));
                plan.to = Some(Bound::Icount(from + 3));
                plan.reduce = reduce;
                plan.patience = patience;
                plan.horizon = 3_000;
                plan.levels = vec![vec![Shot::nmi()]; 2];
            })
        });
        assert_eq!(classes(&both[0]), classes(&both[1]), "{program}");
        assert_eq!(both[0].tally.spots, both[1].tally.spots, "{program}");
        for (sum, swept) in runs.iter_mut().zip(&both) {
            *sum += swept.tally.runs;
        }
    };
    for program in iretrace::load::builtin::list() {
        let program = format!("@{}", program.name);
        let from = length(&open(&program)).saturating_sub(400);
        check(&program, from, 300);
    }
    for (program, from) in [("@nested-nmi", "_start"), ("@nmi-nestable", "work_copy")] {
        check(program, first_arrival(&open(program), from), 100_000);
    }
    println!("{} runs instead of {}", runs[0], runs[1]);
    assert!(runs[1] > runs[0] + 1_000, "{runs:?}");
}

#[test]
fn two_threads_find_what_one_does() {
    use std::sync::atomic::AtomicBool;
    let image = open("@nmi-nestable-no-df-test");
    let plan = Plan {
        from: at(&image, "ready"),
        ..Plan::default()
    };
    let make = || machine(&image);
    let sweep = Sweep::new(&make, &image, &plan).expect("a window");
    let one = sweep.all().expect("a sweep");
    let parts: Vec<usize> = (0..sweep.parts()).collect();
    let mut two = Tally::default();
    sweep
        .explore(&parts, 2, &AtomicBool::new(false), &mut |_, tally| {
            two.merge(tally.clone());
            Ok(())
        })
        .expect("a sweep");
    assert_eq!(one, two);
}
