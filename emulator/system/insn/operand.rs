//! Operands: general registers by width, and memory operands as segment, offset and linear address.

use iced_x86::{CodeSize, Instruction, OpKind, Register};

use crate::arch::state::gpr;
use crate::arch::{AccessKind, CpuState, Exception, SegReg, Segment, VirtAddr};

/// Where a memory operand lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryOperand {
    /// The segment it is reached through. In 64-bit mode an ES, CS, SS or DS prefix has no effect.
    pub segment: SegReg,
    /// Offset, cut to the address size.
    pub offset: u64,
    /// Linear address; in compatibility mode cut to 32 bits.
    pub linear: VirtAddr,
}

impl MemoryOperand {
    /// The operand at `segment:offset`.
    #[must_use]
    pub fn at(regs: &CpuState, segment: SegReg, offset: u64) -> Self {
        let linear = if regs.is_64bit() {
            match segment {
                SegReg::Fs | SegReg::Gs => regs.segment(segment).base.wrapping_add(offset),
                _ => offset,
            }
        } else {
            regs.segment(segment).base.wrapping_add(offset) & 0xffff_ffff
        };
        Self {
            segment,
            offset,
            linear: VirtAddr(linear),
        }
    }

    /// Whether faults of the address itself are #SS, not #GP (SDM vol. 3, 6.15, interrupt 12).
    #[must_use]
    pub const fn is_stack(&self) -> bool {
        matches!(self.segment, SegReg::Ss)
    }

    /// The operand `bytes` further on, as a far pointer's selector lies after its offset.
    #[must_use]
    pub fn plus(&self, regs: &CpuState, bytes: u64) -> Self {
        Self::at(regs, self.segment, self.offset.wrapping_add(bytes))
    }

    /// The segment checks of SDM vol. 3, 5.3 to 5.5 for `size` bytes. Nothing in 64-bit mode, where
    /// the paging rules check that the address is canonical.
    ///
    /// # Errors
    /// #GP(0), or #SS(0) through SS: unusable segment, type, limit.
    pub fn check(&self, regs: &CpuState, size: u64, kind: AccessKind) -> Result<(), Exception> {
        if regs.is_64bit() {
            return Ok(());
        }
        let fault = if self.is_stack() {
            Exception::ss(0)
        } else {
            Exception::gp(0)
        };
        let segment = regs.segment(self.segment);
        let code = segment.attr & Segment::CODE != 0;
        let writable_readable = segment.attr & Segment::WRITABLE_READABLE != 0;
        let type_allows = match kind {
            AccessKind::Write => !code && writable_readable,
            AccessKind::Read => !code || writable_readable,
            AccessKind::Fetch => code,
        };
        let last = self.offset.checked_add(size.saturating_sub(1));
        let limit = u64::from(segment.limit);
        let inside = match last {
            None => false,
            Some(last) if !code && segment.attr & Segment::CONFORMING_EXPAND != 0 => {
                let top = if segment.attr & Segment::DB != 0 {
                    0xffff_ffff
                } else {
                    0xffff
                };
                self.offset > limit && last <= top
            }
            Some(last) => last <= limit,
        };
        if segment.usable() && type_allows && inside {
            Ok(())
        } else {
            Err(fault)
        }
    }
}

/// The value of a general register of any width, zero-extended. 0 for anything else.
#[must_use]
pub fn register(regs: &CpuState, register: Register) -> u64 {
    if !register.is_gpr() {
        return 0;
    }
    let full = regs.gpr[register.full_register().number() & 15];
    match register.size() {
        8 => full,
        4 => full & 0xffff_ffff,
        2 => full & 0xffff,
        _ if is_high_byte(register) => full >> 8 & 0xff,
        _ => full & 0xff,
    }
}

/// Writes a general register: 32-bit writes clear the upper half, narrower ones leave the rest
/// (SDM vol. 1, 3.4.1.1).
pub fn set_register(regs: &mut CpuState, register: Register, value: u64) {
    if !register.is_gpr() {
        return;
    }
    let full = &mut regs.gpr[register.full_register().number() & 15];
    *full = match register.size() {
        8 => value,
        4 => value & 0xffff_ffff,
        2 => *full & !0xffff | value & 0xffff,
        _ if is_high_byte(register) => *full & !0xff00 | (value & 0xff) << 8,
        _ => *full & !0xff | value & 0xff,
    };
}

fn is_high_byte(register: Register) -> bool {
    (Register::AH..=Register::BH).contains(&register)
}

