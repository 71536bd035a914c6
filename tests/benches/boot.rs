//! `IRETRACE_LINUX=vmlinuz-… cargo bench --bench boot [-- KERNEL OPTIONS]`: a stock Linux kernel, from its
//! entry to the first instruction of its init.
//!
//! What it is compared with is a Unicorn of the same version that runs the same boot with what it cannot do
//! without, and nothing else: a TLB hook that walks the page tables, the delivery of exceptions (Unicorn has
//! none), IN and OUT. It counts nothing, knows no place exactly, and follows none of the rules beyond that.
//! Unicorn shows the kernel other CPUID leaves than the machine does, so that the instructions differ
//! a little: what each retires is counted, in a run of its own, and the rates are compared.

mod bare_linux;
#[expect(dead_code, reason = "other benchmarks have other rows")]
mod table;

use std::cell::Cell;
use std::time::Instant;

use bare_linux::BareLinux;
use iretrace::load::{Image, LinuxOptions, LoadOptions};
use iretrace::machine::{Machine, MachineConfig, StopReason, Until};
use table::{Row, Target};

/// Repetitions of each measurement; odd, for the median.
const REPETITIONS: usize = 3;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let Some(kernel) = std::env::var_os("IRETRACE_LINUX") else {
        eprintln!(
            "boot: skipped: IRETRACE_LINUX names no kernel (on Debian: apt install linux-image-cloud-amd64)"
        );
        return;
    };
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with("--"))
        .collect();
    let append = if words.is_empty() {
        "nopti mitigations=off".to_owned()
    } else {
        words.join(" ")
    };
    let options = LoadOptions {
        linux: LinuxOptions {
            append: Some(append),
            initrd: None,
        },
        ..LoadOptions::default()
    };
    let image = Image::open(kernel, &options).expect("a kernel");
    let init = image.resolve("init_start").expect("an init of ours");

    let ours_count = Cell::new(0);
    let ours = || {
        let config = MachineConfig {
            ram_size: image.default_ram(),
            ..MachineConfig::default()
        };
        let mut machine = Machine::new(config).expect("a machine");
        machine.load(&image).expect("the kernel fits");
        let start = Instant::now();
        let stop = machine.run(Until::Address(init));
        let time = start.elapsed();
        assert!(matches!(stop, StopReason::Until), "{stop}");
        ours_count.set(machine.boundary().icount);
        ours_count.get() as f64 / time.as_secs_f64()
    };
    let bare_count = BareLinux::new(&image, init.0).count();
    let bare = || {
        let mut bare = BareLinux::new(&image, init.0);
        let start = Instant::now();
        bare.run();
        bare_count as f64 / start.elapsed().as_secs_f64()
    };
    let pairs: Vec<_> = (0..REPETITIONS).map(|_| (ours(), bare())).collect();
    println!("{}", table::HEAD);
    Row {
        name: "boot of a Linux kernel".into(),
        unit: "insns/s",
        ours: median(pairs.iter().map(|p| p.0).collect()),
        other: Some((
            median(pairs.iter().map(|p| p.1).collect()),
            median(pairs.iter().map(|p| p.0 / p.1).collect()),
        )),
        target: Target::Ratio(0.7),
    }
    .print();
    println!(
        "instructions: {} here, {bare_count} in bare Unicorn",
        ours_count.get()
    );
}
