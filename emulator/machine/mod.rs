//! One computer: it owns CPU, RAM, devices and schedule, and runs them.
//!
//! [`Machine::run`] is a loop of two steps. At a *boundary* between two instructions it lets
//! devices act, asks the schedule what is due, and applies the priority list of
//! [`crate::system::boundary`]; what is taken is delivered, which leads to a new boundary. Then the
//! engine runs guest code natively, as far as nothing can become due, or microcode executes one
//! instruction that never runs natively.

mod access;
mod boundary;
mod check;
mod clock;
mod compare;
mod computer;
mod config;
mod fetch;
mod guard;
mod log;
mod plugin;
mod recorder;
mod run;
mod saved;
mod saved_file;
mod snapshot;
mod stop;
mod tell;
mod view;
mod world;

pub use clock::TimeMode;
pub use compare::{Differences, MemoryDifference, Moment};
pub use computer::Machine;
pub use config::{DEFAULT_MAX_INSNS, MachineConfig, MachineError, SUCCESS_VALUE, TlbMode};
pub use plugin::{Control, Plugin};
pub use recorder::{PhysAccess, Touch};
pub use saved::{SavedError, SavedState};
pub use snapshot::{Mark, Snapshot};
pub use stop::{StopReason, Until};
pub use world::ConsoleListener;
