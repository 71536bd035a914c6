//! IRET against SDM vol. 2, Operation, and SDM vol. 3, 6.7.1.

use super::testing::*;
use super::*;
use crate::arch::bits::{cr0, dr7, pte, rflags};
use crate::arch::state::gpr;
use crate::arch::{CpuState, Exception, SegReg, Segment, Trap, Vector, Vendor, VirtAddr};
use crate::trace::{EventClass, EventKind, Return, UnblockedBy};

const FLAGS: u64 = rflags::FIXED;

fn frame_to_kernel() -> [u64; 5] {
    let ss = u64::from(sel::KERNEL_SS);
    [place::CODE + 0x100, 0x08, FLAGS, place::KERNEL_STACK, ss]
}

fn frame_to_user() -> [u64; 5] {
    let (cs, ss) = (u64::from(sel::USER_CS), u64::from(sel::USER_SS));
    [
        place::USER_CODE,
        cs,
        FLAGS | rflags::IF,
        place::USER_STACK,
        ss,
    ]
}

fn run(rig: &mut Rig, size: u8) -> Result<(), Trap> {
    iret(&mut rig.cpu, &mut rig.bus, size)
}

/// IRETQ with `frame` must raise `want` and change nothing.
fn refused(setup: impl Fn(&mut Rig), frame: [u64; 5], want: Exception) {
    let mut rig = Rig::new();
    setup(&mut rig);
    rig.push_frame(frame);
    let before = rig.cpu.regs.clone();
    assert_eq!(run(&mut rig, 8), Err(Trap::Exception(want)), "{frame:#x?}");
    assert_eq!(rig.cpu.regs, before);
}

fn unblocks(rig: &Rig) -> Vec<UnblockedBy> {
    rig.bus
        .events
        .iter()
        .filter_map(|e| match e {
            EventKind::NmiUnblocked { by, .. } => Some(*by),
            _ => None,
        })
        .collect()
}

fn last_return(rig: &Rig) -> Return {
    rig.bus
        .events
        .iter()
        .rev()
        .find_map(|e| match e {
            EventKind::Iret(r) => Some(r.clone()),
            _ => None,
        })
        .expect("an iret event")
}

/// Delivery and return give the same registers, at each privilege level.
#[test]
fn round_trip() {
    for user in [false, true] {
        let mut rig = Rig::new();
        if user {
            rig.user();
            for s in [SegReg::Ds, SegReg::Es, SegReg::Fs, SegReg::Gs] {
                *rig.cpu.regs.segment_mut(s) = Segment::flat_data(sel::USER_SS, 3);
            }
        }
        rig.cpu.regs.rflags |= rflags::TF | rflags::AC | rflags::ID | rflags::CF;
        let before = rig.cpu.regs.clone();
        let d = rig.nmi();
        run(&mut rig, 8).unwrap();
        let mut want = before.clone();
        // The hidden part comes from the GDT now: its limit and G differ from the flat start.
        let cs = want.segment_mut(SegReg::Cs);
        let dpl = if user { 0x6000 } else { 0 };
        (cs.limit, cs.attr) = (0, 0x0020_9b00 | dpl);
        assert_eq!(rig.cpu.regs, want);
        let r = last_return(&rig);
        assert_eq!((r.of, r.resumes), (Some(d.id), Some(d.id)));
        assert_eq!(unblocks(&rig), [UnblockedBy::NmiReturn]);
        assert_eq!(rig.cpu.activations.depth(), 0);
    }
}

/// Row 5: an IRET inside the NMI handler unblocks early, and says of whom.
#[test]
fn unblocked_early() {
    let mut rig = Rig::new();
    let nmi = rig.nmi();
    let rip = rig.cpu.regs.rip;
    let e = software_interrupt(&rig.cpu, SoftwareInterrupt::Int3, rip + 1).unwrap();
    let bp = rig.delivered(e.unwrap());
    rig.cpu.nmi.pending = true;
    run(&mut rig, 8).unwrap();
    assert!(!rig.cpu.nmi.blocked && rig.cpu.nmi.pending);
    let unblocked = EventKind::NmiUnblocked {
        by: UnblockedBy::OtherIret,
        in_handler: Some(bp.id),
        blocked_by: Some(nmi.id),
    };
    assert!(rig.bus.events.contains(&unblocked));
    assert_eq!(rig.cpu.activations.innermost().unwrap().id, nmi.id);
}

