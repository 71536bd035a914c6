//! SDM vol. 2, JMP, CALL, RET: near forms in 64-bit and compatibility mode.

use super::super::near_branch;
use super::{DATA, GP0, HOLE, Rig, decode};
use crate::arch::state::gpr;
use crate::arch::{Exception, SegReg, Trap, VirtAddr};
use crate::system::testing::place;

const JMP_RAX: &[u8] = &[0xff, 0xe0];
const CALL_RAX: &[u8] = &[0xff, 0xd0];
const CALL_RDI: &[u8] = &[0xff, 0x17];
const RET: &[u8] = &[0xc3];
const TARGET: u64 = 0xffff_8000_0000_1000;

#[test]
fn a_branch_into_the_hole_faults_at_the_branch() {
    for bytes in [JMP_RAX, CALL_RAX] {
        let mut rig = Rig::new();
        *rig.gpr(gpr::RAX) = HOLE;
        rig.faults(bytes, GP0);
    }
    let mut rig = Rig::new();
    rig.poke(place::KERNEL_STACK - 8, HOLE);
    *rig.gpr(gpr::RSP) = place::KERNEL_STACK - 8;
    rig.faults(RET, GP0);
    rig.poke(DATA, HOLE);
    *rig.gpr(gpr::RDI) = DATA;
    rig.faults(CALL_RDI, GP0);
    assert_ne!(
        rig.peek(place::KERNEL_STACK - 16),
        place::CODE + 2,
        "nothing is pushed"
    );
}

#[test]
fn a_57_bit_target_is_canonical_only_with_la57() {
    let mut rig = Rig::new();
    *rig.gpr(gpr::RAX) = 0x00ff_0000_0000_0000;
    rig.faults(JMP_RAX, GP0);
    rig.cpu.regs.cr4 |= crate::arch::bits::cr4::LA57;
    rig.run(JMP_RAX).expect("canonical");
}

#[test]
fn calls_push_and_returns_pop() {
    let mut rig = Rig::new();
    *rig.gpr(gpr::RAX) = TARGET;
    rig.run(CALL_RAX).expect("calls");
    let top = place::KERNEL_STACK - 8;
    assert_eq!((rig.cpu.regs.rip, rig.cpu.regs.rsp()), (TARGET, top));
    assert_eq!(rig.peek(top), place::CODE + 2);
    rig.run(RET).expect("returns");
    assert_eq!(
        (rig.cpu.regs.rip, rig.cpu.regs.rsp()),
        (place::CODE + 2, place::KERNEL_STACK)
    );
    // RET imm16.
    *rig.gpr(gpr::RSP) = top;
    rig.run(&[0xc2, 0x08, 0]).expect("returns");
    assert_eq!(rig.cpu.regs.rsp(), place::KERNEL_STACK + 8);
    // Direct forms, backwards.
    rig.cpu.regs.rip = place::CODE;
    rig.run(&[0xeb, 0xfe]).expect("jumps");
    assert_eq!(rig.cpu.regs.rip, place::CODE);
}

#[test]
fn a_call_through_rsp_reads_before_it_pushes() {
    let mut rig = Rig::new();
    let top = place::KERNEL_STACK - 8;
    *rig.gpr(gpr::RSP) = top;
    rig.poke(top, TARGET);
    rig.run(&[0xff, 0x14, 0x24]).expect("calls");
    assert_eq!((rig.cpu.regs.rip, rig.cpu.regs.rsp()), (TARGET, top - 8));
}

#[test]
fn stack_faults_leave_everything() {
    let mut rig = Rig::new();
    *rig.gpr(gpr::RAX) = TARGET;
    *rig.gpr(gpr::RSP) = HOLE + 8;
    rig.faults(CALL_RAX, Exception::ss(0));
    rig.faults(RET, Exception::ss(0));
    let bad = place::KERNEL_STACK - 0x1000;
    *rig.gpr(gpr::RSP) = bad;
    rig.faults(CALL_RAX, Exception::pf(2, VirtAddr(bad - 8)));
}

#[test]
fn compatibility_mode_checks_the_limit_of_cs() {
    let mut rig = Rig::new();
    rig.compatibility();
    rig.cpu.regs.segment_mut(SegReg::Cs).limit = 0xfff;
    *rig.gpr(gpr::RAX) = 0xdead_0000_0000_0fff;
    rig.run(JMP_RAX).expect("inside");
    assert_eq!(rig.cpu.regs.rip, 0xfff);
    *rig.gpr(gpr::RAX) = 0x1000;
    rig.faults(JMP_RAX, GP0);
    // The operand size is 32: four bytes are pushed.
    *rig.gpr(gpr::RAX) = 0x10;
    *rig.gpr(gpr::RSP) = DATA + 0x100;
    rig.run(CALL_RAX).expect("calls");
    assert_eq!(rig.cpu.regs.rsp(), DATA + 0xfc);
    assert_eq!(rig.peek(DATA + 0xfc) as u32, 0xfff + 2);
}

#[test]
fn other_instructions_are_refused() {
    let mut rig = Rig::new();
    let insn = decode(64, place::CODE, &[0x90]);
    let refused = near_branch(&mut rig.cpu, &mut rig.bus, &insn);
    assert!(matches!(refused, Err(Trap::NotModelled(_))));
}
