//! The data accesses of an instruction, from its encoding and the registers before it.

use std::cell::RefCell;

use iced_x86::{
    Code, Instruction, InstructionInfoFactory, InstructionInfoOptions, MemorySize, Mnemonic,
    OpAccess, OpKind, Register, UsedMemory,
};

use super::operand::{
    MemoryOperand, address_mask, default_segment, effective_segment, register, stack_mask,
    string_operand,
};
use crate::arch::state::gpr;
use crate::arch::{AccessKind, CpuState, SegReg, VirtAddr};

/// One access to data memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DataAccess {
    /// Linear address of its first byte.
    pub addr: VirtAddr,
    /// Bytes.
    pub size: u32,
    /// Read or write; a read-modify-write is a write.
    pub kind: AccessKind,
    /// What was there counts: it reads, or what it leaves may depend on what was there (a
    /// read-modify-write, and a write that may not be made).
    pub reads: bool,
    /// Made through SS: a non-canonical address is #SS, not #GP.
    pub stack: bool,
}

thread_local! {
    static FACTORY: RefCell<InstructionInfoFactory> = RefCell::new(InstructionInfoFactory::new());
}

/// Replaces `out` with the data accesses of `insn`, explicit and implicit, in the order in which
/// the instruction makes them (SDM vol. 2, each Operation section).
///
/// A string instruction gives one iteration, and under REP with rCX = 0 nothing. Conditional
/// accesses (CMOVcc, CMPXCHG's write) are always listed. Reads of descriptors and gates, and the
/// stack switch of a far CALL, are not: microcode makes them.
pub fn data_accesses(regs: &CpuState, insn: &Instruction, out: &mut Vec<DataAccess>) {
    out.clear();
    if string_accesses(regs, insn, out) {
        return;
    }
    FACTORY.with_borrow_mut(|factory| {
        let info = factory.info_options(insn, InstructionInfoOptions::NO_REGISTER_USAGE);
        let mut explicit = explicit_memory(insn);
        for used in info.used_memory() {
            if let Some(kind) = kind_of(used.access()) {
                let implied = !std::mem::take(&mut explicit);
                out.push(DataAccess {
                    reads: used.access() != OpAccess::Write,
                    ..one(regs, insn, used, kind, implied)
                });
            }
        }
    });
    // The stack is read before the destination is written.
    if insn.mnemonic() == Mnemonic::Pop && out.len() == 2 {
        out.swap(0, 1);
    }
}

fn explicit_memory(insn: &Instruction) -> bool {
    (0..insn.op_count()).any(|i| insn.op_kind(i) == OpKind::Memory)
}

const fn kind_of(access: OpAccess) -> Option<AccessKind> {
    Some(match access {
        OpAccess::Read | OpAccess::CondRead => AccessKind::Read,
        OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite => {
            AccessKind::Write
        }
        OpAccess::None | OpAccess::NoMemAccess => return None,
    })
}

fn one(
    regs: &CpuState,
    insn: &Instruction,
    used: &UsedMemory,
    kind: AccessKind,
    implied: bool,
) -> DataAccess {
    let mut mask = address_mask(used.address_size());
    let segment = if implied && used.segment() == Register::SS {
        mask = stack_mask(regs);
        SegReg::Ss
    } else {
        effective_segment(regs, insn, default_segment(used.base()))
    };
    let index = register(regs, used.index()).wrapping_mul(u64::from(used.scale()));
    let (mut base, mut displacement) = (register(regs, used.base()), used.displacement());
    if implied && segment == SegReg::Ss {
        // Told for a stack of the code's width; SS.B may say another.
        base = register(regs, used.base().full_register());
        let unused = 64 - address_mask(used.address_size()).count_ones();
        displacement = ((displacement << unused) as i64 >> unused) as u64;
    }
    let mut offset = displacement.wrapping_add(base).wrapping_add(index);
    let mut size = used.memory_size().size() as u32;
    if let Some(bytes) = bit_offset(regs, insn) {
        offset = offset.wrapping_add(bytes);
    }
    if used.memory_size() == MemorySize::Unknown {
        size = insn.memory_size().size() as u32;
    }
    let at = MemoryOperand::at(regs, segment, offset & mask);
    DataAccess {
        addr: at.linear,
        size,
        kind,
        reads: true,
        stack: at.is_stack(),
    }
}

/// How far a bit offset in a register moves the operand of BT, BTS, BTR, BTC: whole operands,
/// signed (SDM vol. 2, BT; table 3-2).
fn bit_offset(regs: &CpuState, insn: &Instruction) -> Option<u64> {
    let is_bit_test = matches!(
        insn.mnemonic(),
        Mnemonic::Bt | Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc
    );
    if !is_bit_test || insn.op1_kind() != OpKind::Register {
        return None;
    }
    let bits = register(regs, insn.op1_register());
    Some(match insn.op1_register().size() {
        2 => (i64::from(bits as i16) >> 4 << 1) as u64,
        4 => (i64::from(bits as i32) >> 5 << 2) as u64,
        _ => (bits as i64 >> 6 << 3) as u64,
    })
}

/// The accesses of instructions that go through rSI and rDI: the source first.
fn string_accesses(regs: &CpuState, insn: &Instruction, out: &mut Vec<DataAccess>) -> bool {
    let mut found = false;
    let size = insn.memory_size().size() as u32;
    // Operand 0 is the destination, but for CMPS, which reads both, source first.
    for source in [true, false] {
        for i in 0..insn.op_count().min(2) {
            let Some((at, mask)) = string_operand(regs, insn, i) else {
                continue;
            };
            let is_source = matches!(
                insn.op_kind(i),
                OpKind::MemorySegSI | OpKind::MemorySegESI | OpKind::MemorySegRSI
            );
            found = true;
            let finished = (insn.has_rep_prefix() || insn.has_repne_prefix())
                && insn.is_string_instruction()
                && regs.gpr[gpr::RCX] & mask == 0;
            if is_source != source || finished {
                continue;
            }
            out.push(DataAccess {
                addr: at.linear,
                size,
                kind: if is_source || i != 0 {
                    AccessKind::Read
                } else {
                    AccessKind::Write
                },
                reads: is_source || i != 0,
                stack: at.is_stack(),
            });
        }
    }
    found && insn.code() != Code::INVALID
}
