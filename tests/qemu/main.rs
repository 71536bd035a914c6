//! The machine against QEMU: the same image in both, and the sequence of delivered events compared.
//!
//! Each event whose delivery begins is compared with its vector, error code, CPL, CS:RIP, SS:RSP,
//! CR2, RFLAGS and all general registers; what delivery raises in its turn counts too. The images
//! are the built-in programs, and random kernels: `skeleton.S` runs random cases one after the
//! other, each with page tables, a TSS, an IDT and code of its own, and shows after each event the
//! frame of the one before, and at the end what is left in memory.
//!
//! `cargo test --test qemu` compares a few hundred cases. A long run, and a single case again:
//!
//! ```text
//! QEMU_KERNELS=10000 cargo test --test qemu
//! QEMU_FIRST=1234 QEMU_KERNELS=1 cargo test --test qemu
//! ```
//!
//! Case N is the same everywhere. A difference is our bug, or a row in `differences.md`, whose
//! reach is in `reach`. After a difference that changes what follows, the rest of the
//! case is not compared. `QEMU_SAVE=FILE` keeps the last image's source.
//!
//! Without QEMU (Debian's `qemu-system-x86`) the tests say so and pass, but not where `CI` is set.

mod attempt;
mod compare;
mod differences;
mod generate;
mod items;
mod log;
mod ours;
mod peer;
mod random;
mod reach;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use iretrace::load::{Image, LoadOptions, builtin};

use compare::{Mismatch, Verdict};
use generate::Case;
use peer::End;

/// Cases in one image.
const BATCH: u64 = 64;

/// Cases after which every row should have been needed.
const MANY: u64 = 5000;

/// What is said even if the test passes.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "qemu: {text}");
}

/// Whether the peer is here.
fn peer_is_here() -> bool {
    match peer::version() {
        Some(version) => {
            say(&format!("comparing with {version}"));
            true
        }
        None => {
            assert!(
                std::env::var_os("CI").is_none(),
                "no qemu-system-x86_64, though CI installs it"
            );
            say("SKIPPED: there is no qemu-system-x86_64 (apt-get install qemu-system-x86)");
            false
        }
    }
}

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|e| panic!("{name}={text}: {e}")),
        Err(_) => default,
    }
}

fn assemble(cases: &[Case]) -> Image {
    let source = generate::source(cases);
    if let Some(file) = std::env::var_os("QEMU_SAVE") {
        std::fs::write(file, &source).expect("QEMU_SAVE can be written");
    }
    Image::from_bytes("cases.S", source.as_bytes(), &LoadOptions::default())
        .unwrap_or_else(|e| panic!("{e}"))
}

/// Compares as many of `cases` as both sides get to before one ends early: at least one.
fn run(cases: &[Case]) -> Vec<(Verdict, usize)> {
    let image = assemble(cases);
    let (ours, peer) = (ours::run(&image), peer::run(&image));
    let (a, b) = (compare::parts(&ours), compare::parts(&peer));
    assert!(
        !a.is_empty() && !b.is_empty(),
        "a side did not reach case {}: {:?}, {:?}",
        cases[0].number,
        ours.end,
        peer.end
    );
    a.iter()
        .zip(&b)
        .map(|(a, b)| (compare::case(a, b, &image), a.len()))
        .collect()
}

fn report(case: &Case, m: &Mismatch, image: &Image) -> String {
    let text = |a: &Option<attempt::Attempt>| {
        let insn = a.as_ref().and_then(|a| reach::instruction(image, a.rip));
        insn.map_or_else(|| "?".to_owned(), |i| i.to_string())
    };
    format!(
        "{}at {} / {}\n{m}",
        case.shown(),
        text(&m.ours),
        text(&m.peer)
    )
}

#[test]
fn random_kernels_agree() {
    if !peer_is_here() {
        return;
    }
    let (first, total) = (number("QEMU_FIRST", 0), number("QEMU_KERNELS", 300));
    let end = first.saturating_add(total);
    let mut next = first;
    let mut events = 0;
    let mut rows: BTreeMap<&str, u64> = BTreeMap::new();
    let mut unexplained = Vec::new();
    while next < end {
        let cases: Vec<Case> = (next..end.min(next + BATCH)).map(generate::case).collect();
        let verdicts = run(&cases);
        for (case, (verdict, _)) in cases.iter().zip(&verdicts) {
            let mut verdict = verdict.clone();
            if verdict.unexplained.is_some() {
                // Once sides are apart a case may write into the kernel, and so into later ones.
                let alone = std::slice::from_ref(case);
                verdict = run(alone).remove(0).0;
                if let Some(m) = &verdict.unexplained {
                    let text = report(case, m, &assemble(alone));
                    say(&text);
                    unexplained.push(case.number);
                }
            }
            events += verdict.same;
            for row in verdict.rows.iter().collect::<BTreeSet<_>>() {
                *rows.entry(row).or_default() += 1;
            }
        }
        next += verdicts.len() as u64;
    }
    say(&format!(
        "{total} cases from {first}, {events} events the same but for: {rows:?}"
    ));
    let idle: Vec<_> = differences::known()
        .into_iter()
        .filter(|row| !rows.contains_key(row))
        .collect();
    if !idle.is_empty() && total >= MANY {
        say(&format!("rows that no longer apply: {idle:?}"));
    }
    assert!(unexplained.is_empty(), "cases {unexplained:?} differ");
}

#[test]
fn differences_are_listed_with_their_reach() {
    let listed: BTreeSet<_> = differences::listed().into_iter().collect();
    let known: BTreeSet<_> = differences::known().into_iter().collect();
    assert_eq!(listed, known);
}

/// Programs that need what QEMU's PC lacks, and what that is.
const NOT_FOR_THE_PEER: [(&str, &str); 3] = [
    (
        "dr7",
        "a debug exception that MOV SS holds (row mov-ss-step)",
    ),
    ("apic.inc", "x2APIC mode, which TCG has from 9.0 on"),
    ("hlt\n", "a timer that counts instructions"),
];

#[test]
fn built_in_programs_agree() {
    if !peer_is_here() {
        return;
    }
    let mut compared = 0;
    for program in builtin::list() {
        let lacks = NOT_FOR_THE_PEER
            .iter()
            .find(|(word, _)| program.source.contains(word));
        if let Some((_, why)) = lacks {
            say(&format!(
                "@{} is not compared: it needs {why}",
                program.name
            ));
            continue;
        }
        let name = format!("@{}", program.name);
        let image = Image::open(&name, &LoadOptions::default()).expect("a built-in program");
        let ours = ours::run(&image);
        if ours.end == End::Stuck {
            say(&format!("{name} is not compared: it runs for ever"));
            continue;
        }
        let peer = peer::run(&image);
        let verdict = compare::case(&ours.attempts, &peer.attempts, &image);
        if let Some(m) = verdict.unexplained {
            panic!("{name}\n{m}");
        }
        // A program that looks at its own events may end otherwise where a row says that they differ.
        if verdict.rows.is_empty() {
            assert_eq!(ours.end, peer.end, "{name}");
        }
        compared += 1;
    }
    assert!(compared >= 4, "only {compared} programs were compared");
}
