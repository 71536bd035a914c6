//! SDM vol. 2, JMP, CALL, RET (IA-32e paths), SYSENTER, SYSEXIT; vol. 3, 5.8.

use super::{DATA, GP0, HOLE, Rig, UD};
use crate::arch::bits::rflags;
use crate::arch::state::gpr;
use crate::arch::{Exception, SegReg, Segment, Trap, Vector, Vendor, VirtAddr};
use crate::system::testing::{place, sel};

/// JMP FAR and CALL FAR through [rdi]; m16:32, m16:64.
const JMP32: &[u8] = &[0xff, 0x2f];
const JMP64: &[u8] = &[0x48, 0xff, 0x2f];
const CALL32: &[u8] = &[0xff, 0x1f];
const CALL64: &[u8] = &[0x48, 0xff, 0x1f];
const RETFQ: &[u8] = &[0x48, 0xcb];
const RETFD: &[u8] = &[0xcb];

/// A free slot for a call gate.
const GATE: u16 = 0x80;
const TARGET: u64 = 0xffff_8000_0000_1000;

fn gp(selector: u16) -> Exception {
    Exception::gp(u32::from(selector & !3))
}

fn np(selector: u16) -> Exception {
    Exception::with_code(Vector::NP, u32::from(selector & !3))
}

/// RDI points to a far pointer m16:64.
fn with_pointer(selector: u16, offset: u64) -> Rig {
    let mut rig = Rig::new();
    rig.cpu.regs.gdtr.limit = GATE + 15;
    *rig.gpr(gpr::RDI) = DATA;
    rig.poke(DATA, offset);
    rig.poke(DATA + 8, u64::from(selector));
    rig
}

/// Sets up the call gate: DPL, P and type from `attr`, as in the descriptor's second doubleword.
fn gate(rig: &mut Rig, selector: u16, offset: u64, attr: u64) {
    let low =
        offset & 0xffff | u64::from(selector) << 16 | attr << 32 | (offset & 0xffff_0000) << 32;
    rig.poke(place::GDT + u64::from(GATE), low);
    rig.poke(place::GDT + u64::from(GATE) + 8, offset >> 32);
}

#[test]
fn a_far_jump_loads_cs_with_the_cpl_as_rpl() {
    // RPL 3 of a conforming segment becomes CPL 0; non-conforming needs RPL <= CPL.
    let mut rig = with_pointer(sel::CONFORMING | 3, TARGET);
    rig.run(JMP64).expect("completes");
    let regs = &rig.cpu.regs;
    assert_eq!(
        (regs.cs().selector, regs.rip, regs.cpl),
        (sel::CONFORMING, TARGET, 0)
    );
    let mut rig = with_pointer(sel::KERNEL_CS, TARGET);
    rig.run(JMP64).expect("completes");
    assert_eq!(rig.cpu.regs.rip, TARGET);
}

#[test]
fn a_32_bit_offset_is_zero_extended() {
    let mut rig = with_pointer(0, 0);
    rig.poke(DATA, u64::from(sel::KERNEL_CS32) << 32 | 0x8000_1000);
    rig.run(JMP32).expect("completes");
    assert_eq!(rig.cpu.regs.rip, 0x8000_1000);
    assert!(!rig.cpu.regs.is_64bit());
}

#[test]
fn direct_targets_that_are_refused() {
    #[rustfmt::skip]
    let cases = [
        (0, GP0),
        (3, GP0),
        (sel::BEYOND + 0x10, gp(sel::BEYOND + 0x10)),
        (sel::KERNEL_SS, gp(sel::KERNEL_SS)),
        (sel::USER_CS, gp(sel::USER_CS)),
        (sel::KERNEL_CS | 3, gp(sel::KERNEL_CS)),
        (sel::CODE_LD, gp(sel::CODE_LD)),
        (sel::CODE_NP, np(sel::CODE_NP)),
        // A TSS: there are no hardware tasks in IA-32e mode.
        (sel::TSS, gp(sel::TSS)),
    ];
    for (selector, expected) in cases {
        with_pointer(selector, TARGET).faults(JMP64, expected);
        with_pointer(selector, TARGET).faults(CALL64, expected);
    }
    with_pointer(sel::KERNEL_CS, HOLE).faults(JMP64, GP0);
    with_pointer(sel::KERNEL_CS, HOLE).faults(CALL64, GP0);
    // Beyond a limit of 4 GiB in compatibility mode.
    with_pointer(sel::KERNEL_CS32, 1 << 32).faults(JMP64, GP0);
}

