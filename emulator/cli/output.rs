//! Where results go: standard output, or the file of `--output`.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use clap::ValueEnum;

use super::exit_code::ExitCode;
use super::failure::Failure;

/// `--color`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set or TERM is dumb
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    /// Whether standard output (or, with `file`, a file) gets colours.
    pub fn wanted(self, file: bool) -> bool {
        self.decide(!file && io::stdout().is_terminal())
    }

    /// Whether standard error gets colours.
    pub fn wanted_on_stderr(self) -> bool {
        self.decide(io::stderr().is_terminal())
    }

    fn decide(self, terminal: bool) -> bool {
        let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
                !set("NO_COLOR") && !dumb && terminal
            }
        }
    }
}

/// Prints a result on standard output.
pub fn print(text: &str) -> Result<ExitCode, Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|e| Failure::stdout(&e))?;
    Ok(ExitCode::Success)
}

/// Creates a file that is written bit by bit; [`distinct`](super::files::distinct) has looked at it.
pub fn create(path: &Path) -> Result<File, Failure> {
    File::create(path).map_err(|e| Failure::output_file(path, &e))
}
