//! SDM vol. 2, MOV, POP, LDS/LES/LFS/LGS/LSS, LAR, LSL, VERR; vol. 3, 5.6, 5.7, 6.8.3.

use super::{DATA, GP0, Rig, UD};
use crate::arch::bits::rflags;
use crate::arch::state::gpr;
use crate::arch::{Exception, SegReg, Segment, Vector, Vendor};
use crate::system::InterruptShadow;
use crate::system::testing::{place, sel};

const TO_SS: &[u8] = &[0x8e, 0xd0];
const TO_DS: &[u8] = &[0x8e, 0xd8];
const TO_FS: &[u8] = &[0x8e, 0xe0];

fn np(code: u16) -> Exception {
    Exception::with_code(Vector::NP, u32::from(code & !3))
}

fn gp(code: u16) -> Exception {
    Exception::gp(u32::from(code & !3))
}

fn with_ax(selector: u16) -> Rig {
    let mut rig = Rig::new();
    *rig.gpr(gpr::RAX) = 0xabcd_0000 | u64::from(selector);
    rig
}

#[test]
fn mov_ss_makes_a_shadow_and_others_do_not() {
    let mut rig = with_ax(sel::KERNEL_SS);
    assert_eq!(rig.done(TO_SS).shadow, InterruptShadow::MovSs);
    assert_eq!(rig.cpu.regs.ss().selector, sel::KERNEL_SS);
    assert_eq!(rig.done(TO_DS).shadow, InterruptShadow::None);
}

#[test]
fn stack_segment_checks() {
    // A DPL or RPL that is not the CPL, code, read-only data, beyond the table, not present.
    let user_rpl = sel::KERNEL_SS | 3;
    for bad in [
        sel::USER_SS,
        user_rpl,
        sel::KERNEL_CS,
        sel::DATA_RO,
        sel::BEYOND,
        sel::TSS,
    ] {
        with_ax(bad).faults(TO_SS, gp(bad));
    }
    with_ax(sel::DATA_NP).faults(TO_SS, Exception::ss(u32::from(sel::DATA_NP)));
}

#[test]
fn a_null_stack_segment_needs_64_bit_mode_and_rpl_equal_to_cpl() {
    let mut rig = with_ax(0);
    assert_eq!(rig.done(TO_SS).shadow, InterruptShadow::MovSs);
    assert!(!rig.cpu.regs.ss().usable());
    with_ax(1).faults(TO_SS, GP0);
    with_ax(3).faults(TO_SS, GP0);
    let mut rig = with_ax(3);
    rig.user();
    rig.faults(TO_SS, GP0);
    let mut rig = with_ax(0);
    rig.compatibility();
    rig.cpu.regs.cpl = 0;
    rig.faults(TO_SS, GP0);
}

#[test]
fn data_segment_checks() {
    let mut rig = with_ax(sel::USER_SS);
    rig.done(TO_DS);
    assert_eq!(rig.cpu.regs.segment(SegReg::Ds).selector, sel::USER_SS);
    // Readable code and conforming code will do; RPL may be above DPL for conforming code only.
    with_ax(sel::KERNEL_CS).done(TO_DS);
    with_ax(sel::CONFORMING | 3).done(TO_DS);
    with_ax(sel::KERNEL_SS | 3).faults(TO_DS, gp(sel::KERNEL_SS));
    with_ax(sel::TSS).faults(TO_DS, gp(sel::TSS));
    with_ax(sel::BEYOND).faults(TO_DS, gp(sel::BEYOND));
    with_ax(sel::DATA_NP).faults(TO_DS, np(sel::DATA_NP));
    // CPL above DPL.
    let mut rig = with_ax(sel::KERNEL_SS);
    rig.user();
    rig.faults(TO_DS, gp(sel::KERNEL_SS));
    // The type is checked before P (SDM vol. 2, MOV).
    rig.faults(&[0x8e, 0xc8], UD);
}

#[test]
fn a_load_sets_the_accessed_bit() {
    let mut rig = with_ax(sel::USER_SS);
    let at = place::GDT + u64::from(sel::USER_SS & !7);
    let accessed = 1 << (32 + 8);
    let d = rig.peek(at) & !accessed;
    rig.poke(at, d);
    rig.done(TO_DS);
    assert_eq!(rig.peek(at), d | accessed);
    assert_ne!(rig.cpu.regs.segment(SegReg::Ds).attr & Segment::ACCESSED, 0);
}

