//! What is wrong with a test itself, as against with the code that it tests.

use crate::load::{LoadError, SymbolError};
use crate::machine::MachineError;

/// A test that cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestError {
    /// The code cannot be assembled, linked or read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// There is no machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// A directive cannot be understood.
    #[error(transparent)]
    Directive(#[from] super::directive::DirectiveError),
    /// A name or address is not in the code.
    #[error("{what}: {fault}")]
    Place {
        /// What it was needed for.
        what: String,
        /// What is wrong with it.
        fault: SymbolError,
    },
    /// The set-up contradicts itself, or does not fit.
    #[error("{what}: {problem}")]
    Setup {
        /// What part.
        what: String,
        /// What is wrong, and what to do.
        problem: String,
    },
}

/// Why a name cannot be a stub's.
pub(super) const NO_STUB: &str = "it is no stub: the code defines it, or never refers to it";

impl TestError {
    /// Something about the set-up.
    pub(super) fn setup(what: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Setup {
            what: what.into(),
            problem: problem.into(),
        }
    }
}
