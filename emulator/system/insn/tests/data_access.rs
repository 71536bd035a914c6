//! SDM vol. 2: the Operation section of each instruction.

use super::super::{DataAccess, data_accesses};
use super::decode;
use crate::arch::AccessKind::{self, Read, Write};
use crate::arch::bits::rflags;
use crate::arch::state::gpr;
use crate::arch::{CpuState, SegReg, Segment, VirtAddr};

const RSP: u64 = 0x9000;
const RDI: u64 = 0x2000;
const RSI: u64 = 0x3000;
const RBP: u64 = 0x8000;
const RBX: u64 = 0x5000;

fn regs() -> CpuState {
    let mut r = CpuState::long_mode();
    r.gpr[gpr::RSP] = RSP;
    r.gpr[gpr::RDI] = RDI;
    r.gpr[gpr::RSI] = RSI;
    r.gpr[gpr::RBP] = RBP;
    r.gpr[gpr::RBX] = RBX;
    r
}

type Expected = (u64, u32, AccessKind, bool);

#[track_caller]
fn expect(r: &CpuState, bytes: &[u8], expected: &[Expected]) {
    let bitness = match (r.is_64bit(), r.cs().attr & Segment::DB) {
        (true, _) => 64,
        (false, 0) => 16,
        (false, _) => 32,
    };
    let insn = decode(bitness, 0x40_0000, bytes);
    let junk = DataAccess {
        addr: VirtAddr(0xdead),
        size: 1,
        kind: Read,
        reads: true,
        stack: false,
    };
    let mut found = vec![junk];
    data_accesses(r, &insn, &mut found);
    let found: Vec<Expected> = found
        .iter()
        .map(|a| (a.addr.0, a.size, a.kind, a.stack))
        .collect();
    assert_eq!(found, expected, "{bytes:02x?} {:?}", insn.code());
}

#[test]
fn explicit_operands() {
    let r = regs();
    #[rustfmt::skip]
    let cases: &[(&[u8], Expected)] = &[
        (&[0x48, 0x8b, 0x07], (RDI, 8, Read, false)),               // mov rax, [rdi]
        (&[0x89, 0x07], (RDI, 4, Write, false)),                    // mov [rdi], eax
        (&[0x83, 0x07, 1], (RDI, 4, Write, false)),                 // add: read-modify-write
        (&[0x83, 0x3f, 1], (RDI, 4, Read, false)),                  // cmp
        (&[0x48, 0x87, 0x07], (RDI, 8, Write, false)),              // xchg
        (&[0x48, 0x0f, 0xb1, 0x07], (RDI, 8, Write, false)),        // cmpxchg always writes
        (&[0x48, 0x0f, 0xc7, 0x0f], (RDI, 16, Write, false)),       // cmpxchg16b
        (&[0x48, 0x0f, 0x44, 0x07], (RDI, 8, Read, false)),         // cmovcc always loads
        (&[0x0f, 0x11, 0x07], (RDI, 16, Write, false)),             // movups
        (&[0xf2, 0x0f, 0x10, 0x07], (RDI, 8, Read, false)),         // movsd xmm, not the string one
        (&[0x0f, 0xae, 0x07], (RDI, 512, Write, false)),            // fxsave
        (&[0x48, 0x0f, 0xae, 0x0f], (RDI, 512, Read, false)),       // fxrstor64
        (&[0xd9, 0x37], (RDI, 28, Write, false)),                   // fnstenv
        (&[0xdd, 0x37], (RDI, 108, Write, false)),                  // fnsave
        (&[0xdb, 0x3f], (RDI, 10, Write, false)),                   // fstp m80
        (&[0x0f, 0xae, 0x3f], (RDI, 1, Read, false)),               // clflush
        (&[0x8e, 0x07], (RDI, 2, Read, false)),                     // mov es, [rdi]
        (&[0x0f, 0x01, 0x17], (RDI, 10, Read, false)),              // lgdt
        (&[0x0f, 0x01, 0x07], (RDI, 10, Write, false)),             // sgdt
        (&[0x66, 0x0f, 0x38, 0x82, 0x07], (RDI, 16, Read, false)),  // invpcid
        (&[0x48, 0x8b, 0x45, 0], (RBP, 8, Read, true)),             // through SS
        (&[0x66, 0x0f, 0xf7, 0xc1], (RDI, 16, Write, false)),       // maskmovdqu
        (&[0xd7], (RBX, 1, Read, false)),                           // xlat
        (&[0xff, 0x27], (RDI, 8, Read, false)),                     // jmp [rdi]
        (&[0xff, 0x2f], (RDI, 6, Read, false)),                     // jmp far [rdi]
    ];
    for (bytes, expected) in cases {
        expect(&r, bytes, &[*expected]);
    }
}

