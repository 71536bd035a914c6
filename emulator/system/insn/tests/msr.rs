//! SDM vol. 2, RDMSR, WRMSR, SWAPGS, RDFSBASE, RDTSC, RDRAND, RDPKRU; vol. 3, 18.17; vol. 4.

use super::{GP0, Rig, UD};
use crate::arch::bits::{cr4, efer, msr, rflags};
use crate::arch::state::gpr;
use crate::arch::{Hex, SegReg, Vendor};
use crate::trace::{Direction, EventKind};

const RDMSR: &[u8] = &[0x0f, 0x32];
const WRMSR: &[u8] = &[0x0f, 0x30];
const SWAPGS: &[u8] = &[0x0f, 0x01, 0xf8];
const NOT_CANONICAL: u64 = 0x0100_0000_0000_0000;

fn set(rig: &mut Rig, number: u32, value: u64) {
    // Upper halves are not looked at.
    *rig.gpr(gpr::RCX) = 0xdead_0000_0000_0000 | u64::from(number);
    *rig.gpr(gpr::RAX) = 0xdead_0000_0000_0000 | value & 0xffff_ffff;
    *rig.gpr(gpr::RDX) = 0xdead_0000_0000_0000 | value >> 32;
}

fn read(rig: &mut Rig, number: u32) -> u64 {
    *rig.gpr(gpr::RCX) = u64::from(number);
    rig.done(RDMSR);
    *rig.gpr(gpr::RDX) << 32 | *rig.gpr(gpr::RAX)
}

#[test]
fn plain_registers_hold_what_is_written() {
    let address = 0xffff_ffff_8100_0000;
    let cases = [
        (msr::STAR, 0x0023_0010_dead_beef),
        (msr::LSTAR, address),
        (msr::CSTAR, address),
        (msr::SFMASK, 0x4_7700),
        (msr::SYSENTER_CS, 0x10),
        (msr::SYSENTER_ESP, address),
        (msr::SYSENTER_EIP, address),
        (msr::FS_BASE, 0x7fff_ffff_f000),
        (msr::GS_BASE, address),
        (msr::KERNEL_GS_BASE, address),
        (msr::TSC_AUX, 0xffff_ffff),
        (msr::PAT, 0x0007_0406_0105_0406),
    ];
    for (number, value) in cases {
        let mut rig = Rig::new();
        set(&mut rig, number, value);
        rig.done(WRMSR);
        assert_eq!(read(&mut rig, number), value, "{number:#x}");
        let written = EventKind::Msr {
            number: Hex(u64::from(number)),
            direction: Direction::Write,
            value: Hex(value),
        };
        assert_eq!(rig.bus.events.first(), Some(&written));
    }
}

#[test]
fn bases_are_where_segments_keep_them() {
    let mut rig = Rig::new();
    set(&mut rig, msr::GS_BASE, 0x1234_5000);
    rig.done(WRMSR);
    assert_eq!(rig.cpu.regs.segment(SegReg::Gs).base, 0x1234_5000);
}

#[test]
fn values_that_are_refused() {
    let cases = [
        (msr::LSTAR, NOT_CANONICAL),
        (msr::CSTAR, NOT_CANONICAL),
        (msr::FS_BASE, NOT_CANONICAL),
        (msr::GS_BASE, NOT_CANONICAL),
        (msr::KERNEL_GS_BASE, NOT_CANONICAL),
        (msr::SYSENTER_ESP, NOT_CANONICAL),
        (msr::SYSENTER_EIP, NOT_CANONICAL),
        (msr::SFMASK, 1 << 32),
        (msr::TSC_AUX, 1 << 32),
        // Memory types 2, 3 and 8 do not exist (SDM vol. 3, 12.12.2).
        (msr::PAT, 2),
        (msr::PAT, 3 << 56),
        (msr::PAT, 8 << 8),
        (msr::MCG_CAP, 0),
        (0xdead, 0),
        // SVME: no SVM in the model.
        (msr::EFER, efer::LME | efer::LMA | efer::SVME),
        (msr::EFER, efer::LME | efer::LMA | 1 << 9),
        // LME cannot be cleared while paging is on.
        (msr::EFER, efer::SCE),
    ];
    for (number, value) in cases {
        let mut rig = Rig::new();
        set(&mut rig, number, value);
        rig.faults(WRMSR, GP0);
    }
}

#[test]
fn a_57_bit_cpu_takes_57_bit_bases_with_la57_off() {
    // Canonical for 57 bits, not for 48.
    let wide = 0xff00_0000_0000_0000;
    let mut rig = Rig::new();
    set(&mut rig, msr::KERNEL_GS_BASE, wide);
    rig.done(WRMSR);
    rig.cpu.model.features.la57 = false;
    rig.faults(WRMSR, GP0);
}

