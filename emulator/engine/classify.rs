//! Which instructions run natively, which are looked at first, and which never run.

use iced_x86::{Code, FlowControl, Instruction, Mnemonic, OpKind};

use crate::arch::VirtAddr;
use crate::system::insn::is_intercepted;

/// What the engine does when it comes to an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Never run by Unicorn: the engine stops before it.
    Intercept,
    /// Run by Unicorn unless a quick look at its operands says that it would go wrong there.
    Guard(Guard),
    /// A REP string instruction: it is begun by itself, so that its iterations can be counted.
    Rep,
    /// Run as a single step, inside the engine: what comes before it in a block shows in its result.
    Alone,
    /// Hooked, so that the flags are known: where it faults, Unicorn has lost them already.
    Flagged,
    /// The first of its block, or hooked: behind a hook, too, all flags have been computed. Otherwise what
    /// comes before it in a block shows in its result.
    BitTest,
    /// The first of its block, or not hooked: PUSHF stores how the flags are to be computed before it
    /// writes to memory (see the notes on hooks and lazy flags).
    PushFlags,
    /// No instruction: #UD, whatever Unicorn makes of it (it runs LOCK before anything, for one).
    Undefined,
    /// A branch to itself: counted one by one.
    SelfBranch,
}

impl Class {
    /// Whether it is of no importance for the first instruction of a block.
    pub(super) const fn may_begin_block(self) -> bool {
        matches!(self, Self::BitTest | Self::PushFlags)
    }
}

/// What a guard looks for; where it finds it, the engine stops before the instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Guard {
    /// An operand that must be aligned to 16 bytes is not: #GP(0).
    Alignment,
    /// A store wider than 8 bytes crosses a page: Unicorn would leave half of it behind.
    WideStore,
    /// A near CALL to a non-canonical address must not push.
    CallTarget,
    /// A 32-bit CMPXCHG: Unicorn clears RAX 63:32 where the operands are equal, and the upper half
    /// of a destination register where they are not.
    Accumulator,
    /// LDMXCSR, FXRSTOR: may unmask SSE exceptions, which Unicorn never raises.
    Mxcsr,
}

/// The class of `insn`; `None`: it just runs.
pub(super) fn classify(insn: &Instruction) -> Option<Class> {
    if is_intercepted(insn, 0) || is_host_dependent(insn) || has_operand_size_on_near_branch(insn) {
        return Some(Class::Intercept);
    }
    if is_rep_string(insn) {
        return Some(Class::Rep);
    }
    if takes_flags_by_chance(insn) {
        return Some(Class::Alone);
    }
    if is_bit_test(insn) {
        return Some(Class::BitTest);
    }
    match insn.mnemonic() {
        Mnemonic::Pushf | Mnemonic::Pushfd | Mnemonic::Pushfq => {
            return Some(Class::PushFlags);
        }
        Mnemonic::Ldmxcsr | Mnemonic::Fxrstor | Mnemonic::Fxrstor64 => {
            return Some(Class::Guard(Guard::Mxcsr));
        }
        _ => {}
    }
    if insn.code() == Code::Cmpxchg_rm32_r32 {
        return Some(Class::Guard(Guard::Accumulator));
    }
    match insn.flow_control() {
        FlowControl::IndirectCall => return Some(Class::Guard(Guard::CallTarget)),
        FlowControl::Call if !VirtAddr(insn.near_branch_target()).is_canonical(false) => {
            return Some(Class::Guard(Guard::CallTarget));
        }
        FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch
            if insn.near_branch_target() == insn.ip() =>
        {
            return Some(Class::SelfBranch);
        }
        _ => {}
    }
    let size = memory_operand_size(insn)?;
    if loses_flags_in_a_fault(insn) {
        return Some(Class::Flagged);
    }
    if requires_alignment(insn, size) {
        Some(Class::Guard(Guard::Alignment))
    } else if size > 8 && insn.op0_kind() == OpKind::Memory && !only_reads_memory(insn) {
        Some(Class::Guard(Guard::WideStore))
    } else {
        None
    }
}

/// Whether a guard that has looked and found nothing may let the instruction run on. (Those that
/// may not touch memory after Unicorn has stored its lazy flags: see [`super::hooks`].)
pub(super) fn may_pass(guard: Guard, insn: &Instruction) -> bool {
    match guard {
        Guard::Alignment | Guard::WideStore => {
            uses_xmm(insn) && !matches!(insn.mnemonic(), Mnemonic::Maskmovdqu)
        }
        Guard::CallTarget => true,
        Guard::Accumulator => insn.op0_kind() == OpKind::Memory,
        Guard::Mxcsr => false,
    }
}

