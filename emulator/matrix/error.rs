//! Why a matrix cannot be made.

use thiserror::Error;

use crate::load::LoadError;
use crate::sweep::SweepError;

/// A matrix that is not possible as it was asked for.
#[derive(Debug, Error)]
pub enum MatrixError {
    /// The program cannot be had with these definitions.
    #[error("{error} (with {definitions})")]
    Load {
        /// `PAGES=lazy NMI=naive`.
        definitions: String,
        /// Why not.
        error: LoadError,
    },
    /// The sweep of a cell is not possible.
    #[error("{error} (with {definitions})")]
    Sweep {
        /// `PAGES=lazy NMI=naive`.
        definitions: String,
        /// Why not.
        error: SweepError,
    },
    /// A number of tasks, mappings or forks that the program cannot be given.
    #[error("{0}")]
    Definition(#[from] crate::load::DefineError),
    /// The undisturbed run does not come to the window.
    #[error(
        "the run ends before it comes to {symbol:?}: {stop} (with {definitions}); the matrix sweeps \
         from there"
    )]
    NoWindow {
        /// `PAGES=lazy NMI=naive`.
        definitions: String,
        /// Where the window begins.
        symbol: &'static str,
        /// How the run ends.
        stop: String,
    },
}
