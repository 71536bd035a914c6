//! The examples in `tests/examples`, as their users would run them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/examples")
}

fn iretrace() -> &'static str {
    env!("CARGO_BIN_EXE_iretrace")
}

#[track_caller]
fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

/// Whether a tool is there. With CI set it must be.
fn has(tool: &str) -> bool {
    let there = Command::new(tool).arg("--version").output().is_ok();
    assert!(
        there || std::env::var_os("CI").is_none(),
        "{tool} is not there"
    );
    if !there {
        eprintln!("SKIPPED: {tool} is not there");
    }
    there
}

#[test]
fn a_c_project_with_a_makefile() {
    if !has("make") || !has("cc") {
        return;
    }
    let build = tempfile::tempdir().expect("a folder");
    let make = |flags: &str| {
        let mut command = Command::new("make");
        command
            .current_dir(examples().join("c-project"))
            .args(["check", &format!("TESTFLAGS={flags}")])
            .env("IRETRACE", iretrace())
            .env("BUILD", build.path());
        run(&mut command)
    };
    let (code, out, err) = make("");
    assert_eq!(code, Some(0), "{out}{err}");
    for name in [
        "a page that is not there is mapped",
        "kills",
        "an NMI arrives anywhere",
    ] {
        let line = out.lines().find(|l| l.ends_with(name));
        assert!(line.is_some_and(|l| l.starts_with("  ok ")), "{out}");
    }
    assert!(out.ends_with("\n3 tests: 3 passed\n"), "{out}");
    let (code, out, err) = make("--format=ktap");
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("KTAP version 1\n1..3\nok 1 "), "{out}");
}

#[test]
fn the_c_project_fails_where_it_should() {
    if !has("make") || !has("cc") {
        return;
    }
    // The same, without the alignment of the stack.
    let folder = tempfile::tempdir().expect("a folder");
    let copy = |name: &str, change: &dyn Fn(String) -> String| {
        let text = std::fs::read_to_string(examples().join("c-project").join(name)).expect(name);
        let to = folder.path().join(name);
        std::fs::create_dir_all(to.parent().expect("a folder")).expect("made");
        std::fs::write(to, change(text)).expect(name);
    };
    for name in ["Makefile", "fault.c", "tests/page-fault.test.toml"] {
        copy(name, &|t| t);
    }
    // 48 bytes of frame, 80 of registers: aligned without AND, and not with one more push.
    copy("entry.S", &|t| t.replace("and     $-16, %rsp", "push %rax"));
    let mut make = Command::new("make");
    let (code, out, err) = run(make
        .current_dir(folder.path())
        .arg("check")
        .env("IRETRACE", iretrace()));
    assert_eq!(code, Some(2), "make's own code\n{out}{err}");
    assert!(err.contains("100"), "iretrace's, as make says it\n{err}");
    assert!(
        out.contains("misaligned at the call of handle_page_fault at page_fault+"),
        "{out}"
    );
    assert!(out.contains("(entry.S:"), "{out}");
}

/// The kernel of `rust-kernel`, built for the host's target so that no other one is needed.
fn kernel(folder: &Path, change: &dyn Fn(String) -> String) -> PathBuf {
    let source =
        std::fs::read_to_string(examples().join("rust-kernel/src/main.rs")).expect("there");
    let (main, elf) = (folder.join("main.rs"), folder.join("kernel"));
    std::fs::write(&main, change(source)).expect("written");
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args([
        "--edition",
        "2024",
        "-C",
        "panic=abort",
        "-C",
        "opt-level=1",
    ]);
    rustc.args(["-C", "relocation-model=static", "-C", "no-redzone=yes"]);
    rustc.args(["-C", "link-args=-nostartfiles -nostdlib -static -no-pie -Wl,--build-id=none -Wl,--defsym=rust_eh_personality=0"]);
    let (code, out, err) = run(rustc.arg("-o").args([&elf, &main]));
    assert_eq!(code, Some(0), "{out}{err}");
    elf
}

