//! QEMU: finds it, starts an image in it as the machine would, and reads its log.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use iretrace::arch::{CpuModel, Vendor, state::gpr};
use iretrace::load::{Image, boot};

use crate::attempt::Attempt;
use crate::log;

/// Debian's name of the program; the package is `qemu-system-x86`.
const PROGRAM: &str = "qemu-system-x86_64";

/// RAM that the image is told of. QEMU has more, where its firmware keeps tables.
pub const RAM: u64 = 16 << 20;

const PEER_RAM_MIB: u32 = 64;

/// QEMU's model with everything that TCG can do, made as like ours as it gets.
const CPU: &str = "max,vendor=GenuineIntel,phys-bits=46";

/// A run of some dozens of cases takes less than a second.
const PATIENCE: Duration = Duration::from_secs(3);

const WRAPPER: &str = include_str!("wrapper.S");

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// By the debug-exit port: the value.
    Exit(u32),
    /// Triple fault.
    Shutdown,
    /// Neither, in a time or a number of instructions that is more than enough.
    Stuck,
}

/// What a run delivered, and how it ended.
#[derive(Clone, Debug)]
pub struct Told {
    /// Every event whose delivery began.
    pub attempts: Vec<Attempt>,
    /// The end.
    pub end: End,
}

/// QEMU's version, if it is installed.
pub fn version() -> Option<String> {
    let out = Command::new(PROGRAM).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    text.lines().next().map(str::to_owned)
}

/// Runs `image` in QEMU.
pub fn run(image: &Image) -> Told {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    let start = boot(image, RAM, &CpuModel::of(Vendor::Intel)).expect("the image fits");
    let mut command = Command::new(PROGRAM);
    command
        .args(["-M", "pc", "-accel", "tcg", "-singlestep", "-no-reboot"])
        .args(["-display", "none", "-serial", "none", "-monitor", "none"])
        .args([
            "-nodefaults",
            "-no-user-config",
            "-vga",
            "none",
            "-parallel",
            "none",
        ])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"])
        .args(["-debugcon", "null", "-d", "int,cpu_reset", "-cpu", CPU])
        .arg("-m")
        .arg(PEER_RAM_MIB.to_string())
        .arg("-D")
        .arg(at.join("log"))
        .arg("-bios")
        .arg(wrapper(at, &start.regs));
    for (n, (to, bytes)) in start.writes.iter().enumerate() {
        let name = at.join(format!("ram{n}"));
        std::fs::write(&name, bytes).expect("written");
        command.arg("-device").arg(format!(
            "loader,file={},addr={:#x},force-raw=on",
            name.display(),
            to.0
        ));
    }
    let ended = wait(&mut command);
    let text = std::fs::read(at.join("log")).unwrap_or_default();
    let (attempts, shutdown) = log::read(&String::from_utf8_lossy(&text));
    let end = match ended {
        _ if shutdown => End::Shutdown,
        // isa-debug-exit ends QEMU with (value << 1) | 1.
        Some(code) if code & 1 == 1 => End::Exit(code as u32 >> 1),
        Some(0) | None => End::Stuck,
        Some(code) => panic!("{PROGRAM} ended with {code}"),
    };
    Told { attempts, end }
}

/// The exit code, or nothing where it had to be ended.
fn wait(command: &mut Command) -> Option<i32> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.spawn().expect("QEMU starts");
    let from = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("QEMU can be waited for") {
            return status.code();
        }
        if from.elapsed() > PATIENCE {
            child.kill().expect("QEMU can be ended");
            child.wait().expect("QEMU has ended");
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Assembles and links the wrapper for an image that starts with `regs`: a flat file.
fn wrapper(at: &Path, regs: &iretrace::arch::CpuState) -> std::path::PathBuf {
    let mut source = Vec::new();
    for (name, value) in [
        ("RIP", regs.rip),
        ("RSP", regs.gpr[gpr::RSP]),
        ("CR0", regs.cr0),
        ("CR3", regs.cr3),
        ("CR4", regs.cr4),
        ("EFER", regs.msr.efer),
        ("GDT", regs.gdtr.base),
        ("GDT_LIMIT", regs.gdtr.limit.into()),
    ] {
        writeln!(source, "START_{name} = {value:#x}").expect("memory");
    }
    source.write_all(WRAPPER.as_bytes()).expect("memory");
    std::fs::write(at.join("wrapper.S"), source).expect("written");
    let tool = |name: &str, arguments: &[&str]| {
        let out = Command::new(name)
            .args(arguments)
            .current_dir(at)
            .output()
            .unwrap_or_else(|e| panic!("{name} (package binutils): {e}"));
        assert!(
            out.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
    };
    tool("as", &["--64", "-o", "wrapper.o", "wrapper.S"]);
    tool(
        "ld",
        &[
            "-Ttext=0xf0000",
            "--oformat=binary",
            "-e",
            "rom",
            "-o",
            "wrapper",
            "wrapper.o",
        ],
    );
    at.join("wrapper")
}
