//! Why a command cannot go on: one line for the user, and an exit code.

use std::io;
use std::path::Path;

use iretrace::engine::EngineError;
use iretrace::load::LoadError;
use iretrace::load::error::printable;
use iretrace::machine::MachineError;
use iretrace::matrix::MatrixError;
use iretrace::schedule::{ResolveError, ScheduleError};
use iretrace::sweep::SweepError;
use iretrace::trace::FilterError;

use super::exit_code::ExitCode;

/// An end with a message. The message is one line; an empty one is not shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The exit code.
    pub code: ExitCode,
    /// What is wrong, where, and how to mend it.
    pub message: String,
}

impl Failure {
    /// Bad usage.
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            code: ExitCode::Usage,
            message: message.into(),
        }
    }

    /// The output called `name` failed; a closed pipe ends quietly.
    pub fn output(name: &str, error: &io::Error) -> Self {
        let code = ExitCode::of_output(error.kind());
        let mend = match error.kind() {
            io::ErrorKind::BrokenPipe => {
                return Self {
                    code,
                    message: String::new(),
                };
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "; make room, trace less (--events), or write elsewhere (--output)"
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                "; choose a place that you may write to"
            }
            io::ErrorKind::NotFound => "; make its folder first, or choose another",
            io::ErrorKind::IsADirectory => "; give a file in it",
            _ => "; write elsewhere (--output)",
        };
        Self {
            code,
            message: format!("{name}: cannot be written: {error}{mend}"),
        }
    }

    /// The output file at `path` failed.
    pub fn output_file(path: &Path, error: &io::Error) -> Self {
        Self::output(&printable(&path.to_string_lossy()), error)
    }

    /// Standard output failed.
    pub fn stdout(error: &io::Error) -> Self {
        Self::output("standard output", error)
    }
}

impl From<LoadError> for Failure {
    fn from(e: LoadError) -> Self {
        Self {
            code: ExitCode::BadInput,
            message: e.to_string(),
        }
    }
}

impl From<SweepError> for Failure {
    fn from(e: SweepError) -> Self {
        let code = match e {
            SweepError::Machine(e) => return e.into(),
            SweepError::Load(e) => return e.into(),
            SweepError::Resolve(e) => return e.into(),
            SweepError::Shot { .. } | SweepError::NoWindow { .. } | SweepError::TooLong { .. } => {
                ExitCode::Usage
            }
            SweepError::NotModelled { .. } => ExitCode::NotModelled,
            SweepError::NotRepeated { .. } => ExitCode::Internal,
            SweepError::Saved(_) | SweepError::Record { .. } => ExitCode::BadInput,
            SweepError::Output { .. } => ExitCode::OutputFailed,
        };
        Self {
            code,
            message: e.to_string(),
        }
    }
}

impl From<MatrixError> for Failure {
    fn from(e: MatrixError) -> Self {
        let message = e.to_string();
        let code = match e {
            MatrixError::Load { error, .. } => Self::from(error).code,
            MatrixError::Sweep { error, .. } => Self::from(error).code,
            MatrixError::Definition(_) => ExitCode::Internal,
            MatrixError::NoWindow { .. } => ExitCode::Usage,
        };
        Self { code, message }
    }
}

impl From<MachineError> for Failure {
    fn from(e: MachineError) -> Self {
        let MachineError::Engine(engine) = &e;
        let code = match engine {
            EngineError::RamSize { .. } | EngineError::OutOfMemory { .. } => ExitCode::BadInput,
            EngineError::Unicorn { .. } | EngineError::Layout { .. } => ExitCode::Internal,
        };
        Self {
            code,
            message: e.to_string(),
        }
    }
}

impl From<ScheduleError> for Failure {
    fn from(e: ScheduleError) -> Self {
        Self::usage(e.to_string())
    }
}

impl From<ResolveError> for Failure {
    fn from(e: ResolveError) -> Self {
        Self::usage(e.to_string())
    }
}

impl From<FilterError> for Failure {
    fn from(e: FilterError) -> Self {
        Self::usage(e.to_string())
    }
}

/// What the parser of the command line says of `words`, on one line: `unexpected argument '--foo'
/// found; tip: ...; see 'iretrace run --help'`.
pub fn usage_line(error: &clap::Error, command: Option<&str>) -> String {
    let text = error.to_string();
    let what = text.split("Usage:").next().unwrap_or_default();
    let what = what.strip_prefix("error:").unwrap_or(what);
    let paragraphs: Vec<String> = what
        .split("\n\n")
        .map(|p| p.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|p| !p.is_empty() && !p.starts_with("For more information"))
        .collect();
    let command = command.map(|c| format!(" {c}")).unwrap_or_default();
    format!("{}; see 'iretrace{command} --help'", paragraphs.join("; "))
}
