//! A wrong directive: where, what, and what was probably meant.

use crate::printable::printable;
use crate::suggest::Nearest;

/// A directive that cannot be understood.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{file}:{line}:{column}: {problem}")]
pub struct DirectiveError {
    /// The file.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
    /// The column, in characters, from 1.
    pub column: usize,
    /// What is wrong, and what to write.
    pub problem: String,
}

/// `: did you mean 'x'?`, or the words that there are.
pub(super) fn suggestion<'a>(
    text: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    let mut nearest = Nearest::to(text);
    known.clone().into_iter().for_each(|k| nearest.offer(k));
    match nearest.into_best() {
        Some(near) => format!("did you mean '{near}'?"),
        None => {
            let all: Vec<&str> = known.into_iter().collect();
            format!("write one of {}", all.join(", "))
        }
    }
}

/// `no such KIND 'text': did you mean 'x'?`
pub(super) fn unknown<'a>(
    kind: &str,
    text: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    format!(
        "no such {kind} '{}': {}",
        printable(text, 60),
        suggestion(text, known)
    )
}
