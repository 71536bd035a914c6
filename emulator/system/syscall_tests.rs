//! SYSCALL and SYSRET against SDM vol. 2, Operation.

use super::testing::*;
use super::*;
use crate::arch::bits::rflags;
use crate::arch::state::gpr;
use crate::arch::{Exception, SegReg, Segment, Trap, Vendor};
use crate::trace::{EventKind, UnblockedBy};

const FLAGS: u64 = rflags::FIXED;

fn with_star() -> Rig {
    let mut rig = Rig::new();
    rig.cpu.regs.msr.star = 0x001b_0008 << 32;
    rig.cpu.regs.msr.lstar = 0xffff_8000_0000_1000;
    rig
}

/// SDM vol. 2, SYSCALL; row 33's half: TF is masked by IA32_FMASK.
#[test]
fn syscall_loads() {
    let mut rig = with_star();
    rig.user();
    rig.cpu.regs.msr.sfmask = rflags::TF | rflags::IF;
    rig.cpu.regs.rflags = FLAGS | rflags::TF | rflags::IF | rflags::RF | rflags::CF;
    syscall(&mut rig.cpu, &mut rig.bus, place::USER_CODE + 2).unwrap();
    let r = &rig.cpu.regs;
    assert_eq!(r.gpr[gpr::RCX], place::USER_CODE + 2);
    assert_eq!(
        r.gpr[gpr::R11],
        FLAGS | rflags::TF | rflags::IF | rflags::CF
    );
    assert_eq!(r.rflags, FLAGS | rflags::CF);
    assert_eq!((r.rip, r.cpl), (0xffff_8000_0000_1000, 0));
    assert_eq!((r.cs().selector, r.ss().selector), (0x08, 0x10));
    assert_eq!(r.rsp(), place::USER_STACK);
}

/// SDM vol. 2, SYSCALL and SYSRET: #UD and #GP.
#[test]
fn syscall_and_sysret_refused() {
    let mut rig = with_star();
    rig.cpu.regs.msr.efer &= !1;
    let ud = Err(Trap::Exception(Exception::ud()));
    assert_eq!(syscall(&mut rig.cpu, &mut rig.bus, 0), ud);
    assert_eq!(sysret(&mut rig.cpu, &mut rig.bus, 8), ud);
    let mut rig = with_star();
    *rig.cpu.regs.segment_mut(SegReg::Cs) = Segment::flat_code32(0x78, 0);
    assert_eq!(syscall(&mut rig.cpu, &mut rig.bus, 0), ud);
    let mut rig = with_star();
    rig.user();
    let gp = Err(Trap::Exception(Exception::gp(0)));
    assert_eq!(sysret(&mut rig.cpu, &mut rig.bus, 8), gp);
}

/// Row 43: Intel faults at CPL 0 on the user's stack; AMD goes there.
#[test]
fn sysret_non_canonical() {
    for vendor in [Vendor::Intel, Vendor::Amd] {
        let mut rig = with_star();
        rig.cpu.model = crate::arch::CpuModel::of(vendor);
        rig.cpu.regs.gpr[gpr::RCX] = 0x8000_0000_0000;
        let before = rig.cpu.regs.clone();
        let result = sysret(&mut rig.cpu, &mut rig.bus, 8);
        if vendor == Vendor::Intel {
            assert_eq!(result, Err(Trap::Exception(Exception::gp(0))));
            assert_eq!(rig.cpu.regs, before);
        } else {
            assert_eq!(result, Ok(()));
            assert_eq!((rig.cpu.regs.rip, rig.cpu.regs.cpl), (0x8000_0000_0000, 3));
        }
    }
}

/// Row 44, and the selectors of both forms.
#[test]
fn sysret_loads() {
    let mut rig = with_star();
    rig.cpu.regs.gpr[gpr::R11] = 0x30002;
    rig.cpu.regs.gpr[gpr::RCX] = place::USER_CODE;
    sysret(&mut rig.cpu, &mut rig.bus, 8).unwrap();
    let r = &rig.cpu.regs;
    assert_eq!(r.rflags, 2);
    assert_eq!((r.cs().selector, r.ss().selector, r.cpl), (0x2b, 0x23, 3));
    assert!(r.is_64bit());

    let mut rig = with_star();
    rig.cpu.regs.gpr[gpr::R11] = rflags::TF | rflags::IF;
    rig.cpu.regs.gpr[gpr::RCX] = 0x1_0000_0000 | place::USER_CODE;
    sysret(&mut rig.cpu, &mut rig.bus, 4).unwrap();
    let r = &rig.cpu.regs;
    assert_eq!((r.rip, r.cs().selector), (place::USER_CODE, 0x1b));
    assert!(!r.is_64bit());
    assert_eq!(r.rflags, FLAGS | rflags::TF | rflags::IF);
}

/// Row 45: SYSRET leaves NMIs blocked; it resumes the activation it returns to.
#[test]
fn sysret_does_not_unblock() {
    let mut rig = with_star();
    rig.user();
    let nmi = rig.nmi();
    let r = &mut rig.cpu.regs;
    r.gpr[gpr::RSP] = place::USER_STACK;
    r.gpr[gpr::RCX] = place::USER_CODE;
    r.gpr[gpr::R11] = FLAGS;
    sysret(&mut rig.cpu, &mut rig.bus, 8).unwrap();
    assert!(rig.cpu.nmi.blocked);
    assert!(rig.bus.events.contains(&EventKind::Resumed { id: nmi.id }));
    // User code's own IRET unblocks.
    let (cs, ss) = (u64::from(sel::USER_CS), u64::from(sel::USER_SS));
    rig.push_frame([place::USER_CODE + 0x10, cs, FLAGS, place::USER_STACK, ss]);
    iret(&mut rig.cpu, &mut rig.bus, 8).unwrap();
    assert!(!rig.cpu.nmi.blocked);
    let unblocked = EventKind::NmiUnblocked {
        by: UnblockedBy::OtherIret,
        in_handler: None,
        blocked_by: Some(nmi.id),
    };
    assert!(rig.bus.events.contains(&unblocked));
}
