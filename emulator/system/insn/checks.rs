//! Checks that many instructions share.

use crate::arch::bits::cr4;
use crate::arch::{CpuState, Exception, VirtAddr};
use crate::system::Cpu;

/// Privileged instructions.
///
/// # Errors
/// #GP(0) unless CPL is 0.
pub fn require_cpl0(regs: &CpuState) -> Result<(), Exception> {
    if regs.cpl == 0 {
        Ok(())
    } else {
        Err(Exception::gp(0))
    }
}

/// What must hold for the opcode to be defined.
///
/// # Errors
/// #UD unless `condition`.
pub fn require_defined(condition: bool) -> Result<(), Exception> {
    if condition {
        Ok(())
    } else {
        Err(Exception::ud())
    }
}

/// A general-protection check.
///
/// # Errors
/// #GP(`code`) unless `condition`.
pub fn require(condition: bool, code: u32) -> Result<(), Exception> {
    if condition {
        Ok(())
    } else {
        Err(Exception::gp(code))
    }
}

/// User-mode instruction prevention: SGDT, SIDT, SLDT, SMSW, STR (SDM vol. 3, 2.5).
///
/// # Errors
/// #GP(0) at CPL > 0 with CR4.UMIP.
pub fn require_umip_allows(regs: &CpuState) -> Result<(), Exception> {
    require(regs.cpl == 0 || regs.cr4 & cr4::UMIP == 0, 0)
}

/// Whether a linear address may go into a base register, an MSR or an INVPCID descriptor. This
/// goes by the widest address that the processor has, not by CR4.LA57 (Intel, 5-level paging
/// white paper, 2.4).
#[must_use]
pub fn is_canonical_base(cpu: &Cpu, address: u64) -> bool {
    VirtAddr(address).is_canonical(cpu.model.features.la57)
}

/// Whether an instruction pointer is one that a branch may go to.
#[must_use]
pub fn is_canonical_target(cpu: &Cpu, rip: u64) -> bool {
    VirtAddr(rip).is_canonical(cpu.regs.la57())
}
