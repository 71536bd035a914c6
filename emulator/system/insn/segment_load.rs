//! Loads of data and stack segment registers: MOV, POP, LDS, LES, LFS, LGS, LSS
//! (SDM vol. 2, MOV; vol. 3, 3.4.2, 5.6 and 5.7).

use iced_x86::{Instruction, Mnemonic};

use super::memory::{StackCursor, load, require_memory, segment_operand, source_u16};
use super::operand::set_register;
use crate::arch::{Exception, SegReg, Segment, Selector, Trap, Vector};
use crate::system::{Bus, Cpu, InterruptShadow};

/// Makes every check of a load of `register` with `selector`, and sets the descriptor's Accessed
/// bit; gives what is to be loaded.
///
/// # Errors
/// #UD for CS; #GP, #SS, #NP of the selector; #PF of the table.
pub fn checked_segment(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    register: SegReg,
    selector: u16,
) -> Result<Segment, Exception> {
    let sel = Selector(selector);
    match register {
        SegReg::Cs => return Err(Exception::ud()),
        _ if sel.is_null() => return null_segment(cpu, register, sel),
        _ => {}
    }
    let code = sel.error_code();
    let d = cpu
        .read_descriptor(bus, selector)?
        .ok_or(Exception::gp(code))?;
    let cpl = cpu.regs.cpl;
    let (allowed, not_present) = if register == SegReg::Ss {
        let allowed = sel.rpl() == cpl && d.is_writable() && d.dpl() == cpl;
        (allowed, Vector::SS)
    } else {
        let privileged = d.is_conforming() || (sel.rpl() <= d.dpl() && cpl <= d.dpl());
        (d.is_readable() && privileged, Vector::NP)
    };
    if !allowed {
        return Err(Exception::gp(code));
    }
    if !d.present() {
        return Err(Exception::with_code(not_present, code));
    }
    Ok(cpu.set_accessed(bus, selector, d)?.segment(selector))
}

/// A null SS is for 64-bit mode below CPL 3 with RPL = CPL; the others take any null selector.
fn null_segment(cpu: &Cpu, register: SegReg, selector: Selector) -> Result<Segment, Exception> {
    let regs = &cpu.regs;
    if register == SegReg::Ss && !(regs.is_64bit() && regs.cpl < 3 && selector.rpl() == regs.cpl) {
        return Err(Exception::gp(0));
    }
    let keeps_base =
        matches!(register, SegReg::Fs | SegReg::Gs) && !cpu.model.knobs.null_seg_load_clears_base;
    Ok(Segment {
        base: if keeps_base {
            regs.segment(register).base
        } else {
            0
        },
        ..Segment::null(selector.0)
    })
}

/// The shadow that a load of `register` by MOV or POP leaves (SDM vol. 3, 6.8.3).
const fn shadow_of(register: SegReg) -> InterruptShadow {
    match register {
        SegReg::Ss => InterruptShadow::MovSs,
        _ => InterruptShadow::None,
    }
}

/// MOV Sreg, r/m.
///
/// # Errors
/// #UD for CS; faults of the operand and of the load.
pub fn mov_segment(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    insn: &Instruction,
) -> Result<InterruptShadow, Trap> {
    let register = segment_operand(insn, 0);
    if register == SegReg::Cs {
        return Err(Exception::ud().into());
    }
    let selector = source_u16(cpu, bus, insn, 1)?;
    let segment = checked_segment(cpu, bus, register, selector)?;
    *cpu.regs.segment_mut(register) = segment;
    Ok(shadow_of(register))
}

/// POP Sreg, with an operand size of `size` bytes.
///
/// # Errors
/// #SS(0) or #PF of the stack; faults of the load.
pub fn pop_segment(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    insn: &Instruction,
    size: usize,
) -> Result<InterruptShadow, Trap> {
    let register = segment_operand(insn, 0);
    let mut stack = StackCursor::new(&cpu.regs);
    let selector = stack.pop(cpu, bus, size)? as u16;
    let segment = checked_segment(cpu, bus, register, selector)?;
    // The stack pointer's width is that of the old SS.
    stack.commit(&mut cpu.regs);
    *cpu.regs.segment_mut(register) = segment;
    Ok(shadow_of(register))
}

/// LDS, LES, LFS, LGS, LSS: no shadow, LSS loads RSP with it.
///
/// # Errors
/// Faults of the operand and of the load.
pub fn load_far_pointer(cpu: &mut Cpu, bus: &mut dyn Bus, insn: &Instruction) -> Result<(), Trap> {
    let register = match insn.mnemonic() {
        Mnemonic::Les => SegReg::Es,
        Mnemonic::Lds => SegReg::Ds,
        Mnemonic::Lss => SegReg::Ss,
        Mnemonic::Lfs => SegReg::Fs,
        _ => SegReg::Gs,
    };
    let target = insn.op0_register();
    let (offset, selector) = far_pointer(cpu, bus, insn, target.size())?;
    let segment = checked_segment(cpu, bus, register, selector)?;
    *cpu.regs.segment_mut(register) = segment;
    set_register(&mut cpu.regs, target, offset);
    Ok(())
}

/// Reads a far pointer in memory: an offset of `size` bytes, then a selector.
///
/// # Errors
/// Faults of the operand.
pub fn far_pointer(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    insn: &Instruction,
    size: usize,
) -> Result<(u64, u16), Exception> {
    let at = require_memory(&cpu.regs, insn)?;
    let mut bytes = [0; 10];
    let size = size.min(8);
    load(cpu, bus, &at, &mut bytes[..size + 2])?;
    let mut offset = [0; 8];
    offset[..size].copy_from_slice(&bytes[..size]);
    let selector = u16::from_le_bytes([bytes[size], bytes[size + 1]]);
    Ok((u64::from_le_bytes(offset), selector))
}
