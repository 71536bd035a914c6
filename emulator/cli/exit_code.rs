//! Exit codes: the one table of them, in order of precedence.

use std::fmt::Write as _;
use std::process::ExitCode as ProcessExit;

use iretrace::machine::StopReason;

/// How the program ended, for whoever started it. Of several that apply, the first wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ExitCode {
    /// A bug of iretrace; a panic too.
    Internal,
    /// The command line is wrong, the schedule and the names in it included.
    Usage,
    /// A file or the configuration is wrong.
    BadInput,
    /// The guest needs what is not modelled.
    NotModelled,
    /// Ctrl-C.
    Interrupted,
    /// Output could not be written. A closed pipe is [`Success`](Self::Success).
    OutputFailed,
    /// The guest shut the processor down.
    TripleFault,
    /// The guest reported failure.
    GuestFailure,
    /// HLT with nothing left that could end it.
    Halted,
    /// The limit on instructions.
    Limit,
    /// A golden trace differs.
    Golden,
    /// Findings at or above the denied level; failing tests.
    Findings,
    /// Fine.
    Success,
}

/// Every exit code with its number and meaning.
pub const TABLE: [(ExitCode, u8, &str); 13] = [
    (
        ExitCode::Internal,
        1,
        "a bug of iretrace (panics too); please report it",
    ),
    (
        ExitCode::Usage,
        2,
        "usage: an option, a schedule, or a name in one of them",
    ),
    (
        ExitCode::BadInput,
        96,
        "a file or the machine's configuration is bad",
    ),
    (
        ExitCode::NotModelled,
        97,
        "the guest needs an instruction or device that is not modelled",
    ),
    (ExitCode::Interrupted, 130, "interrupted by Ctrl-C"),
    (
        ExitCode::OutputFailed,
        110,
        "output could not be written (a closed pipe ends quietly with 0)",
    ),
    (ExitCode::TripleFault, 102, "triple fault"),
    (
        ExitCode::GuestFailure,
        98,
        "the guest reported failure through its debug-exit port",
    ),
    (ExitCode::Halted, 104, "halted for ever"),
    (
        ExitCode::Limit,
        103,
        "the limit on instructions was reached",
    ),
    (ExitCode::Golden, 105, "a golden trace differs"),
    (
        ExitCode::Findings,
        100,
        "findings at or above the denied level, or failing tests",
    ),
    (ExitCode::Success, 0, "fine"),
];

impl ExitCode {
    /// Its number.
    pub fn number(self) -> u8 {
        TABLE
            .iter()
            .find(|row| row.0 == self)
            .map_or(1, |row| row.1)
    }

    /// What the end of a run says.
    pub fn of_stop(stop: &StopReason) -> Self {
        match stop {
            StopReason::GuestExit { success: true, .. }
            | StopReason::Until
            | StopReason::Plugin { .. } => Self::Success,
            StopReason::GuestExit { success: false, .. } => Self::GuestFailure,
            StopReason::TripleFault => Self::TripleFault,
            StopReason::HaltedForever => Self::Halted,
            StopReason::Limit { .. } => Self::Limit,
            StopReason::NotModelled { .. } => Self::NotModelled,
            StopReason::Interrupted => Self::Interrupted,
            StopReason::OutputFailed { error, .. } => Self::of_output(*error),
        }
    }

    /// What a failure to write says.
    pub fn of_output(kind: std::io::ErrorKind) -> Self {
        match kind {
            std::io::ErrorKind::BrokenPipe => Self::Success,
            _ => Self::OutputFailed,
        }
    }
}

impl From<ExitCode> for ProcessExit {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

/// The table as the long help shows it.
pub fn help() -> String {
    let mut text = String::from("Exit codes (the first that applies):\n");
    for (_, number, meaning) in TABLE {
        let _ = writeln!(text, "  {number:>3}  {meaning}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_of_precedence_and_unambiguous() {
        assert!(TABLE.is_sorted_by(|a, b| a.0 < b.0));
        for (i, a) in TABLE.iter().enumerate() {
            assert!(TABLE[..i].iter().all(|b| b.1 != a.1), "{} twice", a.1);
        }
        // Design, section 4.
        let numbers = TABLE.map(|row| row.1);
        assert_eq!(
            numbers,
            [1, 2, 96, 97, 130, 110, 102, 98, 104, 103, 105, 100, 0]
        );
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        use std::io::ErrorKind;
        assert_eq!(ExitCode::of_output(ErrorKind::BrokenPipe).number(), 0);
        assert_eq!(ExitCode::of_output(ErrorKind::StorageFull).number(), 110);
        assert_eq!(ExitCode::of_output(ErrorKind::Other).number(), 110);
    }
}