/// Whether the instruction, if it is not special, can neither fault nor fill the TLB for data.
pub(super) fn is_plain(insn: &Instruction) -> bool {
    let harmless = |n| match insn.op_kind(n) {
        OpKind::Register => insn.op_register(n).is_gpr(),
        OpKind::Memory => insn.mnemonic() == Mnemonic::Lea,
        _ => true,
    };
    matches!(
        insn.mnemonic(),
        Mnemonic::Mov
            | Mnemonic::Movzx
            | Mnemonic::Movsx
            | Mnemonic::Movsxd
            | Mnemonic::Lea
            | Mnemonic::Add
            | Mnemonic::Sub
            | Mnemonic::And
            | Mnemonic::Or
            | Mnemonic::Xor
            | Mnemonic::Cmp
            | Mnemonic::Test
            | Mnemonic::Inc
            | Mnemonic::Dec
            | Mnemonic::Not
            | Mnemonic::Neg
            | Mnemonic::Shl
            | Mnemonic::Shr
            | Mnemonic::Sar
            | Mnemonic::Nop
    ) && (0..insn.op_count()).all(harmless)
}

/// Whether the instruction is a string instruction that a REP prefix repeats.
#[must_use]
pub fn is_rep_string(insn: &Instruction) -> bool {
    (insn.has_rep_prefix() || insn.has_repne_prefix()) && insn.is_string_instruction()
}

/// x87 instructions that Unicorn hands to the host's libm: not the same bits everywhere.
fn is_host_dependent(insn: &Instruction) -> bool {
    matches!(
        insn.mnemonic(),
        Mnemonic::F2xm1
            | Mnemonic::Fyl2x
            | Mnemonic::Fyl2xp1
            | Mnemonic::Fptan
            | Mnemonic::Fpatan
            | Mnemonic::Fsin
            | Mnemonic::Fcos
            | Mnemonic::Fsincos
    )
}

/// A near branch with 66: vendors differ, and QEMU follows AMD.
fn has_operand_size_on_near_branch(insn: &Instruction) -> bool {
    matches!(insn.op0_kind(), OpKind::NearBranch16)
        || matches!(
            insn.code(),
            Code::Retnw | Code::Retnw_imm16 | Code::Call_rm16 | Code::Jmp_rm16
        )
}

/// Instructions with a memory operand for which QEMU 5.0 computes the flags before the access
/// (`gen_rotc_rm_T1`, `gen_setcc1`), so that a fault leaves a mixture.
fn loses_flags_in_a_fault(insn: &Instruction) -> bool {
    matches!(insn.mnemonic(), Mnemonic::Rcl | Mnemonic::Rcr)
        || (insn.condition_code() != iced_x86::ConditionCode::None
            && insn.flow_control() == FlowControl::Next
            && insn.op0_kind() == OpKind::Memory)
}

/// Bit tests: what the manual leaves undefined of their flags depends, in QEMU 5.0, on the instruction that
/// is translated before them, and so on where a block begins. Where they begin one, they change CF
/// alone.
fn is_bit_test(insn: &Instruction) -> bool {
    matches!(
        insn.mnemonic(),
        Mnemonic::Bt | Mnemonic::Btc | Mnemonic::Btr | Mnemonic::Bts
    )
}

/// Instructions whose flags depend on how those before them were to be computed: CMPXCHG8B in all
/// but ZF, as its helper takes lazy flags for stored ones. (So does CMPXCHG16B's, but behind its guard
/// it is a step of its own in any case.) LOOPE and LOOPNE, where RCX becomes 0, branch past the place that
/// stores what the flags were to be computed from.
fn takes_flags_by_chance(insn: &Instruction) -> bool {
    matches!(
        insn.mnemonic(),
        Mnemonic::Cmpxchg8b | Mnemonic::Loope | Mnemonic::Loopne
    )
}

/// Bytes of the explicit memory operand, if there is one.
fn memory_operand_size(insn: &Instruction) -> Option<u64> {
    (0..insn.op_count())
        .any(|n| insn.op_kind(n) == OpKind::Memory)
        .then(|| memory_bytes(insn))
}

fn memory_bytes(insn: &Instruction) -> u64 {
    match insn.mnemonic() {
        Mnemonic::Fxsave | Mnemonic::Fxsave64 | Mnemonic::Fxrstor | Mnemonic::Fxrstor64 => 512,
        _ => insn.memory_size().size() as u64,
    }
}

/// Whether an unaligned operand raises #GP(0) (SDM vol. 2, table 2-21 and the instructions' pages):
/// legacy SSE instructions with 16-byte operands, except those made for unaligned data.
fn requires_alignment(insn: &Instruction, size: u64) -> bool {
    match insn.mnemonic() {
        Mnemonic::Fxsave | Mnemonic::Fxsave64 | Mnemonic::Cmpxchg16b => true,
        Mnemonic::Movups
        | Mnemonic::Movupd
        | Mnemonic::Movdqu
        | Mnemonic::Lddqu
        | Mnemonic::Pcmpestri
        | Mnemonic::Pcmpestrm
        | Mnemonic::Pcmpistri
        | Mnemonic::Pcmpistrm => false,
        _ => size == 16 && uses_xmm(insn),
    }
}

fn uses_xmm(insn: &Instruction) -> bool {
    (0..insn.op_count())
        .any(|n| insn.op_kind(n) == OpKind::Register && insn.op_register(n).is_xmm())
}

fn only_reads_memory(insn: &Instruction) -> bool {
    // The first operand is written, except by comparisons, loads of the x87 and control words.
    matches!(
        insn.mnemonic(),
        Mnemonic::Fld | Mnemonic::Fbld | Mnemonic::Frstor | Mnemonic::Fldenv
    )
}
