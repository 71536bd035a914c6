//! Devices behind ports and physical memory, driven by virtual time alone.

pub mod bus;
pub mod cmos;
pub mod console;
pub mod debug_exit;
pub mod debugcon;
pub mod lapic;
pub mod post;
pub mod signal;
pub mod snapshot;
pub mod system_control;
pub mod traits;
pub mod uart16550;
mod uart16550_receiver;
pub mod watchdog;

pub use bus::{BusSnapshot, ClaimConflict, DeviceBus, all_ones};
pub use cmos::Cmos;
pub use console::ConsoleLines;
pub use debug_exit::DebugExit;
pub use debugcon::DebugConsole;
pub use lapic::{Lapic, LapicConfig};
pub use post::PostPort;
pub use signal::{Concern, Signal};
pub use snapshot::{DeviceState, ForeignState, from_json};
pub use system_control::SystemControl;
pub use traits::{Device, DeviceContext};
pub use uart16550::Uart16550;
pub use watchdog::{WATCHDOG_PORT, Watchdog};
