//! The options, and what is wrong with them.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::programs::{CLEAN, INCLUDE, NO_IDT, forms, linked_loop, long, run_long, source, window};
use crate::support::{file, folder, iretrace, outcome, program, word};

#[test]
fn exit_codes_say_what_was_found() {
    let folder = folder();
    let image = source(&folder, CLEAN);
    let words = window(&image);
    let o = iretrace(words);
    o.ends_with(0).shows(&["3 boundaries", "3 cases"]);
    let image = source(&folder, NO_IDT);
    let o = iretrace(["sweep", word(&image)]);
    o.ends_with(100).shows(&[
        "4 boundaries",
        "4 shutdown",
        "S   _start",
        "again: iretrace run",
    ]);
    assert_eq!(
        o.stderr, "",
        "nothing but the result is said where there is no terminal"
    );
}

#[test]
fn the_command_of_a_report_shows_the_case_again() {
    let folder = folder();
    let source = source(&folder, &NO_IDT.replace("nop", ".include \"one.inc\""));
    std::fs::write(folder.path().join("one.inc"), "nop\n").expect("written");
    let words = [
        "sweep",
        word(&source),
        "-I",
        word(folder.path()),
        "--ram",
        "32M",
    ];
    let report: Value = serde_json::from_str(&forms(&words).json).expect("JSON");
    let word = |v: &Value| v.as_str().expect("a word").to_owned();
    let list = |v: &Value| {
        v.as_array()
            .expect("words")
            .iter()
            .map(word)
            .collect::<Vec<_>>()
    };
    let mut again = list(&report["command"]);
    for option in list(&report["classes"][0]["schedule"]) {
        again.extend(option.split_whitespace().map(str::to_owned));
    }
    assert_eq!(again[0], "iretrace");
    iretrace(&again[1..]).ends_with(102);
}

#[test]
fn bad_usage_is_2() {
    for (more, parts) in [
        (
            &["--inject", "nni"][..],
            &["--inject", "nni", "write nmi"][..],
        ),
        (&["--inject", "irq=999"], &["--inject", "irq"]),
        (&["--then", "nmi;zz"], &["--then", "zz"]),
        (&["--inject", ""], &["--inject"]),
        (&["--from", "no_such_symbol"], &["--from", "no_such_symbol"]),
        (&["--to", "redy"], &["--to", "redy"]),
        (&["--ignore", "no_such"], &["--ignore", "no_such"]),
        (&["--limit", "x"], &["--limit"]),
        (
            &["--from", "icount=100000000"],
            &["before the window begins"],
        ),
    ] {
        let mut words = vec!["sweep", "@nmi-nestable"];
        words.extend(more);
        iretrace(words).is_error(2, parts);
    }
}

#[test]
fn an_empty_window_has_no_case() {
    let folder = folder();
    let image = source(&folder, CLEAN);
    let words = [
        "sweep",
        word(&image),
        "-I",
        INCLUDE,
        "--from",
        "icount=5",
        "--to",
        "icount=5",
    ];
    let o = iretrace(words);
    o.ends_with(0).shows(&["0 boundaries", "0 cases"]);
    let page = forms(&words);
    assert!(page.html.contains("Nothing was injected"));
    let report: Value = serde_json::from_str(&page.json).expect("JSON");
    assert_eq!(report["complete"], true);
}

#[test]
fn a_limit_takes_whole_parts_in_order() {
    let limited: Vec<_> = ["1", "3", "1"]
        .iter()
        .map(|jobs| forms(&long(&["--limit", "70", "-j", jobs])))
        .collect();
    limited[1].are(&limited[0]);
    limited[2].are(&limited[0]);
    let report: Value = serde_json::from_str(&limited[0].json).expect("JSON");
    assert_eq!(report["complete"], false);
    // A part has 64 boundaries; with one kind of event that is a case each, but for those that
    // stand for others of a later part.
    let parts = report["explored_parts"].as_u64().expect("a number");
    assert_eq!(report["explored"], serde_json::json!([[1, 64 * parts]]));
    assert!(report["cases"].as_u64() >= Some(70) && parts < 5, "{parts}");
    let said = format!("not complete: {parts} of");
    assert!(limited[0].text.contains(&said) && limited[0].html.contains(&said));

    let folder = folder();
    let path = folder.path().join("done.jsonl");
    forms(&long(&["--limit", "70", "--checkpoint", word(&path)])).are(&limited[0]);
    forms(&long(&["--limit", "70", "--checkpoint", word(&path)])).are(&limited[0]);
    let whole = forms(&long(&["--limit", "1M"]));
    whole.are(crate::programs::undivided());
    forms(&long(&["--checkpoint", word(&path)])).are(&whole);
    // More is there than the limit allows.
    forms(&long(&["--limit", "70", "--checkpoint", word(&path)])).are(&limited[0]);
}

