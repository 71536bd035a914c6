//! SDM vol. 2, MOV DR; vol. 3, 17.2.

use super::{DATA, GP0, Rig, UD};
use crate::arch::bits::{cr4, dr6, dr7, rflags};
use crate::arch::state::gpr;
use crate::arch::{Exception, Vector};
use crate::system::testing::{place, sel};

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

/// Arms breakpoint 0 at `at`: R/W and LEN fields as given.
fn armed(at: u64, rw: u64, len: u64) -> Rig {
    let mut rig = Rig::new();
    rig.cpu.regs.cr4 |= cr4::DE;
    rig.cpu.regs.dr[0] = at;
    rig.cpu.regs.dr7 = dr7::FIXED | 1 | rw << 16 | len << 18;
    rig
}

#[test]
fn accesses_of_microcode_hit_data_breakpoints() {
    // 8 bytes, writes only: SGDT writes, LGDT reads (SDM vol. 3, 17.2.4).
    let (sgdt, lgdt): (&[u8], &[u8]) = (&[0x0f, 0x01, 0x07], &[0x0f, 0x01, 0x17]);
    for (bytes, rw, hit) in [(sgdt, 1, 1), (lgdt, 1, 0), (lgdt, 3, 1), (sgdt, 3, 1)] {
        let mut rig = armed(DATA + 8, rw, 2);
        *rig.gpr(gpr::RDI) = DATA;
        rig.done(bytes);
        assert_eq!(rig.cpu.pending_db, hit, "{bytes:02x?} R/W {rw}");
    }
    // An instruction that faults hits nothing.
    let mut rig = armed(DATA, 3, 2);
    *rig.gpr(gpr::RDI) = DATA;
    rig.poke(DATA + 8, 0x0100);
    rig.faults(lgdt, GP0);
    assert_eq!(rig.cpu.pending_db, 0);
}

#[test]
fn ports_hit_io_breakpoints_with_de() {
    for (de, hit) in [(true, 1), (false, 0)] {
        let mut rig = armed(0x3f8, 2, 0);
        if !de {
            rig.cpu.regs.cr4 &= !cr4::DE;
        }
        *rig.gpr(gpr::RDX) = 0x3f6;
        rig.done(&[0xed]);
        assert_eq!(rig.cpu.pending_db, hit);
        rig.cpu.pending_db = 0;
        rig.done(&[0xec]);
        assert_eq!(rig.cpu.pending_db, 0, "0x3f6 alone");
    }
}

#[test]
fn completion_clears_rf_and_a_fault_does_not() {
    let mut rig = Rig::new();
    rig.cpu.regs.rflags |= rflags::RF;
    *rig.gpr(gpr::RCX) = 0xdead;
    rig.faults(&[0x0f, 0x32], GP0);
    rig.done(FROM_DR6);
    assert_eq!(rig.cpu.regs.rflags & rflags::RF, 0);
}

#[test]
fn far_transfers_hit_breakpoints_on_the_stack_they_use() {
    let top = place::KERNEL_STACK;
    // The saved RIP of a far CALL; the outer RSP of a far RET.
    let mut rig = armed(top - 16, 1, 2);
    *rig.gpr(gpr::RDI) = DATA;
    rig.poke(DATA, 0x1000);
    rig.poke(DATA + 8, u64::from(sel::KERNEL_CS));
    rig.run(&[0x48, 0xff, 0x1f]).expect("calls");
    assert_eq!(rig.cpu.pending_db, 1);

    let mut rig = armed(top - 16, 3, 2);
    *rig.gpr(gpr::RSP) = top - 32;
    let frame = [
        0x1000,
        u64::from(sel::USER_CS),
        0x7000,
        u64::from(sel::USER_SS),
    ];
    for (i, value) in frame.into_iter().enumerate() {
        rig.poke(top - 32 + 8 * i as u64, value);
    }
    rig.run(&[0x48, 0xcb]).expect("returns");
    assert_eq!((rig.cpu.regs.cpl, rig.cpu.pending_db), (3, 1));
}
