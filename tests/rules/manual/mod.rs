//! A second statement of event delivery and IRET, written from the manuals' step lists as straight
//! code over flat memory. It shares registers and event types with the emulator, no rule.

mod delivery;
mod iret;
mod memory;
mod model;

pub use delivery::{Attempt, End, deliver};
pub use iret::{Returned, iret};
pub use memory::Memory;
pub use model::{Frames, Model, hidden};
