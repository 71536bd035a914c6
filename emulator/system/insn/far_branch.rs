//! Far JMP, CALL and RET in IA-32e mode (SDM vol. 2, JMP, CALL, RET; vol. 3, 5.8).

use iced_x86::{Code, Instruction};

use super::far_target::{FarTarget, Transfer, check_offset, far_operand, far_target};
use super::memory::StackCursor;
use crate::arch::state::gpr;
use crate::arch::tss::rsp_offset;
use crate::arch::{
    Access, AccessKind, Exception, SegReg, Segment, Selector, Trap, Vector, VirtAddr,
};
use crate::system::debug::data_breakpoints;
use crate::system::iret::{check_code_segment, check_stack_segment, drop_inner_segment};
use crate::system::{Bus, Cpu};

/// Far JMP.
///
/// # Errors
/// Those of the operand, of [`far_target`] and of the offset.
pub fn far_jump(cpu: &mut Cpu, bus: &mut dyn Bus, insn: &Instruction) -> Result<(), Trap> {
    let (offset, selector, _) = far_operand(cpu, bus, insn)?;
    let target = far_target(cpu, bus, Transfer::Jump, selector, offset)?;
    check_offset(cpu, target.code, target.rip)?;
    let cs = target.code_segment(cpu, bus)?;
    enter(cpu, cs, &target);
    Ok(())
}

/// Far CALL, through a gate to an inner level too.
///
/// # Errors
/// As [`far_jump`]; #SS(0) or #PF of the stack; #TS of the TSS.
pub fn far_call(cpu: &mut Cpu, bus: &mut dyn Bus, insn: &Instruction) -> Result<(), Trap> {
    let (offset, selector, size) = far_operand(cpu, bus, insn)?;
    let target = far_target(cpu, bus, Transfer::Call, selector, offset)?;
    if target.cpl < cpu.regs.cpl {
        return Ok(call_inner(cpu, bus, insn, &target)?);
    }
    let size = if target.gate { 8 } else { size };
    let mut stack = StackCursor::new(&cpu.regs);
    stack.probe_push(cpu, bus, size, 2)?;
    check_offset(cpu, target.code, target.rip)?;
    let cs = target.code_segment(cpu, bus)?;
    let old_cs = u64::from(cpu.regs.cs().selector);
    stack.push(cpu, bus, size, &[old_cs, insn.next_ip()])?;
    let hits = data_breakpoints(
        &cpu.regs,
        stack.top(&cpu.regs),
        2 * size as u64,
        AccessKind::Write,
    );
    cpu.pending_db |= hits;
    stack.commit(&mut cpu.regs);
    enter(cpu, cs, &target);
    Ok(())
}

/// A CALL through a gate to an inner level: the new RSP comes from the TSS, SS becomes null, and
/// SS, RSP, CS, RIP are pushed. There are no parameters to copy.
fn call_inner(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    insn: &Instruction,
    target: &FarTarget,
) -> Result<(), Exception> {
    let rsp = inner_rsp(cpu, bus, target.cpl)?;
    let access = Access::explicit(AccessKind::Write, target.cpl);
    for slot in 1..=4u64 {
        let at = VirtAddr(rsp.wrapping_sub(8 * slot));
        cpu.probe(bus, at, 8, access, true)?;
    }
    check_offset(cpu, target.code, target.rip)?;
    let cs = target.code_segment(cpu, bus)?;
    let regs = &cpu.regs;
    let frame = [
        insn.next_ip(),
        u64::from(regs.cs().selector),
        regs.rsp(),
        u64::from(regs.ss().selector),
    ];
    let mut bytes = [0; 32];
    for (to, value) in bytes.chunks_exact_mut(8).zip(frame) {
        to.copy_from_slice(&value.to_le_bytes());
    }
    let new_rsp = rsp.wrapping_sub(32);
    cpu.write(bus, VirtAddr(new_rsp), &bytes, access, true)?;
    cpu.pending_db |= data_breakpoints(&cpu.regs, VirtAddr(new_rsp), 32, AccessKind::Write);
    cpu.regs.gpr[gpr::RSP] = new_rsp;
    *cpu.regs.segment_mut(SegReg::Ss) = Segment::null(u16::from(target.cpl));
    enter(cpu, cs, target);
    Ok(())
}

