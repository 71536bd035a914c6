//! SDM vol. 1, 19.5 (I/O permission map); vol. 2, IN, OUT, INS, OUTS, REP.

use super::{DATA, GP0, HOLE, Rig};
use crate::arch::bits::rflags;
use crate::arch::state::gpr;
use crate::arch::{Exception, VirtAddr};
use crate::system::testing::place;

const IN_AL: &[u8] = &[0xec];
const IN_EAX: &[u8] = &[0xed];
const OUT_AX: &[u8] = &[0x66, 0xef];
const REP_INSB: &[u8] = &[0xf3, 0x6c];
const REP_OUTSW: &[u8] = &[0x66, 0xf3, 0x6f];

#[test]
fn in_by_width() {
    let mut rig = Rig::new();
    rig.bus.port_value = 0x8765_4321;
    *rig.gpr(gpr::RDX) = 0xdead_03f8;
    *rig.gpr(gpr::RAX) = u64::MAX;
    rig.done(IN_AL);
    assert_eq!(*rig.gpr(gpr::RAX), 0xffff_ffff_ffff_ff21);
    rig.done(IN_EAX);
    assert_eq!(*rig.gpr(gpr::RAX), 0x8765_4321);
    rig.done(&[0xe4, 0x60]);
    assert_eq!(rig.bus.port_reads, [(0x3f8, 1), (0x3f8, 4), (0x60, 1)]);
}

#[test]
fn out_by_width() {
    let mut rig = Rig::new();
    *rig.gpr(gpr::RDX) = 0xf4;
    *rig.gpr(gpr::RAX) = 0x1234_5678;
    rig.done(OUT_AX);
    rig.done(&[0xe6, 0x80]);
    assert_eq!(rig.bus.port_writes, [(0xf4, 2, 0x5678), (0x80, 1, 0x78)]);
}

/// CPL 3 with a permission map at offset 0x68 for ports 0 to 0x7f and the terminating byte.
fn with_map() -> Rig {
    let mut rig = Rig::new();
    rig.user();
    rig.cpu.regs.tr.limit = 0x68 + 16;
    let field = rig.peek(place::TSS + 0x60) & 0xffff_ffff_ffff;
    rig.poke(place::TSS + 0x60, field | 0x68 << 48);
    rig.poke(place::TSS + 0x68, u64::MAX);
    rig.poke(place::TSS + 0x70, u64::MAX);
    rig.poke(place::TSS + 0x78, u64::MAX);
    rig
}

#[test]
fn users_need_iopl_or_the_map() {
    let mut rig = Rig::new();
    rig.user();
    // The map begins where the TSS ends.
    rig.poke(place::TSS + 0x60, 0x68 << 48);
    rig.faults(IN_AL, GP0);
    assert!(rig.bus.port_reads.is_empty());
    rig.cpu.regs.rflags |= rflags::IOPL;
    rig.done(IN_AL);
}

#[test]
fn all_bits_of_a_wide_access_must_be_clear() {
    let mut rig = with_map();
    // Ports 0x0e to 0x11 allowed: a doubleword over two bytes of the map.
    rig.poke(place::TSS + 0x68, !(0xf << 14));
    *rig.gpr(gpr::RDX) = 0x0e;
    rig.done(IN_EAX);
    rig.done(IN_AL);
    *rig.gpr(gpr::RDX) = 0x0f;
    rig.faults(IN_EAX, GP0);
    *rig.gpr(gpr::RDX) = 0x0d;
    rig.faults(IN_EAX, GP0);
}

#[test]
fn the_map_ends_at_the_limit() {
    let mut rig = with_map();
    rig.poke(place::TSS + 0x70, 0);
    // Port 0x7f: bytes 0x77 and 0x78, the last one of the segment.
    *rig.gpr(gpr::RDX) = 0x7f;
    rig.done(IN_AL);
    rig.cpu.regs.tr.limit -= 1;
    rig.faults(IN_AL, GP0);
    // The 16-bit base field itself must lie inside (102 and 103).
    rig.cpu.regs.tr.limit = 102;
    rig.faults(IN_AL, GP0);
}

#[test]
fn the_map_is_read_with_supervisor_rights() {
    let mut rig = with_map();
    rig.unmap(place::TSS);
    rig.faults(IN_AL, Exception::pf(0, VirtAddr(place::TSS + 102)));
}

#[test]
fn rep_ins_makes_one_iteration_a_call() {
    let mut rig = Rig::new();
    rig.bus.port_value = 0x41;
    *rig.gpr(gpr::RDX) = 0x3f8;
    *rig.gpr(gpr::RDI) = DATA;
    *rig.gpr(gpr::RCX) = 2;
    let start = rig.cpu.regs.rip;
    let outcome = rig.run(REP_INSB).expect("first");
    assert!(outcome.rep_iteration);
    assert_eq!(
        (rig.cpu.regs.rip, *rig.gpr(gpr::RCX), *rig.gpr(gpr::RDI)),
        (start, 1, DATA + 1)
    );
    let outcome = rig.done(REP_INSB);
    assert!(!outcome.rep_iteration);
    assert_eq!((*rig.gpr(gpr::RCX), *rig.gpr(gpr::RDI)), (0, DATA + 2));
    assert_eq!(rig.peek(DATA) & 0xff_ffff, 0x4141);
    // Nothing is left to do: no port, no fault.
    *rig.gpr(gpr::RDI) = HOLE;
    assert!(!rig.done(REP_INSB).rep_iteration);
    assert_eq!(rig.bus.port_reads.len(), 2);
}

#[test]
fn ins_checks_its_destination_before_the_port() {
    let mut rig = Rig::new();
    *rig.gpr(gpr::RDI) = place::USER_STACK;
    *rig.gpr(gpr::RCX) = 5;
    rig.faults(REP_INSB, Exception::pf(2, VirtAddr(place::USER_STACK)));
    assert!(rig.bus.port_reads.is_empty());
}

#[test]
fn outs_counts_down_with_df() {
    let mut rig = Rig::new();
    rig.cpu.regs.rflags |= rflags::DF;
    rig.poke(DATA, 0x4444_3333_2222_1111);
    *rig.gpr(gpr::RSI) = DATA + 4;
    *rig.gpr(gpr::RCX) = 2;
    assert!(rig.run(REP_OUTSW).expect("first").rep_iteration);
    rig.done(REP_OUTSW);
    assert_eq!(*rig.gpr(gpr::RSI), DATA);
    assert_eq!(rig.bus.port_writes, [(0, 2, 0x3333), (0, 2, 0x2222)]);
}

#[test]
fn the_address_size_cuts_index_and_count() {
    let mut rig = Rig::new();
    *rig.gpr(gpr::RDI) = 0xdead_0000_0000_0000 | DATA;
    *rig.gpr(gpr::RCX) = 0xdead_0000_0000_0001;
    let outcome = rig.done(&[0x67, 0xf3, 0x6c]);
    assert!(!outcome.rep_iteration);
    assert_eq!((*rig.gpr(gpr::RDI), *rig.gpr(gpr::RCX)), (DATA + 1, 0));
}
