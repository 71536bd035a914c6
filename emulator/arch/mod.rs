//! Pure x86: registers, vectors, error codes, descriptors, frames, the page walk.
//! Nothing here knows Unicorn or does I/O.

pub mod access;
pub mod addr;
pub mod bits;
pub mod exception;
pub mod model;
pub mod state;

pub use access::{Access, AccessKind};
pub use addr::{Hex, PAGE_SIZE, PhysAddr, VirtAddr};
pub use exception::{EventType, Exception, Trap, Vector};
pub use model::{CpuModel, Features, Knobs, Vendor};
pub use state::{CpuState, Msrs, SegReg, Segment, TableRegister};