/// RSP`cpl` in the TSS.
///
/// # Errors
/// #TS of TR: beyond its limit; #PF.
fn inner_rsp(cpu: &mut Cpu, bus: &mut dyn Bus, cpl: u8) -> Result<u64, Exception> {
    let tr = cpu.regs.tr;
    let invalid = Exception::with_code(Vector::TS, Selector(tr.selector).error_code());
    let offset = rsp_offset(cpl);
    if !tr.usable() || offset + 7 > tr.limit {
        return Err(invalid);
    }
    let at = VirtAddr(tr.base.wrapping_add(u64::from(offset)));
    cpu.read_u64(bus, at, Access::implicit(AccessKind::Read), false)
        .map_err(|e| match e.vector {
            Vector::GP => invalid,
            _ => e,
        })
}

/// Loads CS, RIP and CPL.
fn enter(cpu: &mut Cpu, cs: Segment, target: &FarTarget) {
    let regs = &mut cpu.regs;
    *regs.segment_mut(SegReg::Cs) = cs;
    regs.rip = target.rip;
    regs.cpl = target.cpl;
}

/// Far RET, with an operand size of 2, 4 or 8 bytes. It leaves the NMI-blocking bit alone.
///
/// # Errors
/// #SS(0) or #PF of the stack; #GP, #NP of CS, #GP, #SS of SS; #GP(0) of the offset.
pub fn far_return(cpu: &mut Cpu, bus: &mut dyn Bus, insn: &Instruction) -> Result<(), Trap> {
    let size = match insn.code() {
        Code::Retfw | Code::Retfw_imm16 => 2,
        Code::Retfd | Code::Retfd_imm16 => 4,
        _ => 8,
    };
    let dropped = match insn.op_count() {
        0 => 0,
        _ => u64::from(insn.immediate16()),
    };
    let mut stack = StackCursor::new(&cpu.regs);
    let rip = stack.pop(cpu, bus, size)?;
    let cs = Selector(stack.pop(cpu, bus, size)? as u16);
    let code = check_code_segment(cpu, bus, cs)?;
    stack.release(dropped);
    let new_cpl = cs.rpl();
    if new_cpl == cpu.regs.cpl {
        check_offset(cpu, code, rip)?;
        let cs = cpu.set_accessed(bus, cs.0, code)?.segment(cs.0);
        stack.commit(&mut cpu.regs);
        *cpu.regs.segment_mut(SegReg::Cs) = cs;
        cpu.regs.rip = rip;
        return Ok(());
    }

    let outer = stack.top(&cpu.regs);
    let rsp = stack.pop(cpu, bus, size)?;
    let ss = Selector(stack.pop(cpu, bus, size)? as u16);
    let data = check_stack_segment(cpu, bus, ss, new_cpl, code.is_long())?;
    check_offset(cpu, code, rip)?;
    let cs = cpu.set_accessed(bus, cs.0, code)?.segment(cs.0);
    let ss = match data {
        Some(d) => cpu.set_accessed(bus, ss.0, d)?.segment(ss.0),
        None => Segment::null(ss.0),
    };
    cpu.pending_db |= data_breakpoints(&cpu.regs, outer, 2 * size as u64, AccessKind::Read);
    let regs = &mut cpu.regs;
    *regs.segment_mut(SegReg::Cs) = cs;
    *regs.segment_mut(SegReg::Ss) = ss;
    regs.rip = rip;
    regs.cpl = new_cpl;
    // The parameters are dropped from the outer stack too, in the outer stack's width.
    regs.gpr[gpr::RSP] = if cs.attr & Segment::L == 0 && ss.attr & Segment::DB == 0 {
        regs.rsp() & !0xffff | rsp.wrapping_add(dropped) & 0xffff
    } else if cs.attr & Segment::L == 0 {
        rsp.wrapping_add(dropped) & 0xffff_ffff
    } else {
        rsp.wrapping_add(dropped)
    };
    for segment in [SegReg::Es, SegReg::Fs, SegReg::Gs, SegReg::Ds] {
        drop_inner_segment(regs, segment, new_cpl);
    }
    Ok(())
}
