//! Pure x86: registers, vectors, error codes, descriptors, frames, the page walk.
//! Nothing here knows Unicorn or does I/O.

pub mod access;
pub mod addr;
pub mod bits;
pub mod cpuid;
pub mod descriptor;
pub mod double_fault;
pub mod error_code;
pub mod exception;
pub mod gate;
pub mod model;
pub mod paging;
pub mod selector;
pub mod state;
pub mod tss;
pub mod vector_info;

pub use access::{Access, AccessKind};
pub use addr::{Hex, PAGE_SIZE, PhysAddr, VirtAddr};
pub use descriptor::{Descriptor, SystemDescriptor};
pub use exception::{EventType, Exception, Trap, Vector};
pub use gate::Gate;
pub use model::{CpuModel, Features, Knobs, Vendor};
pub use selector::Selector;
pub use state::{CpuState, Msrs, SegReg, Segment, TableRegister};
