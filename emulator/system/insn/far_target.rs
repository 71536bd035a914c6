//! Where a far JMP or CALL goes: a code segment directly, or through a 64-bit call gate
//! (SDM vol. 3, 5.8; vol. 2, JMP and CALL, IA-32e paths).

use iced_x86::{Code, Instruction, OpKind};

use super::checks::{is_canonical_target, require};
use super::segment_load::far_pointer;
use crate::arch::descriptor::system_type;
use crate::arch::{Descriptor, Exception, Gate, Segment, Selector, Vector};
use crate::system::{Bus, Cpu};

/// Which instruction asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transfer {
    /// JMP: the CPL stays.
    Jump,
    /// CALL: a gate may raise the privilege.
    Call,
}

/// A far target that every check has let pass; its descriptor's A bit is as it was.
#[derive(Clone, Copy, Debug)]
pub struct FarTarget {
    /// The new CS selector, its RPL being the new CPL.
    pub selector: Selector,
    /// Its descriptor.
    pub code: Descriptor,
    /// The new RIP.
    pub rip: u64,
    /// The new CPL.
    pub cpl: u8,
    /// Whether it was reached through a gate: pushes are then of 8 bytes.
    pub gate: bool,
}

impl FarTarget {
    /// Marks the descriptor accessed; gives CS.
    ///
    /// # Errors
    /// #PF of the table.
    pub fn code_segment(self, cpu: &mut Cpu, bus: &mut dyn Bus) -> Result<Segment, Exception> {
        let code = cpu.set_accessed(bus, self.selector.0, self.code)?;
        Ok(code.segment(self.selector.0))
    }
}

/// The far pointer that `insn` names: offset, selector, operand size in bytes.
///
/// # Errors
/// Faults of the operand.
pub fn far_operand(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    insn: &Instruction,
) -> Result<(u64, Selector, usize), Exception> {
    Ok(match insn.op0_kind() {
        OpKind::FarBranch16 => (
            u64::from(insn.far_branch16()),
            Selector(insn.far_branch_selector()),
            2,
        ),
        OpKind::FarBranch32 => (
            u64::from(insn.far_branch32()),
            Selector(insn.far_branch_selector()),
            4,
        ),
        _ => {
            let size = match insn.code() {
                Code::Jmp_m1616 | Code::Call_m1616 => 2,
                Code::Jmp_m1632 | Code::Call_m1632 => 4,
                _ => 8,
            };
            let (offset, selector) = far_pointer(cpu, bus, insn, size)?;
            (offset, Selector(selector), size)
        }
    })
}

/// Finds and checks the target of a far pointer.
///
/// # Errors
/// #GP(0) for a null selector; #GP or #NP of a selector, TSS and task gates included; #PF of the
/// tables. The offset is left to [`check_offset`].
pub fn far_target(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    transfer: Transfer,
    selector: Selector,
    offset: u64,
) -> Result<FarTarget, Exception> {
    require(!selector.is_null(), 0)?;
    let code = selector.error_code();
    let d = cpu
        .read_descriptor(bus, selector.0)?
        .ok_or(Exception::gp(code))?;
    if d.is_code() {
        return direct(cpu, selector, d, offset);
    }
    require(d.is_system() && d.kind() == system_type::CALL_GATE, code)?;
    through_gate(cpu, bus, transfer, selector)
}

fn direct(
    cpu: &Cpu,
    selector: Selector,
    code: Descriptor,
    rip: u64,
) -> Result<FarTarget, Exception> {
    let (cpl, error) = (cpu.regs.cpl, selector.error_code());
    require(!(code.is_long() && code.is_big()), error)?;
    let allowed = if code.is_conforming() {
        code.dpl() <= cpl
    } else {
        selector.rpl() <= cpl && code.dpl() == cpl
    };
    require(allowed, error)?;
    require_present(code.present(), error)?;
    Ok(FarTarget {
        selector: selector.with_rpl(cpl),
        code,
        rip,
        cpl,
        gate: false,
    })
}

fn through_gate(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    transfer: Transfer,
    selector: Selector,
) -> Result<FarTarget, Exception> {
    let (cpl, error) = (cpu.regs.cpl, selector.error_code());
    let d = cpu
        .read_system_descriptor(bus, selector.0)?
        .ok_or(Exception::gp(error))?;
    require(d.upper_type() == 0, error)?;
    require(d.low.dpl() >= cpl && selector.rpl() <= d.low.dpl(), error)?;
    require_present(d.low.present(), error)?;
    let gate = Gate {
        low: d.low.0,
        high: d.high,
    };

    let selector = gate.selector();
    require(!selector.is_null(), 0)?;
    let error = selector.error_code();
    let code = cpu
        .read_descriptor(bus, selector.0)?
        .ok_or(Exception::gp(error))?;
    let same_level = code.is_conforming() || transfer == Transfer::Jump;
    let allowed = match transfer {
        Transfer::Jump if !code.is_conforming() => code.dpl() == cpl,
        _ => code.dpl() <= cpl,
    };
    require(code.is_code() && allowed, error)?;
    require(code.is_long() && !code.is_big(), error)?;
    require_present(code.present(), error)?;
    let cpl = if same_level { cpl } else { code.dpl() };
    Ok(FarTarget {
        selector: selector.with_rpl(cpl),
        code,
        rip: gate.offset(),
        cpl,
        gate: true,
    })
}

/// #NP(`code`) unless `present`.
fn require_present(present: bool, code: u32) -> Result<(), Exception> {
    if present {
        Ok(())
    } else {
        Err(Exception::with_code(Vector::NP, code))
    }
}

/// Checks an offset against the code segment that it goes into.
///
/// # Errors
/// #GP(0): not canonical in 64-bit code, beyond the limit in other.
pub fn check_offset(cpu: &Cpu, code: Descriptor, rip: u64) -> Result<(), Exception> {
    let inside = if code.is_long() {
        is_canonical_target(cpu, rip)
    } else {
        rip <= u64::from(code.limit())
    };
    require(inside, 0)
}
