//! Runs the program.

use std::path::{Path, PathBuf};
use std::process::Command;

/// How it ended, and what it said.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// It failed with `code` and one line that holds all of `parts`.
    #[track_caller]
    pub fn is_error(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:#?}");
        assert!(self.stderr.starts_with("iretrace: error: "), "{self:#?}");
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} in {self:#?}");
        }
    }

    /// It ended with `code`.
    #[track_caller]
    pub fn ends_with(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// The text holds all of `parts`, in this order.
    #[track_caller]
    pub fn shows(&self, parts: &[&str]) -> &Self {
        let mut rest = self.stdout.as_str();
        for part in parts {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => panic!("{part:?} is not, or not there, in {self:#?}"),
            }
        }
        self
    }
}

/// The program, without the terminal's and the user's settings.
pub fn program() -> Command {
    let mut c = Command::new(assert_cmd::cargo::cargo_bin("iretrace"));
    c.env_remove("NO_COLOR").env_remove("RUST_BACKTRACE");
    c
}

/// Runs the program with `words`.
pub fn iretrace<S: AsRef<std::ffi::OsStr>>(words: impl IntoIterator<Item = S>) -> Outcome {
    outcome(program().args(words))
}

/// Runs `command`.
pub fn outcome(command: &mut Command) -> Outcome {
    let out = command.output().expect("the program starts");
    Outcome {
        code: out.status.code(),
        stdout: String::from_utf8(out.stdout).expect("UTF-8"),
        stderr: String::from_utf8(out.stderr).expect("UTF-8"),
    }
}

/// A folder that goes away.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Writes `text` to the file `name` in `folder`.
pub fn file(folder: &tempfile::TempDir, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("written");
    path
}

/// Assembles `source`, and links it with `script`.
pub fn link(folder: &tempfile::TempDir, source: &str, script: &str) -> PathBuf {
    let source = file(folder, "kernel.s", source);
    let script = file(folder, "kernel.ld", script);
    let (object, elf) = (
        folder.path().join("kernel.o"),
        folder.path().join("kernel.elf"),
    );
    tool(
        Command::new("as")
            .arg("--64")
            .arg("-o")
            .arg(&object)
            .arg(&source),
    );
    tool(
        Command::new("ld")
            .arg("-T")
            .arg(&script)
            .arg("-o")
            .arg(&elf)
            .arg(&object),
    );
    elf
}

fn tool(command: &mut Command) {
    let out = command.output().expect("binutils are there");
    assert!(out.status.success(), "{command:?}: {out:?}");
}

/// `path` as a word.
pub fn word(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
