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

/// Boots to the first place to look at, and saves that; then goes on from there, and sweeps one system call;
/// then does `more` with the kernel and the saved state.
fn boots_and_is_swept(append: &str, name: &str, more: fn(&Path, &str)) {
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

    more(&kernel, state);

    // Another kernel command line is another machine.
    let other = iretrace("run", &kernel, "quiet", &["-q", "--load", state]);
    assert_eq!(other.code, Some(96), "{}", other.stderr);
    assert!(other.stderr.contains("--append"), "{}", other.stderr);
    std::fs::remove_file(state).expect("it is there");
}

#[test]
fn one_address_space() {
    boots_and_is_swept(PLAIN, "plain", faults_in_the_nmi_handler);
}

#[test]
fn page_table_isolation() {
    boots_and_is_swept(ISOLATED, "isolated", nmis_on_the_users_page_tables);
}

/// An NMI in the kernel, a page fault that means nothing at each boundary of its handler, and a second NMI that
/// the fault's IRET lets in. The kernel says where nothing may fault: until the hardware's frame has
/// been copied, while the copies are made again, and from the moment when the frame that counts is all that is
/// left. There, and nowhere else, the second NMI does harm.
fn faults_in_the_nmi_handler(kernel: &Path, state: &str) {
    const SETUP: [&str; 2] = ["asm_exc_nmi", "first_nmi"];
    const REBUILD: [&str; 1] = ["repeat_nmi"];
    const LEAVE: [&str; 1] = ["nmi_restore"];
    let report = format!("{state}.json");
    let words = [
        "--load",
        state,
        "--from",
        "do_syscall_64",
        "--to",
        "do_syscall_64+1",
        "--then",
        // Present, and it may be written to: the handler finds nothing wrong.
        "PF,ec=0x3,addr=jiffies_64+nmi",
        "--json",
        &report,
    ];
    let sweep = iretrace("sweep", kernel, PLAIN, &words);
    assert_eq!(sweep.code, Some(100), "{}\n{}", sweep.stdout, sweep.stderr);
    let text = std::fs::read_to_string(&report).expect("a report");
    std::fs::remove_file(&report).expect("it is there");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert!(report["cases"].as_u64() > Some(1000), "{}", sweep.stdout);
    let bad: Vec<String> = report["classes"]
        .as_array()
        .expect("classes")
        .iter()
        .filter(|class| class["verdict"] != "same-except" && class["verdict"] != "same")
        .flat_map(|class| class["ranges"].as_array().expect("ranges").clone())
        .flat_map(|range| [range["from"].clone(), range["to"].clone()])
        .map(|place| place.as_str().expect("a place").to_owned())
        .collect();
    let symbol = |place: &str| place.split('+').next().unwrap_or_default().to_owned();
    for part in [&SETUP[..], &REBUILD, &LEAVE] {
        let found = bad
            .iter()
            .any(|place| part.contains(&symbol(place).as_str()));
        assert!(found, "none in {part:?}: {bad:?}");
    }
    for place in &bad {
        let symbol = symbol(place);
        let known = [&SETUP[..], &REBUILD, &LEAVE];
        assert!(
            known.iter().any(|part| part.contains(&symbol.as_str())),
            "{place} of {bad:?}"
        );
    }
}

/// NMIs at the last boundary of the way in, and at the first of the way out, that have the user's page
/// tables: the NMI's handler loads the kernel's, and its end puts the user's back.
fn nmis_on_the_users_page_tables(kernel: &Path, state: &str) {
    let run = |nmi: &[&str]| {
        let words = ["--load", state, "--until", "init_after_syscall"];
        let words = [&words[..], &["--events", "reg,nmi"], nmi].concat();
        let run = iretrace("run", kernel, ISOLATED, &words);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        run.stdout
    };
    let plain = run(&[]);
    let switches = loads_of_cr3(&plain);
    let [(way_in, user, inside), (way_out, from, to)] = switches[..] else {
        panic!("two loads of CR3: {plain}");
    };
    assert_eq!((user, inside), (to, from), "{plain}");
    assert_ne!(user, inside);
    for icount in [way_in, way_out + 1] {
        let at = format!("icount={icount}");
        let traced = run(&["--nmi", &at]);
        let handler: String = traced
            .lines()
            .skip_while(|l| !l.contains("NMI#1 delivered"))
            .take_while(|l| !l.contains("unblocked by the return of NMI#1"))
            .map(|l| format!("{l}\n"))
            .collect();
        let loads: Vec<_> = loads_of_cr3(&handler)
            .iter()
            .map(|&(_, from, to)| (from.to_owned(), to.to_owned()))
            .collect();
        let (user, inside) = (user.to_owned(), inside.to_owned());
        let there_and_back = [(user.clone(), inside.clone()), (inside, user)];
        assert_eq!(loads, there_and_back, "{at}: {traced}");
    }
}

/// `356693960     | entry_SYSCALL_64+0x1d  cr3 0x5427804 -> 0x5426004`: icount, and the values before and after.
fn loads_of_cr3(trace: &str) -> Vec<(u64, &str, &str)> {
    let load = |line| {
        let (place, values) = str::split_once(line, " cr3 ")?;
        let (from, to) = values.split_once(" -> ")?;
        let icount = place.split_whitespace().next()?.parse().ok()?;
        Some((icount, from, to))
    };
    trace.lines().filter_map(load).collect()
}
