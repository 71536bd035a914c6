//! Microcode for the instructions that never run natively, one group a file.

pub mod barrier;
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

pub use barrier::is_barrier;
pub use data_access::{DataAccess, data_accesses};
pub use dispatch::{Outcome, execute};
pub use intercept::{Routine, is_intercepted, routine};
pub use near_branch::near_branch;

/// Whether `insn` is IRET, IRETD or IRETQ.
#[must_use]
pub fn is_iret(insn: &iced_x86::Instruction) -> bool {
    routine(insn.code()) == Some(Routine::Iret)
}

/// Which TF decides whether a single-step trap follows an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TrapFlag {
    /// That before it (SDM vol. 3, 17.3.1.4).
    Before,
    /// That after it: SYSCALL, SYSRET (SDM vol. 2, their pages).
    After,
}

/// Which TF counts for `insn`.
#[must_use]
pub fn trap_flag_rule(insn: &iced_x86::Instruction) -> TrapFlag {
    match routine(insn.code()) {
        Some(Routine::Syscall | Routine::Sysret) => TrapFlag::After,
        _ => TrapFlag::Before,
    }
}
#[cfg(test)]
mod tests;