#[test]
fn what_cannot_be_written_is_110() {
    let folder = folder();
    let image = source(&folder, NO_IDT);
    for option in ["--json", "--html"] {
        let o = iretrace(["sweep", word(&image), option, "/dev/full"]);
        o.is_error(110, &["/dev/full: cannot be written"]);
        let o = iretrace(["sweep", word(&image), option, "/no/such/folder/r"]);
        o.is_error(110, &["/no/such/folder/r", "make its folder first"]);
        let o = iretrace(["sweep", word(&image), option, word(&image)]);
        o.is_error(2, &["that is an input", "give another file"]);
        // That it cannot be written is known before the work is done.
        let kept = folder.path().join("kept.jsonl");
        let words = ["sweep", word(&image), "--checkpoint", word(&kept), option];
        let o = iretrace(words.iter().chain(&["/no/such/folder/r"]));
        o.is_error(110, &["/no/such/folder/r"]);
        let lines = std::fs::read_to_string(&kept).expect("there");
        assert_eq!(lines.lines().count(), 1, "the header alone");
        let o = iretrace(words.iter().chain(&[word(&kept)]));
        o.is_error(2, &["kept.jsonl: that is an input"]);
        assert_eq!(std::fs::read_to_string(&kept).expect("there"), lines);
    }
    let same = folder.path().join("same");
    let words = [
        "sweep",
        word(&image),
        "--json",
        word(&same),
        "--html",
        word(&same),
    ];
    iretrace(words).is_error(2, &["two outputs would go to this file", "give two"]);
    assert_eq!(std::fs::read_to_string(&image).expect("there"), NO_IDT);
    // A report that is shorter than the old one leaves nothing of it.
    let old = file(&folder, "old.json", "x".repeat(1 << 20));
    iretrace(["sweep", word(&image), "--json", word(&old)]).ends_with(100);
    let text = std::fs::read_to_string(&old).expect("there");
    serde_json::from_str::<Value>(&text).expect("JSON");
    let o = iretrace(["sweep", word(&image), "--checkpoint", "/no/such/folder/c"]);
    o.is_error(110, &["/no/such/folder/c: cannot be written"]);
    let full = File::options()
        .write(true)
        .open("/dev/full")
        .expect("there");
    outcome(program().args(["sweep", word(&image)]).stdout(full))
        .is_error(110, &["standard output: cannot be written"]);
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let mut child = program()
        .args(long(&["--listing", "--to", "user_code"]))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    drop(child.stdout.take());
    let mut said = String::new();
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    stderr.read_to_string(&mut said).expect("UTF-8");
    let status = child.wait().expect("ends");
    assert_eq!((status.code(), said.as_str()), (Some(0), ""));
}

#[test]
fn colours_are_where_they_are_wanted() {
    let folder = folder();
    let image = source(&folder, NO_IDT);
    let words = ["sweep", word(&image)];
    let escape = |o: &crate::support::Outcome| o.stdout.contains('\x1b');
    assert!(!escape(&iretrace(words)));
    let colored = outcome(program().args(words).args(["--color", "always"]));
    assert!(escape(&colored));
    assert!(!escape(&outcome(
        program().args(words).args(["--color", "never"])
    )));
    let o = outcome(program().args(words).env("NO_COLOR", "1"));
    assert!(!escape(&o));
}

/// Runs the program with a terminal, by script(1); what the terminal got.
fn on_terminal(folder: &tempfile::TempDir, words: &str, term: &str, no_color: bool) -> String {
    let program = assert_cmd::cargo::cargo_bin("iretrace");
    let log = folder.path().join("terminal");
    let mut command = Command::new("script");
    command.env_remove("NO_COLOR").env("TERM", term);
    if no_color {
        command.env("NO_COLOR", "1");
    }
    let line = format!("{} {words}", word(&program));
    let status = command
        .args(["-qec", &line])
        .arg(&log)
        .stdout(Stdio::null())
        .stdin(Stdio::null())
        .status();
    status.expect("script(1) is there");
    String::from_utf8_lossy(&std::fs::read(log).expect("written")).into_owned()
}

#[test]
fn progress_is_for_terminals() {
    let folder = folder();
    let words = "sweep @nmi-nestable --from ready";
    let got = on_terminal(&folder, words, "xterm", true);
    let line = got.find(" boundaries, ").expect("progress");
    let cleared = got.rfind("\r\x1b[K").expect("cleared at the end");
    assert!(line < cleared, "{got:?}");
    assert!(
        got[cleared..].starts_with("\r\x1b[K@nmi-nestable:"),
        "{got:?}"
    );
    assert!(!got.contains("\x1b[3"), "NO_COLOR: {got:?}");
    let got = on_terminal(&folder, words, "dumb", false);
    assert!(!got.contains('\x1b') && !got.contains("cases/s"), "{got:?}");
    let got = on_terminal(&folder, words, "xterm", false);
    assert!(got.contains("\x1b[3"), "colours: {got:?}");
}

#[test]
fn ctrl_c_gives_the_part_that_is_done() {
    let folder = folder();
    let path = folder.path().join("done.jsonl");
    let elf = linked_loop(&folder, 50_000);
    let mut child = program()
        .args(["sweep", word(&elf), "-j1", "--checkpoint", word(&path)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    // A part in the file says that it is under way.
    let lines = || std::fs::read_to_string(&path).map_or(0, |t| t.matches('\n').count());
    while lines() < 2 {
        assert!(child.try_wait().expect("waits").is_none(), "it ended");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let kill = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(kill.expect("kill").success());
    let mut text = Vec::new();
    for line in BufReader::new(child.stdout.take().expect("a pipe")).lines() {
        text.push(line.expect("UTF-8"));
    }
    assert_eq!(child.wait().expect("ends").code(), Some(130));
    let said = text
        .iter()
        .find(|l| l.starts_with("not complete: "))
        .expect("it says so");
    let done = lines() - 1;
    assert!(
        said.starts_with(&format!("not complete: {done} of ")),
        "{said} of {done}"
    );
    assert!(
        said.contains(&format!("boundaries 1 to {} of ", 64 * done)),
        "{said}"
    );
}

#[test]
fn help_names_the_batch_system() {
    let o = run_long(&["--help"]);
    o.ends_with(0).shows(&[
        "parallel iretrace sweep @x --shard {}/4 --checkpoint part{}.jsonl ::: 1 2 3 4 &&",
        "iretrace merge part*.jsonl",
    ]);
}