#[test]
fn unknown_registers_and_user_mode() {
    let mut rig = Rig::new();
    *rig.gpr(gpr::RCX) = 0x1234_5678;
    rig.faults(RDMSR, GP0);
    *rig.gpr(gpr::RCX) = u64::from(msr::EFER);
    rig.user();
    rig.faults(RDMSR, GP0);
    rig.faults(WRMSR, GP0);
}

#[test]
fn efer_bits_follow_the_model() {
    let base = efer::LME | efer::LMA;
    let mut rig = Rig::new();
    // LMA is read-only: written as 0, it stays.
    set(&mut rig, msr::EFER, efer::LME | efer::SCE | efer::NXE);
    rig.done(WRMSR);
    assert_eq!(rig.cpu.regs.msr.efer, base | efer::SCE | efer::NXE);
    set(&mut rig, msr::EFER, base | efer::SCE);
    rig.done(WRMSR);
    assert_eq!(rig.bus.flushes, 1, "NXE changes rights");
    rig.cpu.model.features.nx = false;
    set(&mut rig, msr::EFER, base | efer::NXE);
    rig.faults(WRMSR, GP0);
}

#[test]
fn misc_enable_is_intels() {
    let mut rig = Rig::new();
    assert_eq!(read(&mut rig, msr::MISC_ENABLE), 1);
    let mut rig = Rig::of(Vendor::Amd);
    *rig.gpr(gpr::RCX) = u64::from(msr::MISC_ENABLE);
    rig.faults(RDMSR, GP0);
}

#[test]
fn the_apic_answers_for_its_own() {
    let mut rig = Rig::new();
    *rig.gpr(gpr::RCX) = u64::from(msr::APIC_BASE);
    rig.faults(RDMSR, GP0);
    rig.faults(WRMSR, GP0);
    rig.bus.apic_base = Some(0xfee0_0900);
    assert_eq!(read(&mut rig, msr::APIC_BASE), 0xfee0_0900);
    set(&mut rig, msr::APIC_BASE, 0xfee0_0c00);
    rig.done(WRMSR);
    assert_eq!(rig.bus.apic_base, Some(0xfee0_0c00));
}

#[test]
fn time_stamp_and_its_adjustment_move_together() {
    let mut rig = Rig::new();
    rig.bus.tsc = 1000;
    assert_eq!(read(&mut rig, msr::TSC), 1000);
    set(&mut rig, msr::TSC, 5);
    rig.done(WRMSR);
    assert_eq!(read(&mut rig, msr::TSC), 5);
    assert_eq!(read(&mut rig, msr::TSC_ADJUST) as i64, -995);
    set(&mut rig, msr::TSC_ADJUST, 0);
    rig.done(WRMSR);
    assert_eq!(read(&mut rig, msr::TSC), 1000);
    set(&mut rig, msr::TSC_ADJUST, 7);
    rig.done(WRMSR);
    assert_eq!(read(&mut rig, msr::TSC), 1007);
}

#[test]
fn rdtsc_and_rdtscp() {
    let mut rig = Rig::new();
    rig.bus.tsc = 0x1_2345_6789;
    rig.cpu.regs.msr.tsc_aux = 0x77;
    *rig.gpr(gpr::RAX) = u64::MAX;
    *rig.gpr(gpr::RDX) = u64::MAX;
    rig.done(&[0x0f, 0x01, 0xf9]);
    let found = (*rig.gpr(gpr::RAX), *rig.gpr(gpr::RDX), *rig.gpr(gpr::RCX));
    assert_eq!(found, (0x2345_6789, 1, 0x77));
    rig.cpu.regs.cr4 |= cr4::TSD;
    rig.done(&[0x0f, 0x31]);
    rig.user();
    rig.faults(&[0x0f, 0x31], GP0);
    rig.faults(&[0x0f, 0x01, 0xf9], GP0);
    rig.cpu.regs.cr4 &= !cr4::TSD;
    rig.done(&[0x0f, 0x31]);
    rig.cpu.model.features.rdtscp = false;
    rig.faults(&[0x0f, 0x01, 0xf9], UD);
}

#[test]
fn rdpmc_has_no_counter() {
    Rig::new().faults(&[0x0f, 0x33], GP0);
}