#[test]
fn no_access() {
    let r = regs();
    #[rustfmt::skip]
    let cases: &[&[u8]] = &[
        &[0x48, 0x8d, 0x07],                                // lea
        &[0x0f, 0x18, 0x0f],                                // prefetch
        &[0x0f, 0x1f, 0x07],                                // nop
        &[0x0f, 0x01, 0x3f],                                // invlpg
        &[0x48, 0x01, 0xd8],                                // add rax, rbx
        &[0x0f, 0x0b],                                      // ud2
        &[0x06],                                            // not an instruction in 64-bit mode
    ];
    for bytes in cases {
        expect(&r, bytes, &[]);
    }
}

#[test]
fn bit_offsets_in_registers_reach_outside() {
    let mut r = regs();
    r.gpr[gpr::RAX] = 64 * 5 + 3;
    expect(
        &r,
        &[0x48, 0x0f, 0xab, 0x07],
        &[(RDI + 40, 8, Write, false)],
    );
    expect(&r, &[0x0f, 0xa3, 0x07], &[(RDI + 40, 4, Read, false)]);
    // -1: the last bit of the operand before, in each width.
    r.gpr[gpr::RAX] = u64::MAX;
    expect(&r, &[0x48, 0x0f, 0xab, 0x07], &[(RDI - 8, 8, Write, false)]);
    expect(&r, &[0x0f, 0xa3, 0x07], &[(RDI - 4, 4, Read, false)]);
    expect(&r, &[0x66, 0x0f, 0xa3, 0x07], &[(RDI - 2, 2, Read, false)]);
    // Only 32 bits of it count for a 32-bit operand.
    r.gpr[gpr::RAX] = 0x1_0000_0000;
    expect(&r, &[0x0f, 0xa3, 0x07], &[(RDI, 4, Read, false)]);
    // An immediate stays inside.
    expect(&r, &[0x0f, 0xba, 0x2f, 0xff], &[(RDI, 4, Write, false)]);
}

#[test]
fn stack_operations() {
    let r = regs();
    let push = (RSP - 8, 8, Write, true);
    let pop = (RSP, 8, Read, true);
    expect(&r, &[0x50], &[push]);
    expect(&r, &[0x66, 0x50], &[(RSP - 2, 2, Write, true)]);
    expect(&r, &[0xff, 0x37], &[(RDI, 8, Read, false), push]);
    expect(&r, &[0x58], &[pop]);
    // POP [rdi]; POP [rsp+8] with RSP after the increment.
    expect(&r, &[0x8f, 0x07], &[pop, (RDI, 8, Write, false)]);
    let moved = (RSP + 16, 8, Write, true);
    expect(&r, &[0x8f, 0x44, 0x24, 8], &[pop, moved]);
    expect(&r, &[0xe8, 0, 0, 0, 0], &[push]);
    expect(&r, &[0xff, 0xd0], &[push]);
    expect(&r, &[0xff, 0x17], &[(RDI, 8, Read, false), push]);
    expect(&r, &[0xc3], &[pop]);
    expect(&r, &[0xc2, 0x10, 0], &[pop]);
    expect(&r, &[0x9c], &[push]);
    expect(&r, &[0x9d], &[pop]);
    expect(&r, &[0xc9], &[(RBP, 8, Read, true)]);
    // An override moves the operand, not the stack.
    let mut r = r;
    r.segment_mut(SegReg::Gs).base = 0x10_0000;
    expect(
        &r,
        &[0x65, 0xff, 0x37],
        &[(0x10_0000 + RDI, 8, Read, false), push],
    );
}

#[test]
fn enter_with_nesting() {
    let r = regs();
    expect(&r, &[0xc8, 0x10, 0, 0], &[(RSP - 8, 8, Write, true)]);
    let level3 = [
        (RSP - 8, 8, Write, true),
        (RBP - 8, 8, Read, true),
        (RSP - 16, 8, Write, true),
        (RBP - 16, 8, Read, true),
        (RSP - 24, 8, Write, true),
        (RSP - 32, 8, Write, true),
    ];
    expect(&r, &[0xc8, 0x10, 0, 3], &level3);
}

#[test]
fn string_instructions_make_one_iteration() {
    let mut r = regs();
    r.gpr[gpr::RCX] = 3;
    let movsq = [(RSI, 8, Read, false), (RDI, 8, Write, false)];
    expect(&r, &[0x48, 0xa5], &movsq);
    expect(&r, &[0xf3, 0x48, 0xa5], &movsq);
    // The direction flag moves the registers afterwards, not this access.
    r.rflags |= rflags::DF;
    expect(&r, &[0xf3, 0x48, 0xa5], &movsq);
    expect(
        &r,
        &[0xf3, 0xa6],
        &[(RSI, 1, Read, false), (RDI, 1, Read, false)],
    );
    expect(&r, &[0xae], &[(RDI, 1, Read, false)]);
    expect(&r, &[0xaa], &[(RDI, 1, Write, false)]);
    expect(&r, &[0xad], &[(RSI, 4, Read, false)]);
    expect(&r, &[0xf3, 0x6c], &[(RDI, 1, Write, false)]);
    expect(&r, &[0x66, 0x6f], &[(RSI, 2, Read, false)]);
    // The source can be overridden, the destination cannot.
    r.segment_mut(SegReg::Fs).base = 0x10_0000;
    let overridden = [(0x10_0000 + RSI, 1, Read, false), (RDI, 1, Write, false)];
    expect(&r, &[0x64, 0xa4], &overridden);
}

