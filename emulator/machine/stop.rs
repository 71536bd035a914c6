//! Why a run ended.

use std::fmt;

use crate::arch::VirtAddr;

/// Where a run shall end, if nothing else ends it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Until {
    /// Nowhere.
    #[default]
    Never,
    /// When this many instructions have retired since reset.
    Icount(u64),
    /// At the first boundary before the instruction at this address.
    Address(VirtAddr),
    /// At the next boundary, before anything is taken there.
    Boundary,
    /// At the first boundary at which the delivery with this number has been resumed, or forgotten,
    /// before anything is taken there.
    Resumed(u64),
}

/// Why a run ended. What the guest did is here, never an error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StopReason {
    /// The guest wrote to the debug-exit port.
    GuestExit {
        /// The value.
        value: u32,
        /// Whether it is the success value.
        success: bool,
    },
    /// An exception while delivering #DF, or a machine check that cannot be taken: shutdown.
    TripleFault,
    /// HLT, and nothing is left that could end it.
    HaltedForever,
    /// As many instructions (or deliveries, or REP iterations) as were allowed.
    Limit {
        /// The limit.
        max_insns: u64,
    },
    /// [`Until`] was reached.
    Until,
    /// The guest needs something that is not modelled.
    NotModelled {
        /// What.
        what: String,
        /// The instruction.
        rip: VirtAddr,
        /// Its bytes, as far as they can be read.
        bytes: Vec<u8>,
    },
    /// A plugin asked for it.
    Plugin {
        /// Its reason.
        text: String,
    },
    /// [`Machine::interrupt_flag`](super::Machine::interrupt_flag) was set.
    Interrupted,
    /// A sink could not write.
    OutputFailed {
        /// The kind of failure.
        error: std::io::ErrorKind,
        /// It in words.
        text: String,
    },
}

impl StopReason {
    /// A short name, as traces have it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::GuestExit { success: true, .. } => "guest-success",
            Self::GuestExit { success: false, .. } => "guest-failure",
            Self::TripleFault => "triple-fault",
            Self::HaltedForever => "halted-forever",
            Self::Limit { .. } => "limit",
            Self::Until => "until",
            Self::NotModelled { .. } => "not-modelled",
            Self::Plugin { .. } => "plugin",
            Self::Interrupted => "interrupted",
            Self::OutputFailed { .. } => "output-failed",
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GuestExit {
                value,
                success: true,
            } => {
                write!(
                    f,
                    "the guest reported success ({value:#x} to the debug-exit port)"
                )
            }
            Self::GuestExit {
                value,
                success: false,
            } => {
                write!(
                    f,
                    "the guest reported failure ({value:#x} to the debug-exit port)"
                )
            }
            Self::TripleFault => f.write_str("triple fault: the processor shut down"),
            Self::HaltedForever => {
                f.write_str("halted for ever: nothing is left that could end HLT")
            }
            Self::Limit { max_insns } => write!(f, "limit of {max_insns} instructions reached"),
            Self::Until => f.write_str("reached where it should stop"),
            Self::NotModelled { what, rip, bytes } => {
                write!(f, "not modelled: {what} at {rip}")?;
                if !bytes.is_empty() {
                    f.write_str(", bytes")?;
                    for byte in bytes {
                        write!(f, " {byte:02x}")?;
                    }
                }
                Ok(())
            }
            Self::Plugin { text } => write!(f, "stopped by a plugin: {text}"),
            Self::Interrupted => f.write_str("interrupted"),
            Self::OutputFailed { text, .. } => write!(f, "output could not be written: {text}"),
        }
    }
}
