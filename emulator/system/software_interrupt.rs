//! INT n, INT3, INTO and INT1 (SDM vol. 2, INT n/INTO/INT3/INT1).

use super::{Cpu, PendingEvent};
use crate::arch::bits::rflags;
use crate::arch::{EventType, Exception, Vector};

/// An instruction that interrupts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SoftwareInterrupt {
    /// INT n (CD ib); CD 03 too.
    Int(u8),
    /// INT3 (CC).
    Int3,
    /// INTO (CE).
    Into,
    /// INT1 (F1): no DPL check, EXT is 1.
    Int1,
}

/// The event that the instruction, which ends at `next_rip`, asks for; `None`: INTO with OF = 0.
///
/// # Errors
/// #UD: INTO in 64-bit mode.
pub fn software_interrupt(
    cpu: &Cpu,
    instruction: SoftwareInterrupt,
    next_rip: u64,
) -> Result<Option<PendingEvent>, Exception> {
    let (vector, kind) = match instruction {
        SoftwareInterrupt::Int(n) => (Vector(n), EventType::SoftwareInterrupt),
        SoftwareInterrupt::Int3 => (Vector::BP, EventType::SoftwareException),
        SoftwareInterrupt::Into if cpu.regs.is_64bit() => return Err(Exception::ud()),
        SoftwareInterrupt::Into if cpu.regs.rflags & rflags::OF == 0 => return Ok(None),
        SoftwareInterrupt::Into => (Vector::OF, EventType::SoftwareException),
        SoftwareInterrupt::Int1 => (Vector::DB, EventType::PrivilegedSoftwareException),
    };
    Ok(Some(PendingEvent::software(vector, kind, next_rip)))
}
