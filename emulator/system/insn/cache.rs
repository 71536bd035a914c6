//! INVLPG, INVPCID, INVD, WBINVD, CLFLUSH, CLFLUSHOPT, CLWB (SDM vol. 2).

use iced_x86::Instruction;

use super::checks::{is_canonical_base, require, require_cpl0, require_defined};
use super::memory::{load, probe, require_memory};
use super::operand::register;
use crate::arch::bits::cr4;
use crate::arch::{AccessKind, Trap, VirtAddr};
use crate::system::{Bus, Cpu};

/// INVLPG: the address is not accessed, and need not be canonical.
///
/// # Errors
/// #GP(0) at CPL > 0.
pub fn invlpg(cpu: &mut Cpu, bus: &mut dyn Bus, insn: &Instruction) -> Result<(), Trap> {
    let at = require_memory(&cpu.regs, insn)?;
    require_cpl0(&cpu.regs)?;
    cpu.invlpg(bus, at.linear);
    Ok(())
}

/// INVPCID.
///
/// ```text
///  127        64 63        12 11   0
/// +-------------+------------+------+
/// | address     | 0          | PCID |
/// +-------------+------------+------+
/// ```
///
/// # Errors
/// #UD if the CPU has none; #GP(0) at CPL > 0, for an unknown type, reserved bits, a PCID without
/// CR4.PCIDE, an address that is not canonical; faults of the operand.
pub fn invpcid(cpu: &mut Cpu, bus: &mut dyn Bus, insn: &Instruction) -> Result<(), Trap> {
    require_defined(cpu.model.features.invpcid)?;
    require_cpl0(&cpu.regs)?;
    let kind = register(&cpu.regs, insn.op0_register());
    require(kind <= 3, 0)?;
    let at = require_memory(&cpu.regs, insn)?;
    let mut bytes = [0; 16];
    load(cpu, bus, &at, &mut bytes)?;
    let all = u128::from_le_bytes(bytes);
    let (low, address) = (all as u64, (all >> 64) as u64);
    require(low >> 12 == 0, 0)?;
    if kind < 2 {
        require(cpu.regs.cr4 & cr4::PCIDE != 0 || low == 0, 0)?;
    }
    if kind == 0 {
        require(is_canonical_base(cpu, address), 0)?;
    }
    cpu.invpcid(bus, kind as u8, low as u16, VirtAddr(address));
    Ok(())
}

/// INVD, WBINVD, WBNOINVD: there are no caches to see.
///
/// # Errors
/// #GP(0) at CPL > 0.
pub fn cache_invalidate(cpu: &Cpu) -> Result<(), Trap> {
    Ok(require_cpl0(&cpu.regs)?)
}

/// CLFLUSH, CLFLUSHOPT, CLWB: checked as a load of the byte.
///
/// # Errors
/// Faults of the operand.
pub fn cache_line_flush(cpu: &mut Cpu, bus: &mut dyn Bus, insn: &Instruction) -> Result<(), Trap> {
    let at = require_memory(&cpu.regs, insn)?;
    Ok(probe(cpu, bus, &at, 1, AccessKind::Read)?)
}