#[test]
fn a_descriptor_is_read_with_supervisor_rights() {
    let mut rig = with_ax(sel::USER_SS);
    rig.user();
    // The GDT's page is a supervisor page.
    rig.done(TO_DS);
    rig.unmap(place::GDT);
    let at = place::GDT + u64::from(sel::USER_SS & !7);
    rig.faults(TO_DS, Exception::pf(0, crate::arch::VirtAddr(at)));
}

#[test]
fn null_loads_of_fs_clear_the_base_on_intel_only() {
    for (vendor, base) in [(Vendor::Intel, 0), (Vendor::Amd, 0x1234)] {
        let mut rig = Rig::of(vendor);
        rig.cpu.regs.segment_mut(SegReg::Fs).base = 0x1234;
        *rig.gpr(gpr::RAX) = 3;
        rig.done(TO_FS);
        let fs = rig.cpu.regs.segment(SegReg::Fs);
        assert_eq!((fs.selector, fs.base, fs.usable()), (3, base, false));
    }
}

#[test]
fn a_selector_in_memory() {
    let mut rig = Rig::new();
    rig.poke(DATA, u64::from(sel::USER_SS));
    *rig.gpr(gpr::RDI) = DATA;
    rig.done(&[0x8e, 0x07]);
    assert_eq!(rig.cpu.regs.segment(SegReg::Es).selector, sel::USER_SS);
    *rig.gpr(gpr::RDI) = super::HOLE;
    rig.faults(&[0x8e, 0x07], GP0);
}

#[test]
fn pop_moves_rsp_by_the_operand_size() {
    let mut rig = Rig::new();
    let top = place::KERNEL_STACK - 0x20;
    *rig.gpr(gpr::RSP) = top;
    // Only the low word counts.
    rig.poke(top, 0xdead_beef_0000_0000 | u64::from(sel::USER_SS));
    rig.poke(top + 8, u64::from(sel::KERNEL_SS));
    rig.done(&[0x0f, 0xa1]);
    assert_eq!(rig.cpu.regs.segment(SegReg::Fs).selector, sel::USER_SS);
    assert_eq!(rig.cpu.regs.rsp(), top + 8);
    rig.done(&[0x66, 0x0f, 0xa9]);
    assert_eq!(rig.cpu.regs.segment(SegReg::Gs).selector, sel::KERNEL_SS);
    assert_eq!(rig.cpu.regs.rsp(), top + 10);
    // A fault leaves RSP.
    *rig.gpr(gpr::RSP) = top;
    rig.poke(top, u64::from(sel::BEYOND));
    rig.faults(&[0x0f, 0xa1], gp(sel::BEYOND));
    *rig.gpr(gpr::RSP) = super::HOLE;
    rig.faults(&[0x0f, 0xa1], Exception::ss(0));
}

#[test]
fn pop_ss_in_compatibility_mode_makes_a_shadow() {
    let mut rig = Rig::new();
    rig.compatibility();
    let top = DATA + 0x100;
    *rig.gpr(gpr::RSP) = top;
    rig.poke(top, u64::from(sel::USER_SS16));
    assert_eq!(rig.done(&[0x17]).shadow, InterruptShadow::MovSs);
    assert_eq!(rig.cpu.regs.ss().selector, sel::USER_SS16);
    assert_eq!(rig.cpu.regs.rsp(), top + 4);
}

#[test]
fn lss_loads_both_without_a_shadow() {
    let mut rig = Rig::new();
    *rig.gpr(gpr::RDI) = DATA;
    rig.poke(DATA, 0x1122_3344_5566_7788);
    rig.poke(DATA + 8, u64::from(sel::KERNEL_SS));
    assert_eq!(
        rig.done(&[0x48, 0x0f, 0xb2, 0x27]).shadow,
        InterruptShadow::None
    );
    assert_eq!(rig.cpu.regs.rsp(), 0x1122_3344_5566_7788);
    assert_eq!(rig.cpu.regs.ss().selector, sel::KERNEL_SS);
    // m16:32.
    rig.poke(DATA, u64::from(sel::KERNEL_SS) << 32 | 0x9000_0000);
    rig.done(&[0x0f, 0xb2, 0x27]);
    assert_eq!(rig.cpu.regs.rsp(), 0x9000_0000);
    rig.poke(DATA, u64::from(sel::USER_SS) << 32);
    rig.faults(&[0x0f, 0xb2, 0x27], gp(sel::USER_SS));
}

