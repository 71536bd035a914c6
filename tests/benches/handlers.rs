//! What one test of a handler costs: `cargo bench --bench handlers`.
//!
//! The parts are measured apart: assembling and linking, making a machine, and all of a case.

use std::time::{Duration, Instant};

use iretrace::arch::Vector;
use iretrace::machine::{Machine, MachineConfig};
use iretrace::testing::{Case, Code, Context, Raise};

const HANDLER: &str = include_str!("../testing/page_fault.S");

/// The median of `n` runs.
fn median(n: usize, mut run: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..n)
        .map(|_| {
            let begun = Instant::now();
            run();
            begun.elapsed()
        })
        .collect();
    times.sort();
    times[n / 2]
}

fn main() {
    let program = Code::assembly(HANDLER).build().expect("it assembles");
    let case = Case::new(&program)
        .handler(Vector::PF, "page_fault")
        .context(Context::user())
        .raise(Raise::page_fault(0x1000, 6));
    let n = if std::env::args().any(|a| a == "--test") {
        3
    } else {
        201
    };
    let mut ran = 0;
    let rows = [
        (
            "as and ld",
            median(n, || drop(Code::assembly(HANDLER).build())),
        ),
        (
            "an engine and 4 MiB of RAM",
            median(n, || {
                let config = MachineConfig {
                    ram_size: 4 << 20,
                    ..MachineConfig::default()
                };
                drop(Machine::new(config).expect("a machine"));
            }),
        ),
        ("a machine at its context", median(n, || drop(case.start()))),
        (
            "the case: machine, run, checks",
            median(n, || ran = case.assert().seen().boundaries),
        ),
    ];
    println!("one case of {ran} boundaries, medians of {n}:");
    for (what, took) in rows {
        println!("  {what:<32} {:>9.3} ms", took.as_secs_f64() * 1e3);
    }
}
