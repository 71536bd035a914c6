//! What a sweep costs: cases a second, forks by dirty pages, windows by their length, threads.
//!
//! `cargo bench --bench sweeps`. Medians of several runs; nothing here fails.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use iretrace::arch::PhysAddr;
use iretrace::load::{Image, LoadOptions};
use iretrace::machine::{Machine, MachineConfig, TimeMode, Until};
use iretrace::sweep::{Bound, Plan, Shot, Sweep, SweepError, Tally};

const RUNS: usize = 5;

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

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// Seconds, and the sum, of a sweep on `jobs` threads; the undisturbed run is not counted.
fn timed(program: &str, jobs: usize, plan: &Plan) -> (f64, Tally) {
    let image = open(program);
    let make = || machine(&image);
    let sweep = Sweep::new(&make, &image, plan).expect("a window");
    let parts: Vec<usize> = (0..sweep.parts()).collect();
    let mut sum = Tally::default();
    let seconds = (0..RUNS)
        .map(|_| {
            sum = Tally::default();
            let begin = Instant::now();
            let never = AtomicBool::new(false);
            sweep
                .explore(&parts, jobs, &never, &mut |_, tally| {
                    sum.merge(tally.clone());
                    Ok(())
                })
                .expect("a sweep");
            begin.elapsed().as_secs_f64()
        })
        .collect();
    (median(seconds), sum)
}

fn row(what: &str, seconds: f64, tally: &Tally) {
    println!(
        "{what:<44} {:>8} cases {:>8} runs {:>10.0} runs/s {:>7.1} insns a run",
        tally.cases,
        tally.runs,
        tally.runs as f64 / seconds,
        tally.insns as f64 / tally.runs.max(1) as f64,
    );
}

fn ready() -> Option<Bound> {
    let image = open("@nmi-nestable");
    Some(Bound::Address(image.resolve("ready").expect("a symbol")))
}

fn main() {
    let whole = Plan::default();
    let nestable = Plan {
        from: ready(),
        ..Plan::default()
    };
    let deeper = Plan {
        from: Some(Bound::Icount(1_000)),
        to: Some(Bound::Icount(1_030)),
        levels: vec![vec![Shot::nmi()], vec![Shot::nmi()]],
        ..Plan::default()
    };
    for jobs in [1, 2] {
        let (seconds, tally) = timed("@nested-nmi", jobs, &whole);
        row(&format!("@nested-nmi, {jobs} threads"), seconds, &tally);
        let (seconds, tally) = timed("@nmi-nestable", jobs, &nestable);
        row(&format!("@nmi-nestable, {jobs} threads"), seconds, &tally);
        let (seconds, tally) = timed("@nmi-nestable", jobs, &deeper);
        row(
            &format!("@nmi-nestable, two levels, {jobs} threads"),
            seconds,
            &tally,
        );
    }
    for length in [100, 200, 400, 800] {
        let plan = Plan {
            from: Some(Bound::Icount(900)),
            to: Some(Bound::Icount(900 + length)),
            ..Plan::default()
        };
        let (seconds, tally) = timed("@nmi-nestable", 1, &plan);
        row(
            &format!("a window of {length} instructions"),
            seconds,
            &tally,
        );
    }
    let image = open("@nmi-nestable");
    let mut machine = machine(&image).expect("a machine");
    machine.advance(Until::Icount(1_000));
    for pages in [0u64, 1, 8, 64, 512] {
        let times = 2_000;
        let runs = (0..RUNS).map(|_| {
            let mark = machine.mark();
            let begin = Instant::now();
            for _ in 0..times {
                let inner = machine.mark();
                for page in 0..pages {
                    machine.write_physical(PhysAddr(0x0100_0000 + page * 4096), &[1]);
                }
                machine.rewind(&inner);
                machine.unmark();
            }
            let seconds = begin.elapsed().as_secs_f64();
            machine.rewind(&mark);
            machine.unmark();
            seconds / f64::from(times)
        });
        let seconds = median(runs.collect());
        println!(
            "fork and restore, {pages} dirty pages: {:.2} us",
            seconds * 1e6
        );
    }
}
