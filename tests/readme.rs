//! What the README shows is what happens.

const README: &str = include_str!("../README.md");
const GOLDEN: &str = include_str!("../traces/nested-nmi.txt");

/// The lines of the block that begins at `first`, without that line.
fn block(first: &str) -> Vec<&'static str> {
    let from = README.find(first).expect("the block is there");
    README[from..]
        .lines()
        .skip(1)
        .take_while(|line| *line != "```")
        .collect()
}

#[test]
fn the_trace_at_the_top_is_the_golden_one() {
    let shown = block("$ iretrace run @nested-nmi\n");
    // Without the two lines of the header, which name the image's hash.
    let golden: Vec<&str> = GOLDEN.lines().skip(2).collect();
    assert_eq!(shown, golden);
}

#[test]
fn the_findings_are_the_golden_ones() {
    const FINDINGS: &str = include_str!("../traces/checks/frame-lost.txt");
    let shown = block("$ iretrace run @nested-nmi -q");
    // The golden ones have the notes in full, between the first line and the error.
    let golden: Vec<&str> = FINDINGS.lines().skip(1).collect();
    let error = golden
        .iter()
        .position(|l| l.starts_with("error[frame-lost]"));
    let error = error.expect("the error is there");
    assert_eq!(shown[0], golden[0]);
    assert_eq!(shown[1..shown.len() - 1], golden[error..]);
    let notes = golden.iter().filter(|l| l.starts_with("note[")).count();
    let last = format!("iretrace: note: {notes} notes beside; --notes shows them");
    assert_eq!(shown[shown.len() - 1], last);
}

#[test]
fn the_sweep_says_what_is_shown() {
    let shown = block("$ iretrace sweep @nmi-nestable-no-df-test");
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_iretrace"))
        .args(["sweep", "@nmi-nestable-no-df-test", "--from", "ready"])
        .output()
        .expect("the program runs");
    assert_eq!(run.status.code(), Some(100));
    let out = String::from_utf8(run.stdout).expect("UTF-8");
    // What is the same, or differs where nobody minds, follows.
    let (bad, rest) = out.split_once("\n\nsame-except").expect("both kinds");
    assert_eq!(shown, bad.lines().collect::<Vec<_>>());
    assert!(!rest.contains("again:"), "{rest}");
}

/// The first command of each bug's header, which tests/bugs runs.
#[test]
fn each_bug_is_in_the_table_with_its_command() {
    use iretrace::load::builtin::{self, Group};
    let rows = README
        .lines()
        .filter(|l| l.starts_with("| ") && l.contains("| `iretrace "));
    let mut rows: Vec<&str> = rows.collect();
    for b in builtin::list() {
        if b.group != Group::Bugs || b.twin.is_none() {
            continue;
        }
        let first = b.tries().next().expect("a command");
        let command = first.split("  #").next().unwrap_or_default().trim();
        let end = format!("| `{command}` |");
        let row = rows.iter().position(|l| l.ends_with(&end));
        rows.swap_remove(row.unwrap_or_else(|| panic!("{end} is missing")));
    }
    assert!(rows.is_empty(), "{rows:#?}");
}

#[test]
fn the_matrix_says_what_is_shown() {
    let first = "$ iretrace matrix --pages lazy,walk --nmi naive,nestable --quick --no-costs";
    let shown = block(first);
    let words = first.split_whitespace().skip(2);
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_iretrace"))
        .args(words)
        .output()
        .expect("the program runs");
    assert_eq!(run.status.code(), Some(100));
    let out = String::from_utf8(run.stdout).expect("UTF-8");
    let seen: Vec<&str> = out.lines().take(shown.len()).collect();
    assert!(shown.len() > 6);
    assert_eq!(shown, seen);
}

#[test]
fn the_commands_under_use_parse() {
    let commands = |block: Vec<&'static str>| {
        let commands = block.into_iter().filter(|l| l.starts_with("iretrace "));
        commands.collect::<Vec<_>>()
    };
    let used = commands(block("## Use"));
    assert!(used.len() >= 8, "the block under Use is gone");
    let tour = commands(block("## The thread"));
    assert!(tour.len() >= 5, "the block under The thread is gone");
    for command in used.into_iter().chain(tour) {
        let words: Vec<&str> = command
            .split("  #")
            .next()
            .into_iter()
            .flat_map(|c| c.split_whitespace().skip(1))
            .collect();
        // An image that is not there is found out after the options have been understood.
        let run = std::process::Command::new(env!("CARGO_BIN_EXE_iretrace"))
            .args(words.iter().map(|w| w.trim_matches('\'')).map(|w| {
                if w.ends_with(".elf") || w.ends_with(".S") {
                    "/nonexistent/image"
                } else {
                    w
                }
            }))
            .env("NO_COLOR", "1")
            .output()
            .expect("iretrace runs");
        let code = run.status.code();
        assert!(
            matches!(code, Some(0 | 96)),
            "{command}: {code:?}: {}",
            String::from_utf8_lossy(&run.stderr)
        );
    }
}

#[test]
fn the_test_of_a_handler_fails_as_shown() {
    let source = block("```asm\n#@ gate PF page_fault");
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!("#@ gate PF page_fault\n{}\n", source[1..].join("\n"));
    std::fs::write(folder.path().join("pf.S"), text).expect("written");
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_iretrace"))
        .args(["test", "pf.S"])
        .current_dir(folder.path())
        .output()
        .expect("the program runs");
    assert_eq!(run.status.code(), Some(100));
    let out = String::from_utf8(run.stdout).expect("UTF-8");
    assert_eq!(
        block("$ iretrace test pf.S"),
        out.lines().collect::<Vec<_>>()
    );
}