/// Rows 6 and 7: a faulting IRET unblocks on Intel, with NT too; not with the AMD knob.
#[test]
fn faulting_iret_unblocks() {
    for vendor in [Vendor::Intel, Vendor::Amd] {
        for nt in [false, true] {
            let mut rig = Rig::of(vendor);
            rig.nmi();
            let mut frame = frame_to_kernel();
            frame[1] = u64::from(sel::BEYOND);
            rig.push_frame(frame);
            let mut want = Exception::gp(u32::from(sel::BEYOND));
            if nt {
                rig.cpu.regs.rflags |= rflags::NT;
                want = Exception::gp(0);
            }
            assert_eq!(run(&mut rig, 8), Err(Trap::Exception(want)));
            let intel = vendor == Vendor::Intel;
            assert_eq!(rig.cpu.nmi.blocked, !intel);
            let told: &[_] = if intel {
                &[UnblockedBy::FaultingIret]
            } else {
                &[]
            };
            assert_eq!(unblocks(&rig), told);
        }
    }
}

/// 6.7.1 with AMD's order: a completed IRET unblocks.
#[test]
fn amd_unblocks_on_success() {
    let mut rig = Rig::of(Vendor::Amd);
    rig.nmi();
    run(&mut rig, 8).unwrap();
    assert!(!rig.cpu.nmi.blocked);
    assert_eq!(unblocks(&rig), [UnblockedBy::NmiReturn]);
}

/// Steps 3 to 5: the code segment.
#[test]
fn bad_cs() {
    let cases = [
        (0, Exception::gp(0)),
        (3, Exception::gp(0)),
        (sel::BEYOND, Exception::gp(0x80)),
        (sel::KERNEL_SS, Exception::gp(0x10)),
        // RPL 3 with DPL 0, and RPL 0 with DPL 3.
        (0x0b, Exception::gp(0x08)),
        (0x28, Exception::gp(0x28)),
        // Row 39.
        (sel::CODE_LD, Exception::gp(0x40)),
        (sel::CODE_NP, Exception::with_code(Vector::NP, 0x58)),
    ];
    for (cs, want) in cases {
        let mut frame = frame_to_kernel();
        frame[1] = u64::from(cs);
        refused(|_| {}, frame, want);
    }
    // RPL < CPL.
    let mut frame = frame_to_kernel();
    frame[3] = place::USER_STACK;
    refused(Rig::user, frame, Exception::gp(0x08));
}

/// Steps 7 to 9: the stack segment; rows 36, 37, 38.
#[test]
fn bad_ss() {
    let to_user = [
        (0, Exception::gp(0)),
        (3, Exception::gp(0)),
        (sel::BEYOND | 3, Exception::gp(0x80)),
        (sel::KERNEL_SS, Exception::gp(0x10)),
        (sel::KERNEL_SS | 3, Exception::gp(0x10)),
        (sel::USER_CS, Exception::gp(0x28)),
        (sel::USER_DATA_NP, Exception::ss(0x50)),
    ];
    for (ss, want) in to_user {
        let mut frame = frame_to_user();
        frame[4] = u64::from(ss);
        refused(|_| {}, frame, want);
    }
    let to_kernel = [
        (3, Exception::gp(0)),
        (sel::USER_SS, Exception::gp(0x20)),
        (sel::DATA_RO, Exception::gp(0x70)),
        (sel::DATA_NP, Exception::ss(0x48)),
    ];
    for (ss, want) in to_kernel {
        let mut frame = frame_to_kernel();
        frame[4] = u64::from(ss);
        refused(|_| {}, frame, want);
    }
    // A null SS is none for compatibility mode.
    let mut frame = frame_to_kernel();
    frame[1] = u64::from(sel::KERNEL_CS32);
    frame[4] = 0;
    refused(|_| {}, frame, Exception::gp(0));
}

/// Step 7: SS = 0 returns to 64-bit mode at CPL 0.
#[test]
fn null_ss_to_kernel() {
    let mut rig = Rig::new();
    let mut frame = frame_to_kernel();
    frame[4] = 0;
    rig.push_frame(frame);
    run(&mut rig, 8).unwrap();
    assert_eq!(*rig.cpu.regs.ss(), Segment::null(0));
}

/// Row 35, step 10.
#[test]
fn non_canonical_rip() {
    let mut frame = frame_to_user();
    frame[0] = 0x0000_8000_0000_0000;
    refused(|_| {}, frame, Exception::gp(0));
}

