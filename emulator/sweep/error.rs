//! Why a sweep cannot be made.

use thiserror::Error;

use crate::load::LoadError;
use crate::machine::{MachineError, SavedError};
use crate::schedule::ResolveError;

/// A sweep that is not possible as it was asked for.
#[derive(Debug, Error)]
pub enum SweepError {
    /// An event that is none.
    #[error("{text:?} is no event to inject: {why}")]
    Shot {
        /// The event.
        text: String,
        /// Why not, and how to write it.
        why: String,
    },
    /// An event names a place that is not in the image.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The window does not begin.
    #[error("the undisturbed run ends before the window begins: {stop}")]
    NoWindow {
        /// How it ended.
        stop: String,
    },
    /// Too many boundaries.
    #[error("the window has more than {max} boundaries: narrow it with --from and --to")]
    TooLong {
        /// How many are possible.
        max: usize,
    },
    /// The undisturbed run cannot be followed.
    #[error("the undisturbed run: {what}")]
    NotModelled {
        /// What is not modelled.
        what: String,
    },
    /// A run is not a function of its input: a bug of this program.
    #[error("the same run does not come to the boundary {boundary} again: please report this")]
    NotRepeated {
        /// Where.
        boundary: String,
    },
    /// No machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The state to begin from is none of this machine.
    #[error("the saved state: {0}")]
    Saved(#[from] SavedError),
    /// The image does not fit.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The file that keeps what is done cannot be written.
    #[error(
        "{file}: cannot be written: {error}; the parts that it has are kept: mend that, and start it again"
    )]
    Output {
        /// The file.
        file: String,
        /// Why not.
        error: std::io::Error,
    },
    /// A record of an earlier part that does not belong here, or cannot be read.
    #[error("{place}: {why}")]
    Record {
        /// File and line.
        place: String,
        /// What is wrong, and the mend.
        why: String,
    },
}
