//! SWAPGS, RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE (SDM vol. 2).

use iced_x86::{Instruction, Mnemonic};

use super::checks::{is_canonical_base, require, require_cpl0, require_defined};
use super::operand::{register, set_register};
use crate::arch::bits::cr4;
use crate::arch::{Hex, SegReg, Trap};
use crate::system::{Bus, Cpu};
use crate::trace::{EventClass, EventKind};

/// SWAPGS.
///
/// # Errors
/// #UD outside 64-bit mode; #GP(0) at CPL > 0.
pub fn swapgs(cpu: &mut Cpu, bus: &mut dyn Bus) -> Result<(), Trap> {
    require_defined(cpu.regs.is_64bit())?;
    require_cpl0(&cpu.regs)?;
    let regs = &mut cpu.regs;
    let gs = &mut regs.seg[SegReg::Gs as usize].base;
    std::mem::swap(gs, &mut regs.msr.kernel_gs_base);
    if bus.wants(EventClass::REG) {
        bus.emit(EventKind::Swapgs {
            gs_base: Hex(regs.segment(SegReg::Gs).base),
            kernel_gs_base: Hex(regs.msr.kernel_gs_base),
        });
    }
    Ok(())
}

/// RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE, at any CPL.
///
/// # Errors
/// #UD outside 64-bit mode or with CR4.FSGSBASE = 0; #GP(0) for a base that is not canonical.
pub fn fs_gs_base(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Trap> {
    require_defined(cpu.regs.is_64bit() && cpu.regs.cr4 & cr4::FSGSBASE != 0)?;
    let segment = match insn.mnemonic() {
        Mnemonic::Rdfsbase | Mnemonic::Wrfsbase => SegReg::Fs,
        _ => SegReg::Gs,
    };
    let operand = insn.op0_register();
    match insn.mnemonic() {
        Mnemonic::Rdfsbase | Mnemonic::Rdgsbase => {
            let base = cpu.regs.segment(segment).base;
            set_register(&mut cpu.regs, operand, base);
        }
        _ => {
            let base = register(&cpu.regs, operand);
            require(is_canonical_base(cpu, base), 0)?;
            cpu.regs.segment_mut(segment).base = base;
        }
    }
    Ok(())
}
