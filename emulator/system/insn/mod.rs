//! Microcode for the instructions that never run natively, one group a file.

pub mod base;
pub mod cache;
pub mod checks;
pub mod control;
pub mod counter;
pub mod data_access;
pub mod debug;
pub mod dispatch;
pub mod extended;
pub mod far_branch;
pub mod far_target;
pub mod flags;
pub mod intercept;
pub mod memory;
pub mod msr;
pub mod near_branch;
pub mod operand;
pub mod port_io;
pub mod segment_load;
pub mod segment_query;
pub mod sysenter;
pub mod system_segment;

pub use data_access::{DataAccess, data_accesses};
pub use dispatch::{Outcome, execute};
pub use intercept::{Routine, is_intercepted, routine};
pub use near_branch::near_branch;

#[cfg(test)]
mod tests;
