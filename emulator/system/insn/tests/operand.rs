//! SDM vol. 1, 3.3.4, 3.4.1.1, 3.7.4, 3.7.5.

use iced_x86::Register;

use super::super::operand::{memory_operand, register, set_register};
use super::decode;
use crate::arch::state::gpr;
use crate::arch::{AccessKind, CpuState, Exception, SegReg, Segment, VirtAddr};

fn regs() -> CpuState {
    let mut r = CpuState::long_mode();
    for (i, value) in r.gpr.iter_mut().enumerate() {
        *value = 0x1111_0000_0000 * (i as u64 + 1) + 0x1000;
    }
    r.segment_mut(SegReg::Fs).base = 0x7000_0000_0000;
    r.segment_mut(SegReg::Gs).base = 0xffff_8880_0000_0000;
    r
}

/// Segment and linear address of the operand of `bytes` at 0x40_0000.
fn place(r: &CpuState, bytes: &[u8]) -> (SegReg, u64) {
    let bitness = if r.is_64bit() { 64 } else { 32 };
    let at = memory_operand(r, &decode(bitness, 0x40_0000, bytes)).expect("has one");
    (at.segment, at.linear.0)
}

#[test]
fn addressing_forms_of_64_bit_mode() {
    let r = regs();
    let (rdi, rbp, r13) = (r.gpr[gpr::RDI], r.gpr[gpr::RBP], r.gpr[13]);
    #[rustfmt::skip]
    let cases: &[(&[u8], SegReg, u64)] = &[
        (&[0x48, 0x8b, 0x07], SegReg::Ds, rdi),                                  // [rdi]
        (&[0x48, 0x8b, 0x45, 0xf8], SegReg::Ss, rbp - 8),                        // [rbp-8]
        (&[0x49, 0x8b, 0x45, 0x00], SegReg::Ds, r13),                            // [r13]
        // Relative to the end of the instruction.
        (&[0x48, 0x8b, 0x05, 0x10, 0, 0, 0], SegReg::Ds, 0x40_0017),
        (&[0x80, 0x3d, 0x10, 0, 0, 0, 0x55], SegReg::Ds, 0x40_0017),
        // rBP as an index does not select SS.
        (&[0x48, 0x8b, 0x0c, 0x6d, 8, 0, 0, 0], SegReg::Ds, rbp * 2 + 8),
        // A 32-bit displacement is sign-extended.
        (&[0x8b, 0x04, 0x25, 0, 0, 0, 0x80], SegReg::Ds, 0xffff_ffff_8000_0000),
        // Under 67 the sum is cut to 32 bits.
        (&[0x67, 0x8b, 0x04, 0x25, 0, 0, 0, 0x80], SegReg::Ds, 0x8000_0000),
        (&[0x67, 0x48, 0x8b, 0x0c, 0x98], SegReg::Ds, 0x1000 + 4 * 0x1000),
        (&[0x67, 0xa1, 0, 0, 0, 0x80], SegReg::Ds, 0x8000_0000),
        (&[0xa0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11], SegReg::Ds, 0x1122_3344_5566_7788),
        // FS and GS have bases.
        (&[0x64, 0x48, 0x8b, 0x04, 0x25, 0xf0, 0xff, 0xff, 0xff], SegReg::Fs, 0x6fff_ffff_fff0),
        (&[0x65, 0x48, 0x8b, 0x04, 0x25, 8, 0, 0, 0], SegReg::Gs, 0xffff_8880_0000_0008),
        // Other overrides are ignored.
        (&[0x3e, 0x48, 0x8b, 0x45, 0x00], SegReg::Ss, rbp),
        (&[0x36, 0x48, 0x8b, 0x07], SegReg::Ds, rdi),
    ];
    for (bytes, segment, linear) in cases {
        assert_eq!(place(&r, bytes), (*segment, *linear), "{bytes:02x?}");
    }
}

#[test]
fn the_sum_wraps_at_64_bits() {
    let mut r = regs();
    r.gpr[gpr::RDI] = u64::MAX;
    assert_eq!(place(&r, &[0x48, 0x8b, 0x47, 0x02]), (SegReg::Ds, 1));
}

