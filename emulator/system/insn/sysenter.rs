//! SYSENTER and SYSEXIT in IA-32e mode (SDM vol. 2).

use iced_x86::{Code, Instruction};

use super::checks::{is_canonical_target, require, require_cpl0, require_defined};
use crate::arch::bits::{efer, rflags};
use crate::arch::state::gpr;
use crate::arch::{SegReg, Segment, Trap, Vendor};
use crate::system::Cpu;

/// AMD processors have neither instruction in long mode (APM vol. 3, SYSENTER).
fn require_available(cpu: &Cpu) -> Result<u16, Trap> {
    let long = cpu.regs.msr.efer & efer::LMA != 0;
    require_defined(!long || cpu.model.vendor == Vendor::Intel)?;
    if !long {
        return Err(Trap::NotModelled(
            "SYSENTER or SYSEXIT outside IA-32e mode".to_owned(),
        ));
    }
    Ok(cpu.regs.msr.sysenter_cs as u16 & !3)
}

/// SYSENTER: to CPL 0 in 64-bit mode with RSP and RIP from MSRs.
///
/// # Errors
/// #GP(0) while IA32_SYSENTER_CS is null; #UD on AMD.
pub fn sysenter(cpu: &mut Cpu) -> Result<(), Trap> {
    let cs = require_available(cpu)?;
    require(cs != 0, 0)?;
    let regs = &mut cpu.regs;
    regs.rflags &= !(rflags::VM | rflags::IF | rflags::RF);
    regs.gpr[gpr::RSP] = regs.msr.sysenter_esp;
    regs.rip = regs.msr.sysenter_eip;
    *regs.segment_mut(SegReg::Cs) = Segment::flat_code64(cs, 0);
    *regs.segment_mut(SegReg::Ss) = Segment::flat_data(cs.wrapping_add(8), 0);
    regs.cpl = 0;
    Ok(())
}

/// SYSEXIT: to CPL 3, RIP from RDX and RSP from RCX; to 64-bit mode with REX.W.
///
/// # Errors
/// #GP(0) at CPL > 0, while IA32_SYSENTER_CS is null, and for addresses that are not canonical;
/// #UD on AMD.
pub fn sysexit(cpu: &mut Cpu, insn: &Instruction) -> Result<(), Trap> {
    let base = require_available(cpu)?;
    require(base != 0, 0)?;
    require_cpl0(&cpu.regs)?;
    let (rip, rsp) = (cpu.regs.gpr[gpr::RDX], cpu.regs.gpr[gpr::RCX]);
    let long = insn.code() == Code::Sysexitq;
    let selector = |offset| base.wrapping_add(offset) | 3;
    if long {
        let canonical = is_canonical_target(cpu, rip) && is_canonical_target(cpu, rsp);
        require(canonical, 0)?;
    }
    let (cs, ss) = if long {
        (Segment::flat_code64(selector(32), 3), selector(40))
    } else {
        (Segment::flat_code32(selector(16), 3), selector(24))
    };
    let mask = if long { u64::MAX } else { 0xffff_ffff };
    let regs = &mut cpu.regs;
    regs.rip = rip & mask;
    regs.gpr[gpr::RSP] = rsp & mask;
    *regs.segment_mut(SegReg::Cs) = cs;
    *regs.segment_mut(SegReg::Ss) = Segment::flat_data(ss, 3);
    regs.cpl = 3;
    Ok(())
}