#[test]
fn a_far_call_pushes_cs_and_rip_in_the_operand_size() {
    let mut rig = with_pointer(sel::CONFORMING, TARGET);
    let next = place::CODE + 3;
    rig.run(CALL64).expect("completes");
    let top = place::KERNEL_STACK - 16;
    assert_eq!(rig.cpu.regs.rsp(), top);
    assert_eq!(
        (rig.peek(top), rig.peek(top + 8)),
        (next, u64::from(sel::KERNEL_CS))
    );

    let mut rig = with_pointer(0, 0);
    rig.poke(DATA, u64::from(sel::KERNEL_CS) << 32 | 0x1000);
    rig.run(CALL32).expect("completes");
    let top = place::KERNEL_STACK - 8;
    assert_eq!(rig.cpu.regs.rsp(), top);
    assert_eq!(
        rig.peek(top),
        u64::from(sel::KERNEL_CS) << 32 | (place::CODE + 2)
    );

    let mut rig = with_pointer(sel::KERNEL_CS, TARGET);
    *rig.gpr(gpr::RSP) = HOLE + 0x100;
    rig.faults(CALL64, Exception::ss(0));
}

#[test]
fn a_gate_to_the_same_level() {
    let mut rig = with_pointer(GATE, 0x1234);
    gate(&mut rig, sel::KERNEL_CS, TARGET, 0x8c00);
    rig.run(CALL64).expect("completes");
    let top = place::KERNEL_STACK - 16;
    assert_eq!(
        (rig.cpu.regs.rip, rig.cpu.regs.rsp()),
        (TARGET, top),
        "the gate's offset"
    );
    assert_eq!(rig.peek(top + 8), u64::from(sel::KERNEL_CS));
    // JMP too, and pushes nothing.
    let mut rig = with_pointer(GATE, 0);
    gate(&mut rig, sel::KERNEL_CS, TARGET, 0x8c00);
    rig.run(JMP64).expect("completes");
    assert_eq!(
        (rig.cpu.regs.rip, rig.cpu.regs.rsp()),
        (TARGET, place::KERNEL_STACK)
    );
}

#[test]
fn a_gate_to_an_inner_level_switches_stacks() {
    let mut rig = with_pointer(GATE | 3, 0);
    gate(&mut rig, sel::KERNEL_CS, TARGET, 0xec00);
    rig.user();
    rig.run(CALL64).expect("completes");
    let top = place::RSP0 - 32;
    let regs = &rig.cpu.regs;
    assert_eq!((regs.cpl, regs.rip, regs.rsp()), (0, TARGET, top));
    assert_eq!(
        (regs.cs().selector, *regs.ss()),
        (sel::KERNEL_CS, Segment::null(0))
    );
    let frame: Vec<u64> = (0..4).map(|i| rig.peek(top + 8 * i)).collect();
    let expected = [
        place::USER_CODE + 3,
        u64::from(sel::USER_CS),
        place::USER_STACK,
        u64::from(sel::USER_SS),
    ];
    assert_eq!(frame, expected);
    // RETF undoes it.
    rig.run(RETFQ).expect("returns");
    let regs = &rig.cpu.regs;
    assert_eq!((regs.cpl, regs.rip), (3, place::USER_CODE + 3));
    assert_eq!(
        (regs.rsp(), regs.ss().selector),
        (place::USER_STACK, sel::USER_SS)
    );
}

#[test]
fn gates_that_are_refused() {
    let attempt = |user: bool, target: u16, attr: u64, bytes: &[u8], expected| {
        let mut rig = with_pointer(GATE | if user { 3 } else { 0 }, 0);
        gate(&mut rig, target, TARGET, attr);
        if user {
            rig.user();
        }
        rig.faults(bytes, expected);
    };
    // Gate DPL, P; the code segment: null, not 64-bit, not present, data, outer level.
    attempt(true, sel::KERNEL_CS, 0x8c00, CALL64, gp(GATE));
    attempt(false, sel::KERNEL_CS, 0x0c00, CALL64, np(GATE));
    attempt(false, 0, 0x8c00, CALL64, GP0);
    attempt(
        false,
        sel::KERNEL_CS32,
        0x8c00,
        CALL64,
        gp(sel::KERNEL_CS32),
    );
    attempt(false, sel::CODE_LD, 0x8c00, CALL64, gp(sel::CODE_LD));
    attempt(false, sel::CODE_NP, 0x8c00, CALL64, np(sel::CODE_NP));
    attempt(false, sel::KERNEL_SS, 0x8c00, CALL64, gp(sel::KERNEL_SS));
    attempt(false, sel::USER_CS, 0x8c00, CALL64, gp(sel::USER_CS));
    // JMP cannot go to an inner level.
    attempt(true, sel::KERNEL_CS, 0xec00, JMP64, gp(sel::KERNEL_CS));
    // A task gate, a 32-bit trap gate type.
    attempt(false, sel::KERNEL_CS, 0x8500, CALL64, gp(GATE));
    attempt(false, sel::KERNEL_CS, 0x8f00, CALL64, gp(GATE));
    // Bits 12:8 of the last doubleword must be 0 (SDM vol. 3, figure 5-8).
    let mut rig = with_pointer(GATE, 0);
    gate(&mut rig, sel::KERNEL_CS, TARGET, 0x8c00);
    rig.poke(place::GDT + u64::from(GATE) + 8, TARGET >> 32 | 1 << 40);
    rig.faults(CALL64, gp(GATE));
}

