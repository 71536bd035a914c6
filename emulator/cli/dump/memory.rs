//! Tables in guest memory, as they are there now.

use iretrace::arch::VirtAddr;
use iretrace::machine::Machine;

/// The quadword at the linear address `at`; `None`: not mapped, or not RAM.
pub fn read_u64(machine: &Machine, at: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    machine
        .peek_linear(VirtAddr(at), &mut bytes)
        .then(|| u64::from_le_bytes(bytes))
}

/// The word at the linear address `at`.
pub fn read_u16(machine: &Machine, at: u64) -> Option<u16> {
    let mut bytes = [0; 2];
    machine
        .peek_linear(VirtAddr(at), &mut bytes)
        .then(|| u16::from_le_bytes(bytes))
}