#[test]
fn xlat_adds_al_to_rbx() {
    let mut r = regs();
    r.gpr[gpr::RAX] = 0xffff_ff05;
    r.gpr[gpr::RBX] = 0x2_0000_1000;
    assert_eq!(place(&r, &[0xd7]), (SegReg::Ds, 0x2_0000_1005));
}

#[test]
fn compatibility_mode_has_bases_limits_and_32_bits() {
    let mut r = regs();
    *r.segment_mut(SegReg::Cs) = Segment::flat_code32(0x1b, 3);
    r.segment_mut(SegReg::Ds).base = 0xffff_f000;
    r.segment_mut(SegReg::Ds).limit = 0x1fff;
    r.gpr[gpr::RDI] = 0xdead_0000_1800;
    let insn = decode(32, 0, &[0x8b, 0x07]);
    let at = memory_operand(&r, &insn).expect("memory");
    // 0xfffff000 + 0x1800, cut to 32 bits.
    assert_eq!(at.linear, VirtAddr(0x800));
    assert_eq!(at.check(&r, 4, AccessKind::Read), Ok(()));
    assert_eq!(at.check(&r, 0x800, AccessKind::Write), Ok(()));
    let beyond = at.check(&r, 0x801, AccessKind::Read);
    assert_eq!(beyond, Err(Exception::gp(0)));

    // Through SS the same is #SS(0) (SDM vol. 3, 6.15).
    r.segment_mut(SegReg::Ss).limit = 0xfff;
    let at = memory_operand(&r, &decode(32, 0, &[0x36, 0x8b, 0x07])).expect("memory");
    assert_eq!(at.check(&r, 4, AccessKind::Read), Err(Exception::ss(0)));
}

#[test]
fn compatibility_mode_checks_types() {
    let mut r = regs();
    *r.segment_mut(SegReg::Cs) = Segment::flat_code32(0x1b, 3);
    r.gpr[gpr::RDI] = 0x1000;
    let at = memory_operand(&r, &decode(32, 0, &[0x8b, 0x07])).expect("memory");
    // Read-only data (SDM vol. 3, 5.5).
    r.segment_mut(SegReg::Ds).attr &= !Segment::WRITABLE_READABLE;
    assert_eq!(at.check(&r, 4, AccessKind::Read), Ok(()));
    assert_eq!(at.check(&r, 4, AccessKind::Write), Err(Exception::gp(0)));
    // Expand-down: valid offsets are above the limit (SDM vol. 3, 5.3).
    *r.segment_mut(SegReg::Ds) = Segment {
        limit: 0xfff,
        attr: Segment::flat_data(0, 3).attr | Segment::CONFORMING_EXPAND,
        ..Segment::flat_data(0x23, 3)
    };
    assert_eq!(at.check(&r, 4, AccessKind::Write), Ok(()));
    r.segment_mut(SegReg::Ds).limit = 0x1000;
    assert_eq!(at.check(&r, 4, AccessKind::Write), Err(Exception::gp(0)));
    *r.segment_mut(SegReg::Ds) = Segment::null(0);
    assert_eq!(at.check(&r, 4, AccessKind::Read), Err(Exception::gp(0)));
}

#[test]
fn registers_by_width() {
    let mut r = CpuState::long_mode();
    r.gpr[gpr::RAX] = 0x1122_3344_5566_7788;
    assert_eq!(register(&r, Register::AL), 0x88);
    assert_eq!(register(&r, Register::AH), 0x77);
    assert_eq!(register(&r, Register::AX), 0x7788);
    assert_eq!(register(&r, Register::EAX), 0x5566_7788);
    set_register(&mut r, Register::AH, 0xab);
    assert_eq!(r.gpr[gpr::RAX], 0x1122_3344_5566_ab88);
    set_register(&mut r, Register::AX, 0xffff_0001);
    assert_eq!(r.gpr[gpr::RAX], 0x1122_3344_5566_0001);
    set_register(&mut r, Register::EAX, 0xffff_ffff_0000_0002);
    assert_eq!(r.gpr[gpr::RAX], 2, "a 32-bit result clears the upper half");
    set_register(&mut r, Register::SPL, 0x99);
    assert_eq!(r.gpr[gpr::RSP], 0x99);
    set_register(&mut r, Register::R15D, 7);
    assert_eq!(r.gpr[15], 7);
    assert_eq!(register(&r, Register::XMM0), 0);
}
