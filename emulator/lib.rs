//! iretrace runs small kernel-like x86-64 binaries and traces their faults and NMIs precisely.

pub mod arch;
pub mod device;
pub mod engine;
pub mod load;
pub mod machine;
pub mod schedule;
mod suggest;
pub mod system;
pub mod trace;
