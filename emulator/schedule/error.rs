//! What is wrong with a schedule's text.

use thiserror::Error;

/// A text that is no injection: where it goes wrong, what was expected, how to mend it.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{option} {text:?}, column {column}: {problem}; {mend}")]
pub struct ScheduleError {
    /// The option that the text was given to: `--nmi`.
    pub option: &'static str,
    /// The whole text.
    pub text: String,
    /// The character in it where reading stopped, from 1.
    pub column: usize,
    /// What was found, and what was expected.
    pub problem: String,
    /// What to write.
    pub mend: String,
}
