//! SDM vol. 2, MOV DR; vol. 3, 17.2.

use super::{GP0, Rig, UD};
use crate::arch::bits::{cr4, dr6, dr7};
use crate::arch::state::gpr;
use crate::arch::{Exception, Vector};

const TO_DR0: &[u8] = &[0x0f, 0x23, 0xc0];
const TO_DR5: &[u8] = &[0x0f, 0x23, 0xe8];
const TO_DR6: &[u8] = &[0x0f, 0x23, 0xf0];
const TO_DR7: &[u8] = &[0x0f, 0x23, 0xf8];
const FROM_DR4: &[u8] = &[0x0f, 0x21, 0xe3];
const FROM_DR6: &[u8] = &[0x0f, 0x21, 0xf3];
const FROM_DR7: &[u8] = &[0x0f, 0x21, 0xfb];

#[test]
fn reserved_bits_read_as_fixed() {
    let mut rig = Rig::new();
    *rig.gpr(gpr::RAX) = 0;
    rig.done(TO_DR6);
    rig.done(FROM_DR6);
    assert_eq!(*rig.gpr(gpr::RBX), 0xffff_0ff0);
    rig.done(TO_DR7);
    rig.done(FROM_DR7);
    assert_eq!(*rig.gpr(gpr::RBX), 0x400);
    *rig.gpr(gpr::RAX) = 0xffff_ffff;
    rig.done(TO_DR6);
    assert_eq!(rig.cpu.regs.dr6, 0xffff_efff, "bit 12 is always 0");
    // Bits 11, 12, 14 and 15 of DR7 are 0. This arms GD: no more moves.
    rig.done(TO_DR7);
    assert_eq!(rig.cpu.regs.dr7, 0xffff_27ff);
}

#[test]
fn upper_halves_of_dr6_and_dr7() {
    let mut rig = Rig::new();
    *rig.gpr(gpr::RAX) = 1 << 32;
    rig.faults(TO_DR6, GP0);
    rig.faults(TO_DR7, GP0);
    *rig.gpr(gpr::RAX) = 0x8000_0000_dead_beef;
    rig.done(TO_DR0);
    assert_eq!(rig.cpu.regs.dr[0], 0x8000_0000_dead_beef);
}

#[test]
fn dr4_and_dr5_are_aliases_without_de() {
    let mut rig = Rig::new();
    rig.cpu.regs.cr4 |= cr4::DE;
    rig.faults(FROM_DR4, UD);
    rig.cpu.regs.cr4 &= !cr4::DE;
    rig.done(FROM_DR4);
    let rbx = *rig.gpr(gpr::RBX);
    assert_eq!(rbx, rig.cpu.regs.dr6);
    *rig.gpr(gpr::RAX) = 3;
    rig.done(TO_DR5);
    assert_eq!(rig.cpu.regs.dr7, 0x403);
}

#[test]
fn privilege_comes_before_general_detect() {
    let mut rig = Rig::new();
    rig.cpu.regs.dr7 |= dr7::GD;
    let detected = Exception {
        dr6: dr6::BD,
        ..Exception::fault(Vector::DB)
    };
    rig.faults(FROM_DR7, detected);
    rig.faults(TO_DR7, detected);
    rig.user();
    rig.faults(FROM_DR7, GP0);
    rig.faults(TO_DR7, GP0);
}

#[test]
fn the_engine_asks_again_when_breakpoints_change() {
    let mut rig = Rig::new();
    *rig.gpr(gpr::RAX) = 0x5000;
    rig.done(TO_DR0);
    assert_eq!(rig.bus.flushes, 1);
    rig.done(TO_DR0);
    assert_eq!(rig.bus.flushes, 1, "nothing has changed");
}