/// The segment register that iced names `register`; DS for anything else.
#[must_use]
pub fn segment_register(register: Register) -> SegReg {
    match register {
        Register::ES => SegReg::Es,
        Register::CS => SegReg::Cs,
        Register::SS => SegReg::Ss,
        Register::FS => SegReg::Fs,
        Register::GS => SegReg::Gs,
        _ => SegReg::Ds,
    }
}

/// The segment that an operand with this default goes through, given the prefixes: in 64-bit mode
/// only FS and GS override (SDM vol. 1, 3.3.4).
#[must_use]
pub fn effective_segment(regs: &CpuState, insn: &Instruction, default: SegReg) -> SegReg {
    match insn.segment_prefix() {
        Register::None => default,
        Register::FS => SegReg::Fs,
        Register::GS => SegReg::Gs,
        _ if regs.is_64bit() => default,
        other => segment_register(other),
    }
}

/// SS for a base of rSP or rBP, DS for any other (SDM vol. 1, 3.7.4).
#[must_use]
pub fn default_segment(base: Register) -> SegReg {
    if base.is_gpr() && matches!(base.full_register(), Register::RSP | Register::RBP) {
        SegReg::Ss
    } else {
        SegReg::Ds
    }
}

/// The all-ones mask of an address size.
#[must_use]
pub const fn address_mask(size: CodeSize) -> u64 {
    match size {
        CodeSize::Code16 => 0xffff,
        CodeSize::Code32 => 0xffff_ffff,
        _ => u64::MAX,
    }
}

/// The mask of the stack pointer: 64 bits in 64-bit mode, else by SS.B (SDM vol. 1, 6.2.3).
#[must_use]
pub fn stack_mask(regs: &CpuState) -> u64 {
    if regs.is_64bit() {
        u64::MAX
    } else if regs.ss().attr & Segment::DB != 0 {
        0xffff_ffff
    } else {
        0xffff
    }
}

/// The ModRM or moffs memory operand of `insn`, if it has one.
#[must_use]
pub fn memory_operand(regs: &CpuState, insn: &Instruction) -> Option<MemoryOperand> {
    if !(0..insn.op_count()).any(|i| insn.op_kind(i) == OpKind::Memory) {
        return None;
    }
    let (base, index) = (insn.memory_base(), insn.memory_index());
    let mut offset = insn.memory_displacement64();
    let mut size = match insn.memory_displ_size() {
        bytes @ (2 | 4 | 8) => address_size(bytes as usize),
        _ => insn.code_size(),
    };
    for (r, scale) in [(base, 1), (index, insn.memory_index_scale())] {
        match r {
            // iced has added RIP to the displacement.
            Register::RIP => size = CodeSize::Code64,
            Register::EIP => size = CodeSize::Code32,
            // The index of XLAT is AL: the base tells the size.
            r if r.is_gpr() && r.size() > 1 => size = address_size(r.size()),
            _ => {}
        }
        offset = offset.wrapping_add(register(regs, r).wrapping_mul(u64::from(scale)));
    }
    let segment = effective_segment(regs, insn, default_segment(base));
    Some(MemoryOperand::at(
        regs,
        segment,
        offset & address_mask(size),
    ))
}

const fn address_size(bytes: usize) -> CodeSize {
    match bytes {
        2 => CodeSize::Code16,
        4 => CodeSize::Code32,
        _ => CodeSize::Code64,
    }
}

/// rSI or rDI as an operand of a string instruction, cut to the address size that its kind tells.
#[must_use]
pub fn string_operand(
    regs: &CpuState,
    insn: &Instruction,
    operand: u32,
) -> Option<(MemoryOperand, u64)> {
    let (register, mask, segment) = match insn.op_kind(operand) {
        OpKind::MemorySegSI => (gpr::RSI, 0xffff, None),
        OpKind::MemorySegESI => (gpr::RSI, 0xffff_ffff, None),
        OpKind::MemorySegRSI => (gpr::RSI, u64::MAX, None),
        OpKind::MemorySegDI => (gpr::RDI, 0xffff, None),
        OpKind::MemorySegEDI => (gpr::RDI, 0xffff_ffff, None),
        OpKind::MemorySegRDI => (gpr::RDI, u64::MAX, None),
        OpKind::MemoryESDI => (gpr::RDI, 0xffff, Some(SegReg::Es)),
        OpKind::MemoryESEDI => (gpr::RDI, 0xffff_ffff, Some(SegReg::Es)),
        OpKind::MemoryESRDI => (gpr::RDI, u64::MAX, Some(SegReg::Es)),
        _ => return None,
    };
    let segment = segment.unwrap_or_else(|| effective_segment(regs, insn, SegReg::Ds));
    Some((
        MemoryOperand::at(regs, segment, regs.gpr[register] & mask),
        mask,
    ))
}