/// Step 10 in compatibility mode: EIP beyond CS.limit.
#[test]
fn eip_beyond_limit() {
    let mut frame = frame_to_user();
    frame[1] = u64::from(sel::USER_CS32);
    frame[0] = 0x2_0000;
    let small = |rig: &mut Rig| rig.poke(place::GDT + 0x18, 0x0040_fb00_0000_ffff);
    refused(small, frame, Exception::gp(0));
}

/// Step 2: the pops' own faults; row 41: at CPL 3 with user privilege.
#[test]
fn faulting_pops() {
    let mut rig = Rig::new();
    rig.user();
    rig.cpu.regs.gpr[gpr::RSP] = place::KERNEL_STACK - 40;
    let want = Exception::pf(5, VirtAddr(place::KERNEL_STACK - 40));
    assert_eq!(run(&mut rig, 8), Err(Trap::Exception(want)));

    let mut rig = Rig::new();
    rig.cpu.regs.gpr[gpr::RSP] = 0x9000_0000_0000;
    assert_eq!(run(&mut rig, 8), Err(Trap::Exception(Exception::ss(0))));

    // Step 6: RFLAGS is the last quadword that is mapped.
    let mut rig = Rig::new();
    rig.cpu.regs.gpr[gpr::RSP] = place::KERNEL_STACK - 24;
    rig.poke(place::KERNEL_STACK - 24, place::CODE);
    rig.poke(place::KERNEL_STACK - 16, 0x08);
    rig.poke(place::KERNEL_STACK - 8, FLAGS);
    let want = Exception::pf(0, VirtAddr(place::KERNEL_STACK));
    assert_eq!(run(&mut rig, 8), Err(Trap::Exception(want)));
    // A bad CS goes before them.
    rig.poke(place::KERNEL_STACK - 16, 0);
    assert_eq!(run(&mut rig, 8), Err(Trap::Exception(Exception::gp(0))));

    // #AC at CPL 3 alone.
    let mut rig = Rig::new();
    rig.cpu.regs.cr0 |= cr0::AM;
    rig.user();
    rig.cpu.regs.rflags |= rflags::AC;
    rig.cpu.regs.gpr[gpr::RSP] = place::USER_STACK - 44;
    let want = Exception::with_code(Vector::AC, 0);
    assert_eq!(run(&mut rig, 8), Err(Trap::Exception(want)));
}

/// Row 40: IRETD in 64-bit mode pops RSP and SS; VM in the image is ignored.
#[test]
fn iretd_in_kernel() {
    let mut rig = Rig::new();
    let rsp = place::KERNEL_STACK - 20;
    rig.cpu.regs.gpr[gpr::RSP] = rsp;
    let image = [
        place::CODE as u32 + 8,
        0x08,
        (FLAGS | rflags::VM | rflags::RF) as u32,
        place::KERNEL_STACK as u32 - 0x80,
        0x10,
    ];
    for (i, slot) in image.into_iter().enumerate() {
        let at = crate::arch::PhysAddr(rsp + 4 * i as u64);
        rig.bus.phys_write(at, &slot.to_le_bytes());
    }
    run(&mut rig, 4).unwrap();
    let r = &rig.cpu.regs;
    assert_eq!(
        (r.rip, r.rsp()),
        (place::CODE + 8, place::KERNEL_STACK - 0x80)
    );
    assert_eq!(r.rflags, FLAGS | rflags::RF);
    assert_eq!(last_return(&rig).mnemonic, "iretd");
}

/// Row 42, step 13.
#[test]
fn inner_data_segments_are_dropped() {
    let mut rig = Rig::new();
    let set = |rig: &mut Rig, s, value| *rig.cpu.regs.segment_mut(s) = value;
    set(&mut rig, SegReg::Ds, Segment::flat_data(sel::KERNEL_SS, 0));
    set(&mut rig, SegReg::Es, Segment::flat_data(sel::USER_SS, 3));
    let fs = Segment {
        base: 0xdead_0000,
        ..Segment::null(3)
    };
    set(&mut rig, SegReg::Fs, fs);
    let conforming = Segment {
        attr: 0x0020_9f00,
        ..Segment::flat_code64(sel::CONFORMING, 0)
    };
    set(&mut rig, SegReg::Gs, conforming);
    rig.push_frame(frame_to_user());
    run(&mut rig, 8).unwrap();
    let r = &rig.cpu.regs;
    assert_eq!(*r.segment(SegReg::Ds), Segment::null(0));
    assert_eq!(r.segment(SegReg::Es).selector, sel::USER_SS);
    let fs = r.segment(SegReg::Fs);
    assert_eq!((fs.selector, fs.base, fs.usable()), (0, 0xdead_0000, false));
    assert_eq!(r.segment(SegReg::Gs).selector, sel::CONFORMING);
    assert_eq!(r.cpl, 3);
}