#[test]
fn the_stack_switch_of_a_gate_can_fault() {
    let make = || {
        let mut rig = with_pointer(GATE | 3, 0);
        gate(&mut rig, sel::KERNEL_CS, TARGET, 0xec00);
        rig.user();
        rig
    };
    let mut rig = make();
    rig.cpu.regs.tr.limit = 10;
    rig.faults(
        CALL64,
        Exception::with_code(Vector::TS, u32::from(sel::TSS)),
    );
    let mut rig = make();
    rig.poke(place::TSS + 4, HOLE + 0x100);
    rig.faults(CALL64, Exception::ss(0));
    let mut rig = make();
    rig.unmap(place::RSP0 - 8);
    // A supervisor write, although CPL is still 3.
    rig.faults(CALL64, Exception::pf(2, VirtAddr(place::RSP0 - 8)));
    let mut rig = make();
    gate(&mut rig, sel::KERNEL_CS, HOLE, 0xec00);
    rig.faults(CALL64, GP0);
}

fn with_stack(values: &[u64]) -> Rig {
    let mut rig = Rig::new();
    let top = place::KERNEL_STACK - 0x100;
    *rig.gpr(gpr::RSP) = top;
    for (i, value) in values.iter().enumerate() {
        rig.poke(top + 8 * i as u64, *value);
    }
    rig
}

#[test]
fn a_far_return_to_the_same_level_keeps_ss() {
    let top = place::KERNEL_STACK - 0x100;
    let mut rig = with_stack(&[TARGET, u64::from(sel::KERNEL_CS)]);
    let ss = *rig.cpu.regs.ss();
    rig.run(&[0x48, 0xca, 0x10, 0]).expect("completes");
    assert_eq!(
        (rig.cpu.regs.rip, rig.cpu.regs.rsp()),
        (TARGET, top + 16 + 0x10)
    );
    assert_eq!(*rig.cpu.regs.ss(), ss);
    // Without REX.W the operand size is 32.
    let mut rig = with_stack(&[u64::from(sel::KERNEL_CS) << 32 | 0x9000_0000]);
    rig.run(RETFD).expect("completes");
    assert_eq!(
        (rig.cpu.regs.rip, rig.cpu.regs.rsp()),
        (0x9000_0000, top + 8)
    );
}

#[test]
fn a_far_return_outwards_drops_inner_segments_and_no_nmi_block() {
    let frame = [
        0x1000,
        u64::from(sel::USER_CS),
        0,
        0x7000,
        u64::from(sel::USER_SS),
    ];
    let mut rig = with_stack(&frame);
    rig.cpu.nmi.blocked = true;
    rig.cpu.regs.rflags |= rflags::NT;
    rig.run(&[0x48, 0xca, 8, 0]).expect("completes");
    let regs = &rig.cpu.regs;
    assert_eq!((regs.cpl, regs.rip), (3, 0x1000));
    // The immediate is dropped from both stacks.
    assert_eq!((regs.rsp(), regs.ss().selector), (0x7008, sel::USER_SS));
    // DS had DPL 0.
    assert!(!regs.segment(SegReg::Ds).usable());
    assert!(rig.cpu.nmi.blocked, "only IRET unblocks NMIs");
}

#[test]
fn far_returns_that_are_refused() {
    let user = u64::from(sel::USER_CS);
    #[rustfmt::skip]
    let cases: &[(&[u64], Exception)] = &[
        (&[TARGET, 0], GP0),
        (&[TARGET, sel::KERNEL_SS as u64], gp(sel::KERNEL_SS)),
        (&[TARGET, sel::CODE_NP as u64], np(sel::CODE_NP)),
        (&[TARGET, sel::CODE_LD as u64], gp(sel::CODE_LD)),
        (&[TARGET, sel::KERNEL_CS as u64 | 3], gp(sel::KERNEL_CS)),
        (&[HOLE, sel::KERNEL_CS as u64], GP0),
        (&[HOLE, user, 0x7000, sel::USER_SS as u64], GP0),
        (&[0x1000, user, 0x7000, 0], GP0),
        (&[0x1000, user, 0x7000, sel::KERNEL_SS as u64], gp(sel::KERNEL_SS)),
        (&[0x1000, user, 0x7000, sel::USER_DATA_NP as u64], Exception::ss(sel::USER_DATA_NP as u32 & !3)),
    ];
    for (frame, expected) in cases {
        with_stack(frame).faults(RETFQ, *expected);
    }
    // Never inwards.
    let mut rig = Rig::new();
    rig.user();
    let top = place::USER_STACK - 0x100;
    *rig.gpr(gpr::RSP) = top;
    rig.poke(top, TARGET);
    rig.poke(top + 8, u64::from(sel::KERNEL_CS));
    rig.faults(RETFQ, gp(sel::KERNEL_CS));
}

