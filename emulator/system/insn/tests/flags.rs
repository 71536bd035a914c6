//! SDM vol. 2, STI, CLI, POPF (table 4-15), PUSHF, CLAC, STAC, HLT.

use super::{GP0, HOLE, Rig, UD};
use crate::arch::Exception;
use crate::arch::bits::rflags::{
    AC, CF, DF, FIXED, ID, IF, IOPL, NT, RF, STATUS, TF, VIF, VIP, VM,
};
use crate::arch::state::gpr;
use crate::system::InterruptShadow;
use crate::system::testing::place;

const STI: &[u8] = &[0xfb];
const CLI: &[u8] = &[0xfa];
const POPFQ: &[u8] = &[0x9d];
const POPFW: &[u8] = &[0x66, 0x9d];
const PUSHFQ: &[u8] = &[0x9c];

#[test]
fn sti_makes_a_shadow_only_when_it_sets_if() {
    let mut rig = Rig::new();
    assert_eq!(rig.done(STI).shadow, InterruptShadow::Sti);
    assert_ne!(rig.cpu.regs.rflags & IF, 0);
    assert_eq!(rig.done(STI).shadow, InterruptShadow::None);
    rig.done(CLI);
    assert_eq!(rig.cpu.regs.rflags & IF, 0);
}

#[test]
fn sti_and_cli_need_iopl() {
    let mut rig = Rig::new();
    rig.user();
    rig.faults(STI, GP0);
    rig.faults(CLI, GP0);
    rig.cpu.regs.rflags |= IOPL;
    rig.done(CLI);
    assert_eq!(rig.done(STI).shadow, InterruptShadow::Sti);
}

fn popf(rig: &mut Rig, image: u64, bytes: &[u8]) -> u64 {
    let top = place::USER_STACK - 0x100;
    *rig.gpr(gpr::RSP) = top;
    rig.poke(top, image);
    rig.done(bytes);
    let size = if bytes.len() == 1 { 8 } else { 2 };
    assert_eq!(rig.cpu.regs.rsp(), top + size);
    rig.cpu.regs.rflags
}

#[test]
fn popf_at_cpl_0_loads_all_but_rf_vm_vif_vip() {
    let mut rig = Rig::new();
    let all = CF | TF | IF | DF | IOPL | NT | AC | ID;
    assert_eq!(popf(&mut rig, u64::MAX, POPFQ), all | FIXED | STATUS);
    rig.cpu.regs.rflags |= RF | VIF | VIP;
    assert_eq!(popf(&mut rig, 0, POPFQ), FIXED);
}

#[test]
fn popf_at_cpl_3_keeps_iopl_and_keeps_if_unless_iopl_allows() {
    let mut rig = Rig::new();
    rig.user();
    rig.cpu.regs.rflags = FIXED | IF;
    assert_eq!(popf(&mut rig, IOPL | TF | AC, POPFQ), FIXED | IF | TF | AC);
    rig.cpu.regs.rflags = FIXED | IF | IOPL;
    assert_eq!(popf(&mut rig, 0, POPFQ), FIXED | IOPL);
}

#[test]
fn a_16_bit_popf_leaves_the_upper_flags() {
    let mut rig = Rig::new();
    rig.cpu.regs.rflags = FIXED | AC | ID | VIF | VIP | RF;
    assert_eq!(popf(&mut rig, CF, POPFW), FIXED | AC | ID | VIF | VIP | CF);
}

#[test]
fn popf_without_a_stack_changes_nothing() {
    let mut rig = Rig::new();
    *rig.gpr(gpr::RSP) = HOLE;
    rig.faults(POPFQ, Exception::ss(0));
    *rig.gpr(gpr::RSP) = HOLE + 8;
    rig.faults(PUSHFQ, Exception::ss(0));
}

#[test]
fn pushf_clears_rf_and_vm_in_the_image() {
    let mut rig = Rig::new();
    rig.cpu.regs.rflags = FIXED | IF | RF | VM | AC | IOPL;
    rig.done(PUSHFQ);
    let top = place::KERNEL_STACK - 8;
    assert_eq!(rig.cpu.regs.rsp(), top);
    assert_eq!(rig.peek(top), FIXED | IF | AC | IOPL);
}

#[test]
fn clac_and_stac_are_undefined_for_users_and_without_smap() {
    let (stac, clac) = ([0x0f, 0x01, 0xcb], [0x0f, 0x01, 0xca]);
    let mut rig = Rig::new();
    // CR4.SMAP need not be set.
    rig.done(&stac);
    assert_ne!(rig.cpu.regs.rflags & AC, 0);
    rig.done(&clac);
    assert_eq!(rig.cpu.regs.rflags & AC, 0);
    rig.cpu.model.features.smap = false;
    rig.faults(&stac, UD);
    rig.cpu.model.features.smap = true;
    rig.user();
    rig.faults(&clac, UD);
}

#[test]
fn hlt_is_privileged() {
    let mut rig = Rig::new();
    assert!(rig.done(&[0xf4]).halt);
    rig.user();
    rig.faults(&[0xf4], GP0);
}
