//! Output that cannot be written, or that nobody reads any more.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{file, folder, iretrace, outcome, program, word};

const ENDLESS: &str = ".globl _start\n_start: incq %rax\n jmp _start\n";

#[test]
fn a_full_disk_is_110() {
    for words in [
        &["run", "@nested-nmi", "-o", "/dev/full"][..],
        &[
            "run",
            "@alu-loop",
            "-v",
            "--format",
            "jsonl",
            "-o",
            "/dev/full",
        ],
    ] {
        iretrace(words).is_error(110, &["/dev/full: cannot be written", "make room"]);
    }
    for words in [
        &["run", "@nested-nmi"][..],
        &["run", "@nested-nmi", "--console"],
        &["programs"],
        &["schema"],
        &["completions", "bash"],
        &["walk", "@nested-nmi", "_start"],
        &["--help"],
    ] {
        let full = File::options()
            .write(true)
            .open("/dev/full")
            .expect("/dev/full");
        let o = outcome(program().args(words).stdout(full));
        o.is_error(110, &["standard output: cannot be written"]);
    }
}

#[test]
fn a_place_that_cannot_be_written_is_110() {
    let folder = folder();
    let path = folder.path().join("no/such/folder/t.jsonl");
    let o = iretrace(["run", "@nested-nmi", "-o", word(&path)]);
    o.is_error(110, &["no/such/folder/t.jsonl", "make its folder first"]);
    let o = iretrace(["run", "@nested-nmi", "-o", word(folder.path())]);
    o.is_error(110, &["Is a directory", "give a file in it"]);
}

#[test]
fn a_full_file_keeps_whole_records() {
    let folder = folder();
    let path = folder.path().join("t.jsonl");
    // RLIMIT_FSIZE, in KiB, with SIGXFSZ ignored: the write fails with EFBIG half-way.
    let script =
        "trap '' XFSZ; ulimit -f 300; exec \"$0\" run @call-loop -v --format jsonl -o \"$1\"";
    let program = assert_cmd::cargo::cargo_bin("iretrace");
    let o = outcome(
        Command::new("bash")
            .arg("-c")
            .arg(script)
            .arg(program)
            .arg(&path),
    );
    o.is_error(110, &["t.jsonl: cannot be written"]);
    let text = std::fs::read_to_string(&path).expect("UTF-8");
    assert!(
        text.len() > 100_000 && text.len() <= 300 << 10,
        "{}",
        text.len()
    );
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        serde_json::from_str::<serde_json::Value>(line).expect("a whole record");
    }
}

#[test]
fn the_image_is_not_overwritten() {
    let folder = folder();
    let path = file(&folder, "k.S", ENDLESS);
    let o = iretrace(["run", word(&path), "-o", word(&path)]);
    o.is_error(2, &["k.S", "give another file"]);
    assert_eq!(std::fs::read_to_string(path).expect("there"), ENDLESS);
}

#[test]
fn outputs_are_files_of_their_own() {
    let folder = folder();
    let path = file(&folder, "k.S", ENDLESS);
    let here = |name: &str| folder.path().join(name);
    let (trace, other) = (here("t.txt"), here("./t.txt"));
    let o = iretrace([
        "run",
        word(&path),
        "-o",
        word(&trace),
        "--findings",
        word(&other),
    ]);
    o.is_error(2, &["t.txt", "give two"]);
    for option in ["--save", "--findings"] {
        let words = [
            "run",
            word(&path),
            "--until",
            "icount=3",
            option,
            word(&path),
        ];
        let o = iretrace(words.into_iter().chain(["-o", word(&trace)]));
        o.is_error(2, &["k.S", "that is an input"]);
    }
    assert!(!trace.exists());
    assert_eq!(std::fs::read_to_string(path).expect("there"), ENDLESS);
}

/// A state goes where a link leads, with the rights of any new file; without --until there is none.
#[cfg(unix)]
#[test]
fn a_state_is_a_file_as_any_other() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder();
    let path = file(&folder, "k.S", ENDLESS);
    let real = file(&folder, "real.state", "old");
    let link = folder.path().join("link.state");
    std::os::unix::fs::symlink(&real, &link).expect("a link");
    let run = |until: &str| {
        let words = [
            "run",
            word(&path),
            "-q",
            "--until",
            until,
            "--max-insns",
            "10",
        ];
        iretrace(words.into_iter().chain(["--save", word(&link)]))
    };
    let o = run("icount=100");
    assert!(o.stderr.contains("link.state: not written"), "{o:?}");
    assert_eq!(std::fs::read(&real).expect("there"), b"old");
    run("icount=3").ends_with(0);
    assert!(link.is_symlink());
    assert!(std::fs::read(&real).expect("there").len() > 100);
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).expect("there").permissions().mode();
    assert_eq!(mode(&real), mode(&path));
}

#[test]
fn bad_usage_leaves_an_old_trace_alone() {
    let folder = folder();
    let path = file(&folder, "t.txt", "old");
    iretrace(["run", "@nested-nmi", "--nmi", "at=zzz", "-o", word(&path)]).ends_with(2);
    assert_eq!(std::fs::read_to_string(path).expect("there"), "old");
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let folder = folder();
    let endless = file(&folder, "endless.S", ENDLESS);
    for words in [
        &["run", "@nested-nmi"][..],
        &["run", word(&endless), "-v"],
        &["run", word(&endless), "-v", "--format", "jsonl"],
        &["programs", "nested-nmi", "--source"],
    ] {
        let mut child = program()
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut reader = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        drop(reader);
        let status = child.wait().expect("ends");
        let mut said = String::new();
        let mut stderr = child.stderr.take().expect("a pipe");
        stderr.read_to_string(&mut said).expect("UTF-8");
        assert_eq!(status.code(), Some(0), "{words:?}: {said}");
        assert!(!said.contains("iretrace: error"), "{words:?}: {said}");
    }
}

#[test]
fn ctrl_c_ends_the_run_in_good_order() {
    let folder = folder();
    let endless = file(&folder, "endless.S", ENDLESS);
    let trace = folder.path().join("t.jsonl");
    let mut child = program()
        .args([
            "run",
            word(&endless),
            "-v",
            "--format",
            "jsonl",
            "-o",
            word(&trace),
        ])
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    // The first piece in the file says that the run is under way.
    let start = Instant::now();
    while std::fs::metadata(&trace).map_or(0, |m| m.len()) == 0 {
        if start.elapsed() > Duration::from_secs(60) || child.try_wait().expect("waits").is_some() {
            let _ = child.kill();
            panic!("no trace");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let kill = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(kill.expect("kill").success());
    let status = child.wait().expect("ends");
    assert_eq!(status.code(), Some(130));
    let text = std::fs::read_to_string(&trace).expect("UTF-8");
    let last = text.lines().last().expect("a line");
    let last: serde_json::Value = serde_json::from_str(last).expect("a whole record");
    assert_eq!(last["event"], "stop");
    assert_eq!(last["reason"], "interrupted");
}