#[test]
fn sysenter_and_sysexit() {
    let (enter, exit32, exit64): (&[u8], &[u8], &[u8]) =
        (&[0x0f, 0x34], &[0x0f, 0x35], &[0x48, 0x0f, 0x35]);
    let mut rig = Rig::new();
    rig.user();
    rig.faults(enter, GP0);
    rig.cpu.regs.msr.sysenter_cs = 0x103;
    rig.cpu.regs.msr.sysenter_eip = TARGET;
    rig.cpu.regs.msr.sysenter_esp = place::KERNEL_STACK;
    rig.faults(exit64, GP0);
    rig.run(enter).expect("enters");
    let regs = &rig.cpu.regs;
    assert_eq!(
        (regs.cpl, regs.rip, regs.rsp()),
        (0, TARGET, place::KERNEL_STACK)
    );
    assert_eq!((regs.cs().selector, regs.ss().selector), (0x100, 0x108));
    assert!(regs.is_64bit());
    assert_eq!(regs.rflags & rflags::IF, 0);

    *rig.gpr(gpr::RDX) = HOLE;
    rig.faults(exit64, GP0);
    *rig.gpr(gpr::RDX) = 0x1_0000_1000;
    *rig.gpr(gpr::RCX) = HOLE;
    rig.faults(exit64, GP0);
    *rig.gpr(gpr::RCX) = 0x1_0000_7000;
    let before = rig.cpu.regs.clone();
    rig.run(exit64).expect("exits");
    let regs = &rig.cpu.regs;
    assert_eq!(
        (regs.cpl, regs.rip, regs.rsp()),
        (3, 0x1_0000_1000, 0x1_0000_7000)
    );
    assert_eq!((regs.cs().selector, regs.ss().selector), (0x123, 0x12b));
    rig.cpu.regs = before;
    rig.run(exit32).expect("exits");
    let regs = &rig.cpu.regs;
    assert_eq!(
        (regs.rip, regs.rsp(), regs.is_64bit()),
        (0x1000, 0x7000, false)
    );
    assert_eq!((regs.cs().selector, regs.ss().selector), (0x113, 0x11b));
}

#[test]
fn amd_has_no_sysenter_in_long_mode() {
    let mut rig = Rig::of(Vendor::Amd);
    rig.cpu.regs.msr.sysenter_cs = 8;
    rig.faults(&[0x0f, 0x34], UD);
    rig.faults(&[0x0f, 0x35], UD);
}

#[test]
fn software_interrupts_are_handed_to_the_caller() {
    for (bytes, vector) in [(&[0xcd, 0x80][..], 0x80), (&[0xcc], 3), (&[0xf1], 1)] {
        let mut rig = Rig::new();
        let before = rig.cpu.regs.clone();
        let outcome = rig.run(bytes).expect("asks for a delivery");
        let event = outcome.software_event.expect("an event");
        assert_eq!(event.vector, Vector(vector));
        assert_eq!(event.saved_rip.0, place::CODE + bytes.len() as u64);
        assert_eq!(rig.cpu.regs, before);
    }
}

#[test]
fn iret_syscall_and_sysret_reach_their_rules() {
    let mut rig = Rig::new();
    rig.cpu.regs.msr.lstar = TARGET;
    rig.run(&[0x0f, 0x05]).expect("syscall");
    assert_eq!(rig.cpu.regs.rip, TARGET);
    assert_eq!(*rig.gpr(gpr::RCX), place::CODE + 2);
    *rig.gpr(gpr::RCX) = 0x1000;
    rig.run(&[0x48, 0x0f, 0x07]).expect("sysret");
    assert_eq!((rig.cpu.regs.rip, rig.cpu.regs.cpl), (0x1000, 3));

    let mut rig = Rig::new();
    let [cs, ss] = [sel::KERNEL_CS, sel::KERNEL_SS].map(u64::from);
    rig.push_frame([TARGET, cs, 2, 0x5000, ss]);
    rig.run(&[0x48, 0xcf]).expect("iretq");
    assert_eq!((rig.cpu.regs.rip, rig.cpu.regs.rsp()), (TARGET, 0x5000));
    rig.cpu.regs.rflags |= rflags::NT;
    assert_eq!(rig.run(&[0x48, 0xcf]), Err(Trap::Exception(GP0)));
}
