//! STI, CLI, POPF, PUSHF, CLAC, STAC, HLT (SDM vol. 2).

use iced_x86::{Instruction, Mnemonic};

use super::checks::{require, require_cpl0, require_defined};
use super::memory::StackCursor;
use crate::arch::Trap;
use crate::arch::bits::rflags;
use crate::system::{Bus, Cpu, InterruptShadow};

/// STI: a shadow follows only if IF was 0.
///
/// # Errors
/// #GP(0) if CPL > IOPL (CR4.PVI and VME cannot be set).
pub fn sti(cpu: &mut Cpu) -> Result<InterruptShadow, Trap> {
    require(cpu.regs.cpl <= cpu.regs.iopl(), 0)?;
    let was_clear = cpu.regs.rflags & rflags::IF == 0;
    cpu.regs.rflags |= rflags::IF;
    Ok(if was_clear {
        InterruptShadow::Sti
    } else {
        InterruptShadow::None
    })
}

/// CLI.
///
/// # Errors
/// As [`sti`].
pub fn cli(cpu: &mut Cpu) -> Result<(), Trap> {
    require(cpu.regs.cpl <= cpu.regs.iopl(), 0)?;
    cpu.regs.rflags &= !rflags::IF;
    Ok(())
}

/// The flags that POPF takes from the stack, of `size` bytes.
const fn popf_loads(size: usize, cpl: u8, iopl: u8) -> u64 {
    let mut mask = rflags::STATUS | rflags::TF | rflags::DF | rflags::NT;
    if size >= 4 {
        mask |= rflags::AC | rflags::ID;
    }
    if cpl <= iopl {
        mask |= rflags::IF;
    }
    if cpl == 0 {
        mask |= rflags::IOPL;
    }
    mask
}

/// POPF: RF becomes 0, with a 32- or 64-bit operand VIF and VIP too (SDM vol. 2, table 4-15).
///
/// # Errors
/// #SS(0) or #PF of the stack.
pub fn popf(cpu: &mut Cpu, bus: &mut dyn Bus, size: usize) -> Result<(), Trap> {
    let mut stack = StackCursor::new(&cpu.regs);
    let popped = stack.pop(cpu, bus, size)?;
    let regs = &mut cpu.regs;
    let loads = popf_loads(size, regs.cpl, regs.iopl());
    let mut clears = rflags::RF;
    if size >= 4 {
        clears |= rflags::VIF | rflags::VIP;
    }
    regs.rflags = regs.rflags & !loads & !clears | popped & loads | rflags::FIXED;
    stack.commit(regs);
    Ok(())
}

/// PUSHF: the image has RF and VM clear.
///
/// # Errors
/// As [`popf`].
pub fn pushf(cpu: &mut Cpu, bus: &mut dyn Bus, size: usize) -> Result<(), Trap> {
    let image = cpu.regs.rflags & !(rflags::RF | rflags::VM);
    let mut stack = StackCursor::new(&cpu.regs);
    stack.push(cpu, bus, size, &[image])?;
    stack.commit(&mut cpu.regs);
    Ok(())
}

/// CLAC and STAC.
///
/// # Errors
/// #UD without SMAP, and at CPL > 0.
pub fn alignment_flag(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Trap> {
    require_defined(cpu.model.features.smap && cpu.regs.cpl == 0)?;
    match insn.mnemonic() {
        Mnemonic::Stac => cpu.regs.rflags |= rflags::AC,
        _ => cpu.regs.rflags &= !rflags::AC,
    }
    Ok(())
}

/// HLT.
///
/// # Errors
/// #GP(0) at CPL > 0.
pub fn hlt(cpu: &Cpu) -> Result<(), Trap> {
    Ok(require_cpl0(&cpu.regs)?)
}