#[test]
fn rep_with_a_count_of_zero_accesses_nothing() {
    let mut r = regs();
    expect(&r, &[0xf3, 0x48, 0xa5], &[]);
    expect(&r, &[0xf2, 0xae], &[]);
    expect(
        &r,
        &[0x48, 0xa5],
        &[(RSI, 8, Read, false), (RDI, 8, Write, false)],
    );
    // The count has the address size: ECX is 0.
    r.gpr[gpr::RCX] = 1 << 32;
    expect(&r, &[0x67, 0xf3, 0xaa], &[]);
    expect(&r, &[0xf3, 0xaa], &[(RDI, 1, Write, false)]);
    // The F2 of a mandatory prefix is no REP.
    r.gpr[gpr::RCX] = 0;
    expect(&r, &[0xf2, 0x0f, 0x10, 0x07], &[(RDI, 8, Read, false)]);
}

#[test]
fn compatibility_mode_uses_segments_and_the_stack_size() {
    let mut r = regs();
    *r.segment_mut(SegReg::Cs) = Segment::flat_code32(0x1b, 3);
    r.segment_mut(SegReg::Ss).base = 0x1_0000;
    expect(&r, &[0x50], &[(0x1_0000 + RSP - 4, 4, Write, true)]);
    r.segment_mut(SegReg::Ss).attr &= !Segment::DB;
    r.gpr[gpr::RSP] = 0xabcd_0000;
    expect(&r, &[0x50], &[(0x1_0000 + 0xfffc, 4, Write, true)]);
    r.segment_mut(SegReg::Ds).base = 0x2_0000;
    expect(&r, &[0xad], &[(0x2_0000 + RSI, 4, Read, false)]);
    expect(&r, &[0x26, 0xad], &[(RSI, 4, Read, false)]);
}

#[test]
fn far_transfers_and_iret() {
    let r = regs();
    let reads = |count: u64, size: u32| -> Vec<Expected> {
        (0..count)
            .map(|i| (RSP + i * u64::from(size), size, Read, true))
            .collect()
    };
    // Always five pops in 64-bit mode.
    expect(&r, &[0x48, 0xcf], &reads(5, 8));
    expect(&r, &[0xcf], &reads(5, 4));
    expect(&r, &[0x48, 0xcb], &reads(2, 8));
    let call = [
        (RDI, 10, Read, false),
        (RSP - 8, 8, Write, true),
        (RSP - 16, 8, Write, true),
    ];
    expect(&r, &[0x48, 0xff, 0x1f], &call);
    // Delivery makes the pushes of a software interrupt.
    for bytes in [&[0xcd, 0x80][..], &[0xcc], &[0x0f, 0x05], &[0x0f, 0x34]] {
        expect(&r, bytes, &[]);
    }
}

/// SDM vol. 1, 6.2.3: SS.B alone decides whether the stack pointer is SP or ESP.
#[test]
fn the_stack_is_as_wide_as_its_segment_says() {
    for (code, stack) in [(16, 16), (16, 32), (32, 16), (32, 32)] {
        let mut r = regs();
        let mut cs = Segment::flat_code32(0x1b, 3);
        if code == 16 {
            cs.attr &= !Segment::DB;
        }
        *r.segment_mut(SegReg::Cs) = cs;
        let ss = r.segment_mut(SegReg::Ss);
        *ss = Segment::flat_data(0x23, 3);
        if stack == 16 {
            ss.attr &= !Segment::DB;
        }
        let place = |offset: u64| {
            if stack == 16 {
                offset & 0xffff
            } else {
                offset & 0xffff_ffff
            }
        };
        for rsp in [0x9000u64, 0x1_9000, 2, 0] {
            r.gpr[gpr::RSP] = rsp;
            r.gpr[gpr::RBP] = rsp;
            let wide = if code == 16 { 2 } else { 4 };
            let pushed = place(rsp.wrapping_sub(u64::from(wide)));
            expect(&r, &[0x9c], &[(pushed, wide, Write, true)]); // pushf
            expect(&r, &[0x50], &[(pushed, wide, Write, true)]); // push eax
            expect(&r, &[0x58], &[(place(rsp), wide, Read, true)]); // pop eax
            expect(&r, &[0xc9], &[(place(rsp), wide, Read, true)]); // leave
            let other = if code == 16 { 4 } else { 2 };
            let pushed = place(rsp.wrapping_sub(u64::from(other)));
            expect(&r, &[0x66, 0x9c], &[(pushed, other, Write, true)]);
        }
    }
}