/// Step 12: which flags are loaded, by CPL and IOPL.
#[test]
fn loaded_flags() {
    let image = !rflags::VM;
    let always = rflags::STATUS | rflags::TF | rflags::DF | rflags::NT;
    let wide = rflags::RF | rflags::AC | rflags::ID;
    let system = rflags::IF | rflags::IOPL | rflags::VIF | rflags::VIP;
    let after = |setup: fn(&mut Rig), frame: [u64; 5]| {
        let mut rig = Rig::new();
        setup(&mut rig);
        rig.push_frame(frame);
        run(&mut rig, 8).unwrap();
        rig.cpu.regs.rflags
    };
    let mut frame = frame_to_kernel();
    frame[2] = image;
    assert_eq!(after(|_| {}, frame), FLAGS | always | wide | system);
    let mut frame = frame_to_user();
    frame[2] = image;
    let user = |rig: &mut Rig| {
        rig.user();
        rig.cpu.regs.rflags = FLAGS;
    };
    assert_eq!(after(user, frame), FLAGS | always | wide);
    let user_with_iopl = |rig: &mut Rig| {
        rig.user();
        rig.cpu.regs.rflags = FLAGS | rflags::IOPL;
    };
    let want = FLAGS | always | wide | rflags::IF | rflags::IOPL;
    assert_eq!(after(user_with_iopl, frame), want);
}

/// A return to a 16-bit stack segment loads SP alone.
#[test]
fn espfix_leak() {
    let mut rig = Rig::new();
    let mut frame = frame_to_user();
    frame[1] = u64::from(sel::USER_CS32);
    frame[4] = u64::from(sel::USER_SS16);
    frame[3] = 0x1_2345;
    rig.push_frame(frame);
    let upper = rig.cpu.regs.rsp() & !0xffff;
    run(&mut rig, 8).unwrap();
    assert_eq!(rig.cpu.regs.rsp(), upper | 0x2345);
    assert!(!rig.cpu.regs.is_64bit());
}

/// From compatibility mode at the same level only three slots are popped.
#[test]
fn same_level_from_compatibility_mode() {
    let mut rig = Rig::new();
    let r: &mut CpuState = &mut rig.cpu.regs;
    *r.segment_mut(SegReg::Cs) = Segment::flat_code32(sel::KERNEL_CS32, 0);
    let rsp = place::KERNEL_STACK - 12;
    r.gpr[gpr::RSP] = rsp;
    let ss = *r.ss();
    rig.poke(rsp, place::CODE | u64::from(sel::KERNEL_CS32) << 32);
    let flags = (FLAGS as u32).to_le_bytes();
    rig.bus.phys_write(crate::arch::PhysAddr(rsp + 8), &flags);
    run(&mut rig, 4).unwrap();
    assert_eq!(rig.cpu.regs.rsp(), place::KERNEL_STACK);
    assert_eq!(*rig.cpu.regs.ss(), ss);
}

/// The demonstration of this project: the first frame is lost. The second NMI's frame is
/// consumed by its own return, then by that of the first handler.
#[test]
fn lost_frame() {
    let mut rig = Rig::new();
    rig.gate(2, 0x8e00, 1);
    let first = rig.nmi();
    // A page fault inside the handler, on its stack; its return unblocks.
    let rip = rig.cpu.regs.rip;
    let pf = Exception::pf(0, VirtAddr(0x7000_0000));
    rig.delivered(PendingEvent::exception(&pf, rip));
    rig.cpu.regs.gpr[gpr::RSP] += 8;
    run(&mut rig, 8).unwrap();
    assert_eq!(rig.cpu.regs.rip, rip);
    let second = rig.nmi();
    run(&mut rig, 8).unwrap();
    let r = last_return(&rig);
    assert_eq!((r.of, r.resumes), (Some(second.id), Some(second.id)));
    let open: Vec<_> = rig.cpu.activations.open().map(|a| a.id).collect();
    assert_eq!(open, [first.id]);
    // The first handler returns: with the second one's frame.
    assert_eq!(rig.cpu.regs.rsp(), first.frame.0);
    run(&mut rig, 8).unwrap();
    let r = last_return(&rig);
    assert_eq!((r.of, r.resumes), (Some(second.id), None));
    assert_eq!(rig.cpu.regs.rip, rip);
}

