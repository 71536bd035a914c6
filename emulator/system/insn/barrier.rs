//! Locked instructions that are made for their order alone.

use iced_x86::{Instruction, Mnemonic, OpKind};

/// Whether `insn` is a memory barrier in the form of a locked instruction that leaves its operand as it
/// is: what was there is of no account (SDM vol. 3, 9.2.5; a locked addition of 0 below the stack pointer
/// is cheaper than MFENCE).
#[must_use]
pub fn is_barrier(insn: &Instruction) -> bool {
    let immediate = matches!(
        insn.op1_kind(),
        OpKind::Immediate8
            | OpKind::Immediate16
            | OpKind::Immediate32
            | OpKind::Immediate8to16
            | OpKind::Immediate8to32
            | OpKind::Immediate8to64
            | OpKind::Immediate32to64
    );
    if !(insn.has_lock_prefix() && insn.op0_kind() == OpKind::Memory && immediate) {
        return false;
    }
    let bits = 8 * insn.memory_size().size() as u32;
    let ones = u64::MAX.checked_shr(64 - bits.clamp(1, 64)).unwrap_or(0);
    let value = insn.immediate(1) & ones;
    match insn.mnemonic() {
        Mnemonic::Add | Mnemonic::Sub | Mnemonic::Or | Mnemonic::Xor => value == 0,
        Mnemonic::And => value == ones,
        _ => false,
    }
}