/// Runs a kernel as the runner in `.cargo/config.toml` does.
fn run_kernel(change: &dyn Fn(String) -> String) -> (Option<i32>, String, String) {
    let config = std::fs::read_to_string(examples().join("rust-kernel/.cargo/config.toml"));
    let config = config.expect("it is there");
    let runner = config
        .lines()
        .find_map(|l| l.strip_prefix("runner = \"iretrace "));
    let runner = runner.and_then(|l| l.strip_suffix('"')).expect("a runner");
    let folder = tempfile::tempdir().expect("a folder");
    let kernel = kernel(folder.path(), change);
    run(Command::new(iretrace()).args(runner.split(' ')).arg(kernel))
}

#[test]
fn a_rust_kernel_with_a_cargo_runner() {
    let (code, out, err) = run_kernel(&|s| s);
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(
        out,
        "KTAP version 1\n1..2\nok 1 paging is on\nok 2 arithmetic\n"
    );
    assert!(err.contains("iretrace: guest tests: 2 passed\n"), "{err}");
}

#[test]
fn each_way_to_fail_has_its_exit_code() {
    type Change<'a> = &'a dyn Fn(String) -> String;
    let cases: [(Change<'_>, i32, &str); 6] = [
        // A test that fails, although the kernel reports success.
        (
            &|s| s.replace("n * 7 == 42", "n * 7 == 41"),
            98,
            "1 passed, 1 failed (arithmetic)",
        ),
        // Results that never come.
        (
            &|s| s.replace("1..{}\", tests.len()", "1..{}\", 5"),
            98,
            "3 results never came",
        ),
        (
            &|s| s.replace("exit(true)\n", "panic!(\"no\")\n"),
            98,
            "the guest reported failure",
        ),
        (
            &|s| {
                s.replace(
                    "    exit(true)\n",
                    "    out8(0xf5, 0);\n    loop { unsafe { asm!(\"cli; hlt\") } }\n",
                )
                .replace("0xf5", "0x80")
            },
            104,
            "halted for ever",
        ),
        (
            &|s| {
                s.replace(
                    "    exit(true)\n",
                    "    unsafe { asm!(\"ud2\") }\n    loop {}\n",
                )
            },
            102,
            "triple fault",
        ),
        (
            &|s| s.replace("    exit(true)\n", "    loop { core::hint::spin_loop() }\n"),
            103,
            "limit",
        ),
    ];
    for (change, expected, words) in cases {
        let (code, out, err) = run_kernel(change);
        assert_eq!(code, Some(expected), "{words}\n{out}{err}");
        assert!(err.contains(words), "{words}: {err}");
    }
}

/// The crate builds and tests iretrace as a dependency: minutes, so only where CI asks for it.
#[test]
fn a_crate_with_cargo_test() {
    if std::env::var_os("CI").is_none() && std::env::var_os("IRETRACE_EXAMPLES").is_none() {
        eprintln!("SKIPPED: set IRETRACE_EXAMPLES=1 to build the example crate");
        return;
    }
    let folder = examples().join("cargo-tests");
    // Where this test's own dependencies are: what is built there need not be built again.
    let target = Path::new(iretrace())
        .ancestors()
        .nth(2)
        .expect("target/PROFILE/iretrace");
    let lock = folder.join("Cargo.lock");
    std::fs::copy(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock"),
        &lock,
    )
    .expect("copied");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["test", "--offline", "--target-dir"])
        .arg(target);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let (code, out, err) = run(cargo.current_dir(&folder));
    let _ = std::fs::remove_file(lock);
    assert_eq!(code, Some(0), "{out}{err}");
    for name in [
        "a_page_fault_of_the_users",
        "kernel.S::a page fault of the kernel's",
        "kernel.S::the user's GS base is not ours to use",
    ] {
        let line = out.lines().find(|l| l.contains(name));
        assert!(line.is_some_and(|l| l.ends_with("... ok")), "{name}\n{out}");
    }
}
