//! Our registers to and from Unicorn's CPU state.

use unicorn_engine_sys::uc_engine;

use super::layout::{self, Blob};
use crate::arch::bits::{cr0, cr4, rflags};
use crate::arch::{CpuState, SegReg, Segment};

// QEMU's `hflags` (target/i386/cpu.h): what a translated block depends on.
const HF_SS32: u32 = 1 << 5;
const HF_CS32: u32 = 1 << 4;
const HF_ADDSEG: u32 = 1 << 6;
const HF_PE: u32 = 1 << 7;
const HF_TF: u32 = 1 << 8;
const HF_MP: u32 = 1 << 9;
const HF_EM: u32 = 1 << 10;
const HF_TS: u32 = 1 << 11;
const HF_LMA: u32 = 1 << 14;
const HF_CS64: u32 = 1 << 15;
const HF_OSFXSR: u32 = 1 << 22;
const HF_SMAP: u32 = 1 << 23;

/// RFLAGS as QEMU sees them; RF stays with us.
pub(super) const FLAGS: u64 = rflags::STATUS
    | rflags::DF
    | rflags::TF
    | rflags::IF
    | rflags::IOPL
    | rflags::NT
    | rflags::AC
    | rflags::VIF
    | rflags::VIP
    | rflags::ID
    | rflags::FIXED;

fn hflags(regs: &CpuState, single_step: bool) -> u32 {
    let bit = |on: bool, flag: u32| if on { flag } else { 0 };
    let code64 = regs.is_64bit();
    u32::from(regs.cpl)
        | bit(code64, HF_CS64 | HF_CS32 | HF_SS32)
        | bit(!code64 && regs.cs().attr & Segment::DB != 0, HF_CS32)
        | bit(!code64 && regs.ss().attr & Segment::DB != 0, HF_SS32)
        | bit(!code64, HF_ADDSEG)
        | HF_PE
        | HF_LMA
        | bit(regs.cr0 & cr0::MP != 0, HF_MP)
        | bit(regs.cr0 & cr0::EM != 0, HF_EM)
        | bit(regs.cr0 & cr0::TS != 0, HF_TS)
        | bit(regs.cr4 & cr4::OSFXSR != 0, HF_OSFXSR)
        | bit(regs.cr4 & cr4::SMAP != 0, HF_SMAP)
        // Unicorn ends each block after one instruction, and reports it, as if TF were set;
        // RFLAGS.TF itself, which PUSHF shows, is the guest's.
        | bit(single_step, HF_TF)
}

/// Writes `regs` into the front of the blob.
pub(super) fn load(blob: &mut Blob, regs: &CpuState, single_step: bool) {
    for (n, value) in regs.gpr.iter().enumerate() {
        blob.set_u64(layout::REGS + 8 * n, *value);
    }
    blob.set_u64(layout::EIP, regs.rip);
    // `cpu_exec` takes the status flags and DF from here when it begins, and puts them back.
    blob.set_u64(layout::EFLAGS, regs.rflags & FLAGS);
    blob.set_u32(layout::HFLAGS, hflags(regs, single_step));
    blob.set_u64(layout::CR, regs.cr0);
    blob.set_u64(layout::CR + 32, regs.cr4);
    blob.set_u64(layout::EFER, regs.msr.efer);
    for (n, seg) in regs.seg.iter().enumerate() {
        let at = layout::SEGS + n * layout::SEG_SIZE;
        blob.set_u32(at, seg.selector.into());
        // QEMU takes it for granted that a 64-bit code segment's base is 0, and adds it.
        let base = if n == SegReg::Cs as usize && regs.is_64bit() {
            0
        } else {
            seg.base
        };
        blob.set_u64(at + layout::SEG_BASE, base);
        blob.set_u32(at + layout::SEG_LIMIT, seg.limit);
        blob.set_u32(at + layout::SEG_FLAGS, seg.attr);
    }
}

/// Reads back what native code can have changed: general registers, RIP and flags (RF clear).
pub(super) fn store(blob: &mut Blob, uc: *mut uc_engine, regs: &mut CpuState) {
    blob.save_front(uc);
    for (n, value) in regs.gpr.iter_mut().enumerate() {
        *value = blob.u64(layout::REGS + 8 * n);
    }
    regs.rip = blob.u64(layout::EIP);
    regs.rflags = blob.u64(layout::EFLAGS) & FLAGS | rflags::FIXED;
}
