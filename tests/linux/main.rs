//! A stock Linux kernel: it boots, the checks stay silent, and its NMI entry is swept.
//!
//! The kernel is the file that `IRETRACE_LINUX` names, or else the newest `/boot/vmlinuz-*-amd64`; on Debian
//! `apt install linux-image-cloud-amd64` has one. Without a kernel the tests say so and pass, but for
//! CI, where it is an error.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The options that leave out what a boot can do without, and the kernel's own default of both.
const PLAIN: &str = "nopti mitigations=off";
const ISOLATED: &str = "pti=on";

fn kernel() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("IRETRACE_LINUX") {
        return Some(path.into());
    }
    let found = std::fs::read_dir("/boot").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = found
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("vmlinuz-") && name.ends_with("-amd64")
        })
        .collect();
    found.sort();
    let found = found.pop();
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "no Linux kernel");
        // Not by a macro: the test harness would keep that to itself.
        let _ = std::io::stderr().write_all(
            b"\nSKIPPED: no Linux kernel; name one with IRETRACE_LINUX, or apt install linux-image-cloud-amd64\n\n",
        );
    }
    found
}

struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn iretrace(command: &str, kernel: &Path, append: &str, words: &[&str]) -> Outcome {
    let out = Command::new(assert_cmd::cargo::cargo_bin("iretrace"))
        .arg(command)
        .arg(kernel)
        .args(["--append", append])
        .args(words)
        .output()
        .expect("the program runs");
    Outcome {
        code: out.status.code(),
        stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
    }
}

/// What the checks say of the boot: nothing but that the kernel's test of INT3, which returns elsewhere by a
/// frame that it has moved, is never resumed.
fn is_silent(outcome: &Outcome) -> bool {
    let found = |level: &str| outcome.stderr.lines().any(|l| l.starts_with(level));
    !found("error") && !found("warning")
}

/// Boots to the first place to look at, and saves that; then goes on from there, and sweeps one system call.
fn boots_and_is_swept(append: &str, name: &str) {
    let Some(kernel) = kernel() else {
        return;
    };
    let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("linux-{name}.state"));
    let state = state.to_str().expect("a path of UTF-8");
    let place = ["--console", "--until", "init_syscall", "--save", state];
    let boot = iretrace("run", &kernel, append, &place);
    assert_eq!(boot.code, Some(0), "{}", boot.stderr);
    assert!(is_silent(&boot), "{}", boot.stderr);
    for line in [
        "Linux version ",
        "init: a process runs",
        "init: pages come on demand",
    ] {
        assert!(boot.stdout.contains(line), "{line:?} in {}", boot.stdout);
    }

    let rest = iretrace("run", &kernel, append, &["-q", "--load", state]);
    assert_eq!(rest.code, Some(0), "{}", rest.stderr);
    assert!(rest.stderr.contains("the guest reported success"));
    assert!(is_silent(&rest), "{}", rest.stderr);

    let window = ["--load", state, "--to", "init_after_syscall"];
    let sweep = iretrace("sweep", &kernel, append, &window);
    assert_eq!(sweep.code, Some(0), "{}\n{}", sweep.stdout, sweep.stderr);
    let summary = sweep.stdout.lines().nth(1).unwrap_or_default();
    let cases = summary.split_whitespace().next().unwrap_or_default();
    assert!(
        summary.ends_with(&format!(": {cases} same-except")),
        "{summary}"
    );

    // Another kernel command line is another machine.
    let other = iretrace("run", &kernel, "quiet", &["-q", "--load", state]);
    assert_eq!(other.code, Some(96), "{}", other.stderr);
    assert!(other.stderr.contains("--append"), "{}", other.stderr);
    std::fs::remove_file(state).expect("it is there");
}

#[test]
fn one_address_space() {
    boots_and_is_swept(PLAIN, "plain");
}

#[test]
fn page_table_isolation() {
    boots_and_is_swept(ISOLATED, "isolated");
}