#[test]
fn a_far_pointer_is_one_access() {
    let mut rig = Rig::new();
    // The selector lies in the page above, which is not mapped.
    *rig.gpr(gpr::RDI) = place::USER_STACK - 4;
    let at = crate::arch::VirtAddr(place::USER_STACK);
    rig.faults(&[0x0f, 0xb4, 0x07], Exception::pf(0, at));
}

#[test]
fn lar_and_lsl_answer_in_zf() {
    let lar: &[u8] = &[0x0f, 0x02, 0xd8];
    let lsl: &[u8] = &[0x0f, 0x03, 0xd8];
    let ask = |selector: u16, user: bool, bytes: &[u8]| {
        let mut rig = with_ax(selector);
        if user {
            rig.user();
        }
        *rig.gpr(gpr::RBX) = u64::MAX;
        rig.done(bytes);
        let zf = rig.cpu.regs.rflags & rflags::ZF != 0;
        zf.then(|| *rig.gpr(gpr::RBX))
            .or_else(|| (*rig.gpr(gpr::RBX) == u64::MAX).then_some(u64::MAX))
    };
    assert_eq!(ask(sel::USER_SS, true, lar), Some(0x00c0_f300));
    assert_eq!(ask(sel::USER_SS, true, lsl), Some(0xffff_ffff));
    assert_eq!(ask(sel::TSS, false, lar), Some(0x0000_8b00));
    assert_eq!(ask(sel::TSS, false, lsl), Some(0x67));
    // Not present is visible; null, beyond the table and inner levels are not.
    assert_eq!(ask(sel::DATA_NP, false, lar), Some(0x00c0_1300));
    for (selector, user) in [(0, false), (sel::BEYOND, false), (sel::KERNEL_SS, true)] {
        assert_eq!(ask(selector, user, lar), Some(u64::MAX), "{selector:#x}");
        assert_eq!(ask(selector, user, lsl), Some(u64::MAX), "{selector:#x}");
    }
    assert_eq!(ask(sel::KERNEL_SS | 3, false, lar), Some(u64::MAX), "RPL");
    assert_eq!(ask(sel::CONFORMING | 3, true, lar), Some(0x0020_9f00));
}

#[test]
fn lar_of_a_16_bit_operand_gives_two_bytes() {
    let mut rig = with_ax(sel::USER_SS);
    *rig.gpr(gpr::RBX) = u64::MAX;
    rig.done(&[0x66, 0x0f, 0x02, 0xd8]);
    assert_eq!(*rig.gpr(gpr::RBX), 0xffff_ffff_ffff_f300);
}

#[test]
fn verr_and_verw() {
    let ask = |selector: u16, bytes: &[u8]| {
        let mut rig = with_ax(selector);
        rig.cpu.regs.rflags |= rflags::CF;
        rig.done(bytes);
        assert_ne!(rig.cpu.regs.rflags & rflags::CF, 0, "only ZF changes");
        rig.cpu.regs.rflags & rflags::ZF != 0
    };
    let (verr, verw): (&[u8], &[u8]) = (&[0x0f, 0x00, 0xe0], &[0x0f, 0x00, 0xe8]);
    #[rustfmt::skip]
    let cases = [
        (sel::KERNEL_SS, true, true),
        (sel::DATA_RO, true, false),
        (sel::KERNEL_CS, true, false),
        (sel::TSS, false, false),
        (0, false, false),
        (sel::BEYOND, false, false),
        (sel::KERNEL_SS | 3, false, false),
    ];
    for (selector, readable, writable) in cases {
        assert_eq!(ask(selector, verr), readable, "VERR {selector:#x}");
        assert_eq!(ask(selector, verw), writable, "VERW {selector:#x}");
    }
}
