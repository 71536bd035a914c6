//! `cargo bench` (or `cargo bench --bench rates -- WORD`, for the rows whose name holds WORD):
//! how fast guest code runs, and what traces cost.
//!
//! Absolute figures depend on the computer, so each row measures the program and what it is compared with
//! alternately, in one run, and prints the medians of both and the median of the ratios. The rows:
//!
//! * *engine against bare Unicorn*: the same code, once in [`iretrace::engine::Engine`], which
//!   counts every instruction, stops at whatever needs the rules, and gives a complete state; once in a
//!   Unicorn of the same version with the same virtual TLB (identity) and no other hook.
//! * *machine against bare Unicorn*: the built-in programs with all rules and all state, untraced.
//!   Bare Unicorn has no page faults: there the host stops, and does by hand what a delivery,
//!   IRET and INVLPG would, but for the frame.
//! * *traces*: events to a temporary file; there is nothing to compare them with but the aims.

mod bare;
mod guest;
mod machine;
mod native;
mod table;

use std::time::{Duration, Instant};

use guest::{Loop, PageFaultLoop};
use machine::{Count, Program, Traced};
use table::{Row, Target};

/// Repetitions of each measurement; odd, for the median.
const REPETITIONS: usize = 7;

/// Instructions, or whatever is counted, and the time they took.
struct Sample {
    count: u64,
    time: Duration,
}

impl Sample {
    fn take(run: impl FnOnce() -> u64) -> Self {
        let start = Instant::now();
        let count = run();
        Self {
            count,
            time: start.elapsed(),
        }
    }

    fn rate(&self) -> f64 {
        self.count as f64 / self.time.as_secs_f64()
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Measures `ours` and `other` in turn, after a round that only warms both up.
fn compare(mut ours: impl FnMut() -> Sample, mut other: impl FnMut() -> Sample) -> (f64, f64, f64) {
    ours();
    other();
    let pairs: Vec<_> = (0..REPETITIONS)
        .map(|_| (ours().rate(), other().rate()))
        .collect();
    (
        median(pairs.iter().map(|p| p.0).collect()),
        median(pairs.iter().map(|p| p.1).collect()),
        median(pairs.iter().map(|p| p.0 / p.1).collect()),
    )
}

fn main() {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with("--"))
        .collect();
    let wanted = |name: &str| words.is_empty() || words.iter().any(|w| name.contains(w.as_str()));

    println!("{}", table::HEAD);
    for (name, code) in [
        ("ALU loop, 10 instructions", &guest::ALU_10),
        ("tight loop, 2 instructions", &guest::TIGHT),
        ("call, load, store loop, 9 instructions", &guest::CALLS),
    ] {
        let name = format!("engine: {name}");
        if wanted(&name) {
            engine_row(&name, code).print();
        }
    }
    let name = "engine: page faults, no rules";
    if wanted(name) {
        fault_row(name).print();
    }
    for (name, program, turns, code) in [
        ("machine: @alu-loop", "@alu-loop", 10_000_000, &guest::ALU_5),
        (
            "machine: @call-loop",
            "@call-loop",
            1_000_000,
            &guest::CALLS,
        ),
    ] {
        if wanted(name) {
            machine_row(name, &Program::new(program, turns), code).print();
        }
    }
    let name = "machine: @page-fault-loop";
    if wanted(name) {
        machine_fault_row(name).print();
    }
    for (name, program, turns, traced, count, unit, aim) in [
        (
            "trace: insn, text",
            "@alu-loop",
            200_000,
            Traced::InsnsAsText,
            Count::Instructions,
            "insns/s",
            3e6,
        ),
        (
            "trace: insn, jsonl",
            "@alu-loop",
            200_000,
            Traced::InsnsAsJsonl,
            Count::Instructions,
            "insns/s",
            3e6,
        ),
        (
            "trace: @page-fault-loop, jsonl",
            "@page-fault-loop",
            30_000,
            Traced::FaultsAsJsonl,
            Count::Turns,
            "faults/s",
            2e5,
        ),
    ] {
        if wanted(name) {
            let program = Program::new(program, turns);
            trace_row(name, unit, aim, || program.run(traced, count)).print();
        }
    }
}

/// A program on the machine, against its loop in bare Unicorn.
fn machine_row(name: &str, program: &Program, code: &Loop) -> Row {
    let mut bare = bare::Bare::new(code.bytes);
    let (ours, other, ratio) = compare(
        || program.run(Traced::No, Count::Instructions),
        || {
            Sample::take(|| {
                bare.run(code);
                code.instructions()
            })
        },
    );
    Row {
        name: name.to_owned(),
        unit: "insns/s",
        ours,
        other: Some((other, ratio)),
        target: Target::Ratio(0.5),
    }
}

/// Page faults on the machine, against the stops and starts alone.
fn machine_fault_row(name: &str) -> Row {
    let program = Program::new("@page-fault-loop", 50_000);
    let guest = PageFaultLoop { faults: 50_000 };
    let mut bare = bare::Bare::new(guest::FAULTS);
    let (ours, other, ratio) = compare(
        || program.run(Traced::No, Count::Turns),
        || Sample::take(|| bare.run_faults(&guest)),
    );
    Row {
        name: name.to_owned(),
        unit: "faults/s",
        ours,
        other: Some((other, ratio)),
        target: Target::Rate(7e5),
    }
}

/// A traced run.
fn trace_row(name: &str, unit: &'static str, aim: f64, run: impl Fn() -> Sample) -> Row {
    run();
    Row {
        name: name.to_owned(),
        unit,
        ours: median((0..REPETITIONS).map(|_| run().rate()).collect()),
        other: None,
        target: Target::Rate(aim),
    }
}

/// One loop in the engine, against bare Unicorn.
fn engine_row(name: &str, code: &Loop) -> Row {
    let (mut native, mut bare) = (native::Native::new(code.bytes), bare::Bare::new(code.bytes));
    let (mut ours_end, mut bare_end) = (0, 0);
    let (ours, other, ratio) = compare(
        || {
            Sample::take(|| {
                ours_end = native.run(code);
                code.instructions()
            })
        },
        || {
            Sample::take(|| {
                bare_end = bare.run(code);
                code.instructions()
            })
        },
    );
    assert_eq!(ours_end, bare_end, "{name}: both computed the same");
    Row {
        name: name.to_owned(),
        unit: "insns/s",
        ours,
        other: Some((other, ratio)),
        target: Target::Ratio(0.5),
    }
}

/// The page-fault loop of `programs/benchmarks/page-fault-loop.S` with the rules left out: what the stops, the
/// states and the restarts cost.
fn fault_row(name: &str) -> Row {
    let guest = PageFaultLoop { faults: 50_000 };
    let (mut native, mut bare) = (
        native::Native::new(guest::FAULTS),
        bare::Bare::new(guest::FAULTS),
    );
    let (ours, other, ratio) = compare(
        || Sample::take(|| native.run_faults(&guest)),
        || Sample::take(|| bare.run_faults(&guest)),
    );
    Row {
        name: name.to_owned(),
        unit: "faults/s",
        ours,
        other: Some((other, ratio)),
        target: Target::None,
    }
}
