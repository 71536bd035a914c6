//! `iretrace matrix`: filters, files, exit codes.

use std::path::PathBuf;

use crate::support::{Outcome, file, folder, iretrace, word};

pub const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/matrix/stand-in.S");

/// The stand-in's matrix, with these options besides.
pub fn matrix(more: &[&str]) -> Outcome {
    let words = ["matrix", PROGRAM, "--cost-nmi", "naive", "--quick"];
    iretrace(words.iter().chain(more))
}

#[test]
fn a_filter_chooses_cells_in_the_order_of_the_strategies() {
    let o = matrix(&[
        "--pages",
        "prealloc,lazy",
        "--nmi",
        "no-touch",
        "--no-costs",
    ]);
    o.ends_with(0).shows(&[
        "2 page-table strategies, 1 NMI",
        "lazy      no-touch",
        "prealloc  no-touch",
    ]);
    assert!(!o.stdout.contains("again:") && !o.stdout.contains("as tasks grow"));
    assert!(o.stderr.is_empty(), "{o:?}");
}

#[test]
fn the_exit_code_says_whether_a_cell_is_bad() {
    // One NMI alone is harmless; two are not.
    matrix(&["--pages", "lazy", "--nmi", "naive", "--no-costs"]).ends_with(0);
    let words = ["--pages", "lazy", "--nmi", "naive", "--no-costs"];
    let two = iretrace(["matrix", PROGRAM].iter().chain(&words));
    two.ends_with(100)
        .shows(&["hung", "The worst schedules", "--nmi icount="]);
    matrix(&["--pages", "stack", "--nmi", "naive", "--no-costs"])
        .ends_with(100)
        .shows(&["fails alone", "stack, naive: fails alone: "]);
}

#[test]
fn the_command_that_is_shown_shows_it() {
    let words = [
        "matrix",
        PROGRAM,
        "--pages",
        "lazy",
        "--nmi",
        "naive",
        "--no-costs",
    ];
    let o = iretrace(words);
    let command = o
        .stdout
        .lines()
        .find(|l| l.trim_start().starts_with("iretrace run "));
    let words: Vec<&str> = command
        .expect("it is there")
        .split_whitespace()
        .skip(1)
        .collect();
    let again = iretrace(words.iter().copied().chain(["-q", "--deny", "error"]));
    // The limit comes first.
    again.ends_with(103);
    assert!(again.stderr.contains("error[frame-lost]"), "{again:?}");
}

#[test]
fn what_is_wrong_is_one_line() {
    let bad = |more: &[&str], code, parts: &[&str]| matrix(more).is_error(code, parts);
    bad(&["--pages", "lasy"], 2, &["did you mean lazy?", "prealloc"]);
    bad(&["--nmi", "lazy"], 2, &["naive, no-iret"]);
    bad(&["--json", PROGRAM], 2, &["would be overwritten"]);
    bad(&["--json", "/nonexistent/x"], 110, &["/nonexistent/x"]);
    let here = folder();
    let path = here.path().join("x");
    bad(
        &["--json", word(&path), "--html", word(&path)],
        2,
        &["give two"],
    );
    assert!(
        std::fs::read_dir(here.path())
            .expect("a folder")
            .next()
            .is_none()
    );
    iretrace(["matrix", "@no-such"]).is_error(96, &["no such built-in program"]);
    let empty = file(&here, "empty.S", ".globl _start\n_start: hlt\n");
    iretrace(["matrix", word(&empty)]).is_error(96, &["PAGES"]);
}

#[test]
fn files_are_whole_or_not_there() {
    let here = folder();
    let path = |name: &str| -> PathBuf { here.path().join(name) };
    let (json, html, markdown) = (path("r.json"), path("r.html"), path("r.md"));
    std::fs::write(&json, "before").expect("written");
    let files = [
        "--json",
        word(&json),
        "--html",
        word(&html),
        "--markdown",
        word(&markdown),
    ];
    // Nothing is written where the program is wrong.
    let wrong = file(&here, "wrong.S", "this is no instruction\n");
    let o = iretrace(["matrix", word(&wrong), "--quick"].iter().chain(&files));
    o.is_error(96, &["wrong.S"]);
    assert_eq!(std::fs::read_to_string(&json).expect("there"), "before");
    assert!(!html.exists() && !markdown.exists());
    let filter = ["--pages", "prealloc", "--nmi", "naive"];
    let all: Vec<&str> = filter.iter().chain(&files).copied().collect();
    matrix(&all).ends_with(0);
    let read = |p: &PathBuf| std::fs::read_to_string(p).expect("written");
    assert!(read(&json).ends_with("}\n"));
    assert!(read(&html).ends_with("</html>\n"));
    assert!(read(&markdown).starts_with("# "));
    // And nothing is left beside them.
    let names = std::fs::read_dir(here.path()).expect("a folder");
    assert_eq!(names.count(), 4);
    let before = [read(&json), read(&html), read(&markdown)];
    let again: Vec<&str> = all.iter().copied().chain(["--jobs", "3"]).collect();
    matrix(&again).ends_with(0);
    assert_eq!(before, [read(&json), read(&html), read(&markdown)]);
}
