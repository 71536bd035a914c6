//! Whatever strangers hand in, it is read or refused: no panic, no hang, bounded memory, and an
//! error is one line that names the place.
//!
//! Each target has seeds, made by code, and changes that know its form (the fields of ELF headers,
//! the words of a schedule, the members of an event) beside noise in bytes and characters. An input
//! of which something new is said becomes a seed itself. What is read must come back: an injection
//! from its text, an event from its line, a number from its digits.
//!
//! `cargo test --test fuzz` checks the same few thousand inputs every time, in some seconds. For long:
//!
//! ```text
//! FUZZ_SECONDS=600 FUZZ_SEED=7 cargo test --release --test fuzz -- --nocapture --test-threads=1
//! ```
//!
//! takes each target for ten minutes, beginning from the random numbers of seed 7; give a target's name
//! to take it alone. An input that breaks a rule is kept in `target/tmp/fuzz-NAME`, and
//!
//! ```text
//! FUZZ_REPLAY=target/tmp/fuzz-NAME cargo test --test fuzz NAME -- --nocapture
//! ```
//!
//! reads it again. Whole guests are in `tests/hostile`.

mod driver;
mod elf;
mod image;
mod linux;
mod noise;
mod random;
mod trace;
mod words;

// The program's own number parsers, by their source: they are no library.
#[path = "../../emulator/cli/number.rs"]
mod number;

use driver::fuzz;

#[test]
fn elf() {
    fuzz::<elf::Elf>();
}

#[test]
fn linux_kernels() {
    fuzz::<linux::Linux>();
}

#[test]
fn any_file() {
    fuzz::<image::AnyFile>();
}

#[test]
fn assembly() {
    fuzz::<image::Assembly>();
}

#[test]
fn schedule() {
    fuzz::<words::Schedule>();
}

#[test]
fn events() {
    fuzz::<words::Events>();
}

#[test]
fn numbers() {
    fuzz::<words::Numbers>();
}

#[test]
fn places() {
    fuzz::<words::Places>();
}

#[test]
fn trace() {
    fuzz::<trace::Trace>();
}
