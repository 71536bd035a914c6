//! What can go wrong between us and Unicorn.

use thiserror::Error;
use unicorn_engine_sys::uc_error;

/// The engine cannot be used; never the guest's doing.
#[derive(Debug, Error)]
pub enum EngineError {
    /// A Unicorn call failed.
    #[error(
        "Unicorn refused to {what}: {error}; this is a fault of iretrace or of the Unicorn library it was built with"
    )]
    Unicorn {
        /// What was asked.
        what: &'static str,
        /// Its answer.
        error: uc_error,
    },
    /// The hidden CPU state is not where it was when this version was written.
    #[error(
        "Unicorn's CPU state is not laid out as in version 2.1.5 ({what}); build iretrace with unicorn-engine =2.1.5 on a 64-bit little-endian host"
    )]
    Layout {
        /// Which probe failed.
        what: String,
    },
    /// The host has not enough memory.
    #[error("the host has no {size} bytes of memory for the guest's RAM; ask for less with --ram")]
    OutOfMemory {
        /// Bytes asked for.
        size: u64,
    },
    /// RAM size that cannot be mapped.
    #[error(
        "{size} bytes cannot be the guest's RAM; it must be a multiple of 4096 between 4096 and 64 GiB"
    )]
    RamSize {
        /// Bytes asked for.
        size: u64,
    },
}

/// Turns a Unicorn result into ours.
pub(super) fn check(error: uc_error, what: &'static str) -> Result<(), EngineError> {
    match error {
        uc_error::OK => Ok(()),
        error => Err(EngineError::Unicorn { what, error }),
    }
}
