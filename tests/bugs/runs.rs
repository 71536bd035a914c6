//! The bugs that need no NMI: a run's checks find them.

use std::time::Instant;

use iretrace::load::builtin;

use crate::command::told;

/// Words that run it, and what is found above a note: severity, rule, place.
#[rustfmt::skip]
const RUNS: [(&str, &[&str]); 9] = [
    // The #DB's frame goes over the #BP's, at that handler's first instruction.
    ("@mov-ss-int3", &["error frame-lost breakpoint_entry"]),
    ("@mov-ss-int3.ok", &[]),
    // The first access through GS after the SWAPGS too many.
    ("@bad-iret", &["error wrong-gs task_faulted"]),
    ("@bad-iret.ok", &[]),
    // APM vol. 3, SYSRET, and SDM vol. 2, SYSRET: #GP(0) at CPL 0 on Intel alone.
    ("@sysret-non-canonical", &[
        "error user-stack-in-kernel return_sysret",
        "error wrong-gs kernel_faulted",
    ]),
    ("@sysret-non-canonical --cpu amd", &[]),
    ("@sysret-non-canonical.ok", &[]),
    // SDM vol. 3, 6.15, interrupt 8: a page fault while one is delivered is a double fault.
    ("@stack-not-mapped", &["warning delivery-failed switched", "warning double-fault switched"]),
    ("@stack-not-mapped.ok", &[]),
];

/// The programs.
pub fn names() -> impl Iterator<Item = &'static str> {
    let words = RUNS.iter().map(|(words, _)| &words[1..]);
    words.filter(|w| !w.contains(['.', ' ']))
}

#[test]
fn each_is_found_and_its_twin_is_silent() {
    for (words, expected) in RUNS {
        let begin = Instant::now();
        let found = told(words);
        let loud = found.into_iter().filter(|f| !f.starts_with("note "));
        assert_eq!(loud.collect::<Vec<_>>(), expected, "{words}");
        println!("{words:32} {:5.2} s", begin.elapsed().as_secs_f64());
    }
}

/// The commands that show it are in the header.
#[test]
fn each_is_in_its_header() {
    for (words, _) in RUNS {
        let name = words[1..].split(['.', ' ']).next().expect("a name");
        let mut tries = builtin::find(name).expect("a program").tries();
        let command = format!("iretrace run {words}");
        assert!(
            tries.any(|line| line
                .split("  #")
                .next()
                .is_some_and(|c| c.trim() == command)),
            "{command}"
        );
    }
}