/// The second handler faults at the very place, and with the very RSP, that its NMI interrupted: the
/// fault's IRET, with the fault's frame, does not return from the NMI.
#[test]
fn the_same_code_on_the_same_stack() {
    let mut rig = Rig::new();
    rig.gate(2, 0x8e00, 1);
    let first = rig.nmi();
    let rip = rig.cpu.regs.rip;
    let pf = PendingEvent::exception(&Exception::pf(0, VirtAddr(0x7000_0000)), rip);
    rig.delivered(pf);
    rig.cpu.regs.gpr[gpr::RSP] += 8;
    run(&mut rig, 8).unwrap();
    let second = rig.nmi();
    let fault = rig.delivered(pf);
    assert_eq!(second.pushed.rip, fault.pushed.rip);
    assert_eq!(second.pushed.rsp, fault.pushed.rsp);
    rig.cpu.regs.gpr[gpr::RSP] += 8;
    run(&mut rig, 8).unwrap();
    let r = last_return(&rig);
    assert_eq!((r.of, r.resumes), (Some(fault.id), Some(fault.id)));
    let open: Vec<_> = rig.cpu.activations.open().map(|a| a.id).collect();
    assert_eq!(open, [first.id, second.id]);
    assert_eq!(unblocks(&rig).last(), Some(&UnblockedBy::OtherIret));
    // Its own IRET does.
    run(&mut rig, 8).unwrap();
    let r = last_return(&rig);
    assert_eq!((r.of, r.resumes), (Some(second.id), Some(second.id)));
}

/// A frame that software edited is consumed: resumed elsewhere.
#[test]
fn edited_frame() {
    let mut rig = Rig::new();
    let d = rig.irq(3);
    rig.poke(d.frame.0, place::CODE + 0x200);
    run(&mut rig, 8).unwrap();
    let r = last_return(&rig);
    assert_eq!((r.of, r.resumes), (None, None));
    assert_eq!(rig.cpu.activations.depth(), 0);
}

/// An IRET that faults consumes nothing.
#[test]
fn faulting_iret_consumes_nothing() {
    let mut rig = Rig::new();
    rig.nmi();
    rig.cpu.regs.rflags |= rflags::NT;
    assert!(run(&mut rig, 8).is_err());
    assert_eq!(rig.cpu.activations.depth(), 1);
}

/// 17.2.4: the pops hit a data breakpoint on reads.
#[test]
fn pops_hit_data_breakpoint() {
    let mut rig = Rig::new();
    rig.push_frame(frame_to_kernel());
    rig.cpu.regs.dr[0] = place::KERNEL_STACK - 8;
    rig.cpu.regs.dr7 = dr7::FIXED | 1 | 0b1111 << 16;
    run(&mut rig, 8).unwrap();
    assert_eq!(rig.cpu.pending_db, 1);
}

/// Nobody wants events: none is made.
#[test]
fn silent_when_unwanted() {
    let mut rig = Rig::new();
    rig.bus.wanted = EventClass::empty();
    rig.nmi();
    run(&mut rig, 8).unwrap();
    assert!(rig.bus.events.is_empty());
}

/// The read-ahead of a frame cannot be told from five pops: across a page end it works too.
#[test]
fn frame_across_pages() {
    let mut rig = Rig::new();
    rig.map(0x70000, 0x71000, pte::P | pte::W);
    rig.map(0x71000, 0x70000, pte::P | pte::W);
    let frame = frame_to_user();
    let places = [0x71fec, 0x71ff4, 0x71ffc, 0x70004, 0x7000c];
    for (at, slot) in places.into_iter().zip(frame) {
        if at == 0x71ffc {
            let bytes = slot.to_le_bytes();
            let (low, high) = bytes.split_at(4);
            rig.bus.phys_write(crate::arch::PhysAddr(0x71ffc), low);
            rig.bus.phys_write(crate::arch::PhysAddr(0x70000), high);
        } else {
            rig.poke(at, slot);
        }
    }
    rig.cpu.regs.gpr[gpr::RSP] = 0x70fec;
    run(&mut rig, 8).unwrap();
    let r = &rig.cpu.regs;
    assert_eq!((r.rip, r.rsp(), r.cpl), (frame[0], frame[3], 3));
}
