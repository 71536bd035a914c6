//! Help, the list of programs, completions.

use crate::support::iretrace;

#[test]
fn help_has_examples_and_exit_codes() {
    iretrace(["--help"])
        .ends_with(0)
        .shows(&["Usage", "Examples:", "Exit codes", " 96 ", "110"]);
    for command in [
        "run",
        "sweep",
        "merge",
        "test",
        "walk",
        "programs",
        "schema",
        "completions",
    ] {
        let o = iretrace([command, "--help"]);
        o.ends_with(0)
            .shows(&["Usage", "Examples:", "Exit codes", "102  triple fault"]);
        iretrace([command, "-h"]).ends_with(0).shows(&["Examples:"]);
    }
    let o = iretrace::<&str>([]);
    assert_eq!((o.code, o.stdout.as_str()), (Some(2), ""), "{o:#?}");
    assert!(o.stderr.contains("Usage"), "{o:#?}");
}

#[test]
fn programs_are_listed_and_shown() {
    let o = iretrace(["programs"]);
    o.ends_with(0).shows(&[
        "The thread",
        "  @nested-nmi ",
        "Basics",
        "  @double-fault",
        "Bugs",
        "@NAME.ok",
        "  @mov-ss-int3 ",
        "Checks",
        "  @wrong-gs ",
        "Benchmarks",
        "  @alu-loop",
    ]);
    assert!(!o.stdout.contains("@wrong-gs.ok"), "{o:#?}");
    let o = iretrace(["programs", "nested-nmi"]);
    o.ends_with(0)
        .shows(&["nested-nmi: a page fault inside an NMI handler"]);
    assert!(!o.stdout.contains("iretq"), "{o:#?}");
    o.shows(&["\nTry:\n    iretrace run @nested-nmi\n"]);
    let o = iretrace(["programs", "@nested-nmi", "--source"]);
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/nested-nmi.S");
    assert_eq!(o.stdout, std::fs::read_to_string(source).expect("there"));
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        iretrace(["completions", shell])
            .ends_with(0)
            .shows(&["walk"]);
    }
}
