//! Near JMP, CALL and RET with every check, for targets that the engine would not refuse
//! (SDM vol. 2, JMP, CALL, RET; vol. 1, 6.4).

use iced_x86::{Instruction, Mnemonic, OpKind};

use super::Outcome;
use super::checks::{is_canonical_target, require};
use super::memory::{StackCursor, load_value, require_memory};
use super::operand::register;
use crate::arch::{Exception, Trap};
use crate::system::{Bus, Cpu};

/// The operand size of a branch, in bytes: 8 in 64-bit mode, where 66 is ignored (Intel).
fn operand_size(cpu: &Cpu, insn: &Instruction) -> usize {
    if cpu.regs.is_64bit() {
        return 8;
    }
    match insn.op_code().operand_size() {
        16 => 2,
        _ => 4,
    }
}

/// Checks a target, cut to the operand size.
///
/// # Errors
/// #GP(0): not canonical, or beyond the limit of CS.
fn checked_target(cpu: &Cpu, target: u64, size: usize) -> Result<u64, Exception> {
    if cpu.regs.is_64bit() {
        require(is_canonical_target(cpu, target), 0)?;
        return Ok(target);
    }
    let target = target & if size == 2 { 0xffff } else { 0xffff_ffff };
    require(target <= u64::from(cpu.regs.cs().limit), 0)?;
    Ok(target)
}

/// Executes a near JMP, CALL or RET, direct or indirect.
///
/// # Errors
/// #GP(0) for a target that is not canonical, with RIP at the branch and nothing changed; #SS(0) or
/// #PF of the stack and the operand; not modelled: any other instruction.
pub fn near_branch(cpu: &mut Cpu, bus: &mut dyn Bus, insn: &Instruction) -> Result<Outcome, Trap> {
    let size = operand_size(cpu, insn);
    let mut stack = StackCursor::new(&cpu.regs);
    let target = match insn.mnemonic() {
        Mnemonic::Ret => {
            let popped = stack.pop(cpu, bus, size)?;
            let target = checked_target(cpu, popped, size)?;
            if insn.op_count() == 1 {
                stack.release(u64::from(insn.immediate16()));
            }
            target
        }
        Mnemonic::Jmp | Mnemonic::Call => {
            let wanted = match insn.op0_kind() {
                OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => {
                    insn.near_branch_target()
                }
                OpKind::Register => register(&cpu.regs, insn.op0_register()),
                OpKind::Memory => {
                    let at = require_memory(&cpu.regs, insn)?;
                    load_value(cpu, bus, &at, size)?
                }
                _ => return Err(not_near(insn)),
            };
            let target = checked_target(cpu, wanted, size)?;
            if insn.mnemonic() == Mnemonic::Call {
                stack.push(cpu, bus, size, &[insn.next_ip()])?;
            }
            target
        }
        _ => return Err(not_near(insn)),
    };
    stack.commit(&mut cpu.regs);
    cpu.regs.rip = target;
    Ok(Outcome::default())
}

fn not_near(insn: &Instruction) -> Trap {
    Trap::NotModelled(format!("{:?} is no near branch", insn.code()))
}