#[test]
fn random_numbers_set_cf_and_clear_the_rest() {
    let mut rig = Rig::new();
    rig.cpu.regs.rflags |= rflags::STATUS & !rflags::CF | rflags::DF;
    *rig.gpr(gpr::RAX) = u64::MAX;
    rig.done(&[0x66, 0x0f, 0xc7, 0xf0]);
    assert_eq!(*rig.gpr(gpr::RAX), 0xffff_ffff_ffff_cdef);
    assert_eq!(rig.cpu.regs.rflags, rflags::FIXED | rflags::CF | rflags::DF);
    rig.done(&[0x0f, 0xc7, 0xf0]);
    assert_eq!(*rig.gpr(gpr::RAX), 0x89ab_cdef);
    rig.done(&[0x48, 0x0f, 0xc7, 0xf8]);
    assert_eq!(*rig.gpr(gpr::RAX), 0x0123_4567_89ab_cdef);
    rig.cpu.model.features.rdrand = false;
    rig.faults(&[0x0f, 0xc7, 0xf0], UD);
}

#[test]
fn swapgs_swaps_at_cpl_0_in_64_bit_mode() {
    let mut rig = Rig::new();
    rig.cpu.regs.segment_mut(SegReg::Gs).base = 1;
    rig.cpu.regs.msr.kernel_gs_base = 2;
    rig.done(SWAPGS);
    assert_eq!(rig.cpu.regs.segment(SegReg::Gs).base, 2);
    assert_eq!(rig.cpu.regs.msr.kernel_gs_base, 1);
    let event = EventKind::Swapgs {
        gs_base: Hex(2),
        kernel_gs_base: Hex(1),
    };
    assert_eq!(rig.bus.events, [event]);
    rig.user();
    rig.faults(SWAPGS, GP0);
    // 0F 01 F8 is no instruction outside 64-bit mode, at any CPL.
    rig.compatibility();
    rig.cpu.regs.cpl = 0;
    rig.faults(SWAPGS, UD);
}

#[test]
fn fs_and_gs_bases_by_instruction() {
    let mut rig = Rig::new();
    let (rd_fs, wr_fs) = (
        [0xf3, 0x48, 0x0f, 0xae, 0xc0],
        [0xf3, 0x48, 0x0f, 0xae, 0xd0],
    );
    let (rd_gs, wr_gs) = ([0xf3, 0x0f, 0xae, 0xc8], [0xf3, 0x0f, 0xae, 0xd8]);
    rig.faults(&rd_fs, UD);
    rig.cpu.regs.cr4 |= cr4::FSGSBASE;
    rig.user();
    *rig.gpr(gpr::RAX) = 0xffff_8000_1234_5678;
    rig.done(&wr_fs);
    rig.done(&wr_gs);
    assert_eq!(rig.cpu.regs.segment(SegReg::Fs).base, 0xffff_8000_1234_5678);
    assert_eq!(
        rig.cpu.regs.segment(SegReg::Gs).base,
        0x1234_5678,
        "32-bit operand"
    );
    rig.cpu.regs.segment_mut(SegReg::Gs).base = 0xffff_8000_dead_beef;
    rig.done(&rd_gs);
    assert_eq!(*rig.gpr(gpr::RAX), 0xdead_beef);
    rig.done(&rd_fs);
    assert_eq!(*rig.gpr(gpr::RAX), 0xffff_8000_1234_5678);
    *rig.gpr(gpr::RAX) = NOT_CANONICAL;
    rig.faults(&wr_fs, GP0);
}

#[test]
fn protection_keys_and_xcr0() {
    let (rd, wr) = ([0x0f, 0x01, 0xee], [0x0f, 0x01, 0xef]);
    let mut rig = Rig::new();
    rig.faults(&rd, UD);
    rig.faults(&wr, UD);
    rig.faults(&[0x0f, 0x01, 0xd0], UD);
    rig.faults(&[0x0f, 0x01, 0xd1], UD);
    rig.cpu.regs.cr4 |= cr4::PKE;
    rig.user();
    *rig.gpr(gpr::RAX) = 0xffff_ffff_0000_000c;
    rig.done(&wr);
    assert_eq!((rig.cpu.regs.pkru, rig.bus.flushes), (0xc, 1));
    *rig.gpr(gpr::RDX) = 0xdead_0000_0000_0000;
    rig.done(&rd);
    assert_eq!((*rig.gpr(gpr::RAX), *rig.gpr(gpr::RDX)), (0xc, 0));
    *rig.gpr(gpr::RDX) = 1;
    rig.faults(&wr, GP0);
    rig.done(&rd);
    *rig.gpr(gpr::RCX) = 1;
    rig.faults(&rd, GP0);
    rig.faults(&wr, GP0);
}
