//! Runs `as` and `ld` under limits of time, memory and file size.
//!
//! The limits are the shell's `ulimit`; a clock that kills stands behind them, since a process
//! that waits uses no CPU time.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::assemble::Limits;
use super::error::LoadError;

/// Sets each limit that may be set, then becomes the tool. A subshell tries first, because a
/// failing `ulimit` may end the shell: all at once, and one by one only if that fails.
const LIMITED: &str = r#"all() { ulimit -c 0 && ulimit -t "$1" && ulimit -f "$2" && ulimit -v "$3"; }
limit() { (ulimit "$1" "$2") 2>/dev/null && ulimit "$1" "$2"; }
if (all "$@") 2>/dev/null; then all "$@"
else limit -c 0; limit -t "$1"; limit -f "$2"; limit -v "$3"; fi
shift 3; exec "$@""#;

/// How much of a tool's output is read.
const MOST_TEXT: u64 = 256 << 10;

/// Exit status of a shell that cannot find what it should exec (POSIX, 2.8.2).
const NOT_FOUND: i32 = 127;

#[cfg(target_arch = "x86_64")]
const PREFIX: &str = "";
#[cfg(not(target_arch = "x86_64"))]
const PREFIX: &str = "x86_64-linux-gnu-";

/// A tool of GNU binutils.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tool {
    /// The assembler.
    As,
    /// The linker.
    Ld,
}

/// How a tool ended.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) success: bool,
    pub(super) status: String,
    /// What it printed.
    pub(super) text: String,
}

impl Tool {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::As => "as",
            Self::Ld => "ld",
        }
    }

    /// Runs it in `root/source`; `file` is for errors.
    pub(super) fn run(
        self,
        file: &str,
        root: &Path,
        arguments: &[OsString],
        limits: Limits,
    ) -> Result<Outcome, LoadError> {
        let work = |cause: std::io::Error| LoadError::Work {
            file: file.to_owned(),
            place: format!("running {}", self.name()),
            cause: cause.to_string(),
        };
        let messages = root.join("messages");
        let out = File::create(&messages).map_err(work)?;
        let err = out.try_clone().map_err(work)?;
        let child = Command::new("sh")
            .args(["-c", LIMITED, "sh"])
            .arg(limits.seconds.max(1).to_string())
            // POSIX counts file sizes in units of 512 bytes, memory in KiB.
            .arg((limits.output / 512).to_string())
            .arg((limits.memory / 1024).to_string())
            .arg(format!("{PREFIX}{}", self.name()))
            .args(arguments)
            .current_dir(root.join("source"))
            .env("LC_ALL", "C")
            .env_remove("LANGUAGE")
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn();
        let mut child = match child {
            Ok(c) => c,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(missing(file, "sh", "dash"));
            }
            Err(e) => return Err(work(e)),
        };
        let deadline = Instant::now() + Duration::from_secs(limits.seconds.max(1).into());
        // Most sources take a few milliseconds, and tests assemble thousands.
        let mut pause = Duration::from_micros(500);
        let status = loop {
            if let Some(status) = child.try_wait().map_err(work)? {
                break status;
            }
            if Instant::now() >= deadline {
                // It may have ended just now: then there is nothing to kill, and that is fine.
                let _ = child.kill();
                let _ = child.wait();
                return Err(self.stopped(file, format!("took more than {} s", limits.seconds)));
            }
            std::thread::sleep(pause);
            pause = (pause * 5 / 4).min(Duration::from_millis(16));
        };
        let mut text = Vec::new();
        File::open(&messages)
            .and_then(|f| f.take(MOST_TEXT).read_to_end(&mut text))
            .map_err(work)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        if status.code() == Some(NOT_FOUND) {
            return Err(missing(file, self.name(), "binutils"));
        }
        if let Some(limit) = reached(status, &text, limits) {
            return Err(self.stopped(file, limit));
        }
        Ok(Outcome {
            success: status.success(),
            status: status.to_string(),
            text,
        })
    }

    fn stopped(self, file: &str, limit: String) -> LoadError {
        LoadError::AssembleLimit {
            file: file.to_owned(),
            tool: self.name(),
            limit,
        }
    }
}

fn missing(file: &str, tool: &'static str, package: &'static str) -> LoadError {
    LoadError::ToolMissing {
        file: file.to_owned(),
        tool,
        package,
    }
}

/// Which limit ended a tool that did not succeed.
fn reached(status: ExitStatus, text: &str, limits: Limits) -> Option<String> {
    if status.success() {
        return None;
    }
    let said = |words: &[&str]| {
        let text = text.to_lowercase();
        words.iter().any(|w| text.contains(w))
    };
    let signal = signal(status);
    if signal == Some(SIGXFSZ) || said(&["file too large"]) {
        return Some(format!("its output is larger than {} bytes", limits.output));
    }
    if matches!(signal, Some(SIGXCPU | SIGKILL)) {
        return Some(format!("took more than {} s", limits.seconds));
    }
    if said(&[
        "memory exhausted",
        "out of memory",
        "cannot allocate memory",
    ]) {
        return Some(format!("needs more than {} bytes of memory", limits.memory));
    }
    None
}

const SIGKILL: i32 = 9;
const SIGXCPU: i32 = 24;
const SIGXFSZ: i32 = 25;

#[cfg(unix)]
fn signal(status: ExitStatus) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt;
    status.signal()
}

#[cfg(not(unix))]
fn signal(_: ExitStatus) -> Option<i32> {
    None
}
