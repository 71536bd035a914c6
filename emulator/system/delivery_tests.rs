//! Event delivery against SDM vol. 2, INT n, Operation, and SDM vol. 3, 6.8 to 6.15.

use super::testing::*;
use super::*;
use crate::arch::bits::{cr4, dr6, dr7, pte, rflags};
use crate::arch::state::gpr;
use crate::arch::{EventType, Exception, Segment, Vector, VirtAddr};
use crate::trace::EventKind;

const INTERRUPT: u64 = 0x8e00;
const TRAP: u64 = 0x8f00;

fn fault(rig: &Rig, e: &Exception) -> PendingEvent {
    PendingEvent::exception(e, rig.cpu.regs.rip)
}

/// Row 1; 6.14.2: the frame lies below RSP aligned to 16; 6.12.1.3: flags.
#[test]
fn nmi_in_kernel() {
    let mut rig = Rig::new();
    rig.cpu.regs.gpr[gpr::RSP] = place::KERNEL_STACK - 8;
    let all = rflags::TF | rflags::NT | rflags::RF | rflags::IF | rflags::DF | rflags::AC;
    rig.cpu.regs.rflags = rflags::FIXED | all | rflags::CF;
    rig.cpu.nmi.pending = true;
    let before = rig.cpu.regs.clone();
    let d = rig.nmi();
    let frame = (before.rsp() & !15) - 40;
    assert_eq!(d.frame.0, frame);
    assert_eq!(rig.cpu.regs.rsp(), frame);
    let slots: Vec<u64> = (0..5).map(|i| rig.peek(frame + 8 * i)).collect();
    assert_eq!(
        slots,
        [place::CODE, 0x08, before.rflags, before.rsp(), 0x10]
    );
    assert_eq!(rig.cpu.regs.rip, handler(2));
    assert_eq!(rig.cpu.regs.ss(), before.ss());
    let kept = rflags::FIXED | rflags::DF | rflags::AC | rflags::CF;
    assert_eq!(rig.cpu.regs.rflags, kept);
    assert!(rig.cpu.nmi.blocked && !rig.cpu.nmi.pending);
    assert_eq!(rig.cpu.nmi.blocked_by, Some(d.id.serial));
}

/// Row 2; SDM vol. 2, INT n: SS is nulled only by a change of privilege.
#[test]
fn ist_at_same_privilege_keeps_ss() {
    let mut rig = Rig::new();
    rig.gate(2, INTERRUPT, 1);
    let ss = *rig.cpu.regs.ss();
    let d = rig.nmi();
    assert_eq!(d.ist, 1);
    assert_eq!(d.frame.0, place::IST1 - 40);
    assert_eq!(*rig.cpu.regs.ss(), ss);
}

/// Row 3.
#[test]
fn nmi_from_user_uses_rsp0_and_null_ss() {
    let mut rig = Rig::new();
    rig.user();
    let d = rig.nmi();
    assert_eq!(d.frame.0, place::RSP0 - 40);
    assert_eq!(*rig.cpu.regs.ss(), Segment::null(0));
    assert_eq!(rig.cpu.regs.cpl, 0);
    assert_eq!(d.pushed.ss.0, u64::from(sel::USER_SS));
    assert_eq!(d.pushed.cs.0, u64::from(sel::USER_CS));
    assert_eq!(d.pushed.rsp.0, place::USER_STACK);
}

/// 6.12.1.3: a trap gate leaves IF.
#[test]
fn trap_gate_leaves_if() {
    let mut rig = Rig::new();
    rig.cpu.regs.rflags |= rflags::IF;
    rig.gate(3, TRAP, 0);
    let e = software_interrupt(&rig.cpu, SoftwareInterrupt::Int3, place::CODE + 1).unwrap();
    let d = rig.delivered(e.unwrap());
    assert_ne!(rig.cpu.regs.rflags & rflags::IF, 0);
    assert_eq!(d.pushed.rip.0, place::CODE + 1);
}

/// Row 8: the first slot pushed faults; the NMI is lost, and blocks.
#[test]
fn nmi_on_unmapped_ist() {
    let mut rig = Rig::new();
    rig.gate(2, INTERRUPT, 1);
    rig.unmap(place::IST1 - 8);
    rig.cpu.nmi.pending = true;
    let d = rig.nmi();
    assert_eq!((d.id.vector, d.error_code), (Vector::PF, Some(2)));
    assert_eq!(d.cr2, Some(VirtAddr(place::IST1 - 8)));
    assert_eq!(rig.cpu.regs.cr2, place::IST1 - 8);
    assert_ne!(d.pushed.rflags.0 & rflags::RF, 0);
    assert!(rig.cpu.nmi.blocked && !rig.cpu.nmi.pending);
    assert_eq!(rig.cpu.nmi.blocked_by, None);
}

/// Row 8 across a page end: pushes go down, so CR2 is the highest quadword of the lower page,
/// and nothing is written to the upper one.
#[test]
fn frame_across_an_unmapped_page_end() {
    let mut rig = Rig::new();
    rig.cpu.regs.gpr[gpr::RSP] = place::KERNEL_STACK - 0x1000 + 16;
    rig.gate(14, INTERRUPT, 1);
    let d = rig.nmi();
    assert_eq!(d.id.vector, Vector::PF);
    assert_eq!(d.cr2, Some(VirtAddr(place::KERNEL_STACK - 0x1000 - 8)));
    assert_eq!(rig.peek(place::KERNEL_STACK - 0x1000 + 8), 0);
}

/// A frame across two mapped pages that are not neighbours in physical memory.
#[test]
fn frame_across_pages() {
    let mut rig = Rig::new();
    rig.map(0x70000, 0x71000, pte::P | pte::W);
    rig.map(0x71000, 0x70000, pte::P | pte::W);
    rig.cpu.regs.gpr[gpr::RSP] = 0x71010;
    let d = rig.nmi();
    assert_eq!(d.frame.0, 0x71010 - 40);
    assert_eq!(rig.peek(0x70008), 0x10, "SS");
    assert_eq!(rig.peek(0x70000), 0x71010, "RSP");
    assert_eq!(rig.peek(0x71fe8), place::CODE, "RIP");
    assert_eq!(rig.peek(0x71ff0), 0x08, "CS");
}

/// Row 9 and step 6.
#[test]
fn gate_not_present() {
    let mut rig = Rig::new();
    rig.gate(2, 0x0e00, 0);
    rig.nmi();
    assert_eq!(rig.failures(), [(11, Some(0x13), None)]);
}

/// Rows 10 and 11, step 5: EXT is 0 and the frame names the instruction itself.
#[test]
fn software_interrupt_privilege() {
    for (instruction, code) in [
        (SoftwareInterrupt::Int(0x80), 0x402),
        (SoftwareInterrupt::Int3, 0x1a),
    ] {
        let mut rig = Rig::new();
        rig.gate(0x80, INTERRUPT, 0);
        rig.user();
        let e = software_interrupt(&rig.cpu, instruction, place::USER_CODE + 2).unwrap();
        let d = rig.delivered(e.unwrap());
        assert_eq!((d.id.vector, d.error_code), (Vector::GP, Some(code)));
        assert_eq!(d.pushed.rip.0, place::USER_CODE);
        assert_ne!(d.pushed.rflags.0 & rflags::RF, 0);
    }
}

/// Row 12: INT1 makes no DPL check, and DR6 stays.
#[test]
fn int1_from_user() {
    let mut rig = Rig::new();
    rig.user();
    rig.cpu.regs.dr6 = dr6::FIXED | 2;
    let e = software_interrupt(&rig.cpu, SoftwareInterrupt::Int1, place::USER_CODE + 1).unwrap();
    let d = rig.delivered(e.unwrap());
    assert_eq!(d.id.vector, Vector::DB);
    assert_eq!(d.pushed.rip.0, place::USER_CODE + 1);
    assert_eq!(d.pushed.rflags.0 & rflags::RF, 0);
    assert_eq!(rig.cpu.regs.dr6, dr6::FIXED | 2);
}

/// 6.13 and SDM vol. 2, INT n: EXT is 1 in what the delivery of INT1 raises.
#[test]
fn int1_sets_ext() {
    let mut rig = Rig::new();
    rig.gate(1, 0x0e00, 0);
    let e = software_interrupt(&rig.cpu, SoftwareInterrupt::Int1, place::CODE + 1).unwrap();
    rig.delivered(e.unwrap());
    assert_eq!(rig.failures(), [(11, Some(0x0b), None)]);
}

/// SDM vol. 2, INTO: #UD in 64-bit mode; nothing with OF = 0.
#[test]
fn into() {
    let mut rig = Rig::new();
    let into = |rig: &Rig| software_interrupt(&rig.cpu, SoftwareInterrupt::Into, 0);
    assert_eq!(into(&rig), Err(Exception::ud()));
    *rig.cpu.regs.segment_mut(crate::arch::SegReg::Cs) = Segment::flat_code32(0x78, 0);
    assert_eq!(into(&rig), Ok(None));
    rig.cpu.regs.rflags |= rflags::OF;
    let e = into(&rig).unwrap().unwrap();
    assert_eq!(
        (e.vector, e.kind),
        (Vector::OF, EventType::SoftwareException)
    );
}

/// Row 13: #UD is benign.
#[test]
fn missing_ud_gate_is_np() {
    let mut rig = Rig::new();
    rig.gate(6, 0x0e00, 0);
    let d = rig.delivered(fault(&rig, &Exception::ud()));
    assert_eq!((d.id.vector, d.error_code), (Vector::NP, Some(0x33)));
}

/// Row 14: contributory, then page fault: serial.
#[test]
fn gp_on_unmapped_stack_is_pf() {
    let mut rig = Rig::new();
    rig.cpu.regs.gpr[gpr::RSP] = 0x70000;
    rig.gate(14, INTERRUPT, 1);
    let d = rig.delivered(fault(&rig, &Exception::gp(0)));
    assert_eq!((d.id.vector, d.error_code), (Vector::PF, Some(2)));
}

/// Row 15: page fault, then page fault: #DF(0), CR2 that of the second, pushed RF = 1.
#[test]
fn pf_on_unmapped_stack_is_df() {
    let mut rig = Rig::new();
    rig.cpu.regs.gpr[gpr::RSP] = 0x70005;
    rig.gate(8, INTERRUPT, 1);
    let d = rig.delivered(fault(&rig, &Exception::pf(0, VirtAddr(0x1234_5678))));
    assert_eq!((d.id.vector, d.error_code), (Vector::DF, Some(0)));
    assert_eq!(rig.cpu.regs.cr2, 0x6fff8);
    assert_eq!(d.pushed.rip.0, place::CODE);
    assert_ne!(d.pushed.rflags.0 & rflags::RF, 0);
}

/// Row 16: page fault, then contributory: #DF; with a bad #DF gate: shutdown.
#[test]
fn short_idt_is_df_then_shutdown() {
    let mut rig = Rig::new();
    rig.cpu.regs.idtr.limit = 14 * 16 + 14;
    let pf = Exception::pf(0, VirtAddr(0x9000));
    let d = rig.delivered(fault(&rig, &pf));
    assert_eq!(d.id.vector, Vector::DF);
    assert_eq!(rig.failures(), [(13, Some(14 * 8 + 3), None)]);

    let mut rig = Rig::new();
    rig.gate(14, 0x0e00, 0);
    rig.gate(8, 0x0e00, 0);
    let before = rig.cpu.regs.clone();
    let event = fault(&rig, &pf);
    assert_eq!(rig.deliver(event), DeliveryOutcome::Shutdown);
    let want = crate::arch::CpuState {
        cr2: 0x9000,
        ..before
    };
    assert_eq!(rig.cpu.regs, want);
}

/// Row 17, step 11: no frame is written.
#[test]
fn non_canonical_handler() {
    let mut rig = Rig::new();
    rig.raw_gate(2, sel::KERNEL_CS, 0x8000_0000_0000, INTERRUPT, 1);
    rig.nmi();
    assert_eq!(rig.failures(), [(13, Some(1), None)]);
    assert_eq!(rig.peek(place::IST1 - 8), 0);
}

/// Row 18, step 10.
#[test]
fn non_canonical_rsp0() {
    let mut rig = Rig::new();
    rig.poke(place::TSS + 4, 0x8000_0000_0000);
    rig.gate(12, INTERRUPT, 1);
    rig.gate(0x20, INTERRUPT, 0);
    rig.user();
    let d = rig.irq(0x20);
    assert_eq!((d.id.vector, d.error_code), (Vector::SS, Some(1)));
}

/// Step 13: a non-canonical current RSP.
#[test]
fn non_canonical_current_rsp() {
    let mut rig = Rig::new();
    rig.cpu.regs.gpr[gpr::RSP] = 0x9000_0000_0000;
    rig.gate(12, INTERRUPT, 1);
    let d = rig.nmi();
    assert_eq!((d.id.vector, d.error_code), (Vector::SS, Some(1)));
}

/// Row 19, step 9.
#[test]
fn ist_beyond_tss_limit() {
    let mut rig = Rig::new();
    rig.cpu.regs.tr.limit = 0x20;
    rig.gate(2, INTERRUPT, 3);
    rig.nmi();
    assert_eq!(rig.failures(), [(10, Some(0x31), None)]);
    // The last byte of IST1 is at 36 + 7.
    for (limit, fails) in [(42, true), (43, false)] {
        let mut rig = Rig::new();
        rig.cpu.regs.tr.limit = limit;
        rig.gate(2, INTERRUPT, 1);
        rig.nmi();
        assert_eq!(!rig.failures().is_empty(), fails);
    }
}

/// Step 9: a TSS outside the canonical space is #TS, an unmapped one #PF with U/S = 0 even from
/// CPL 3 (4.7: implicit accesses).
#[test]
fn tss_out_of_reach() {
    let mut rig = Rig::new();
    rig.cpu.regs.tr.base = 0x9000_0000_0000;
    rig.gate(2, INTERRUPT, 1);
    rig.nmi();
    assert_eq!(rig.failures(), [(10, Some(0x31), None)]);

    let mut rig = Rig::new();
    rig.unmap(place::TSS);
    rig.user();
    let d = PendingEvent::nmi(place::USER_CODE);
    assert_eq!(rig.deliver(d), DeliveryOutcome::Shutdown);
    assert_eq!(rig.failures()[0], (14, Some(0), Some(place::TSS + 4)));
}

/// Row 20 and the other failures of step 7.
#[test]
fn bad_code_segments() {
    let cases = [
        (0, 13, 1),
        (3, 13, 1),
        (sel::CODE_LD, 13, 0x41),
        (sel::BEYOND, 13, 0x81),
        (sel::KERNEL_SS, 13, 0x11),
        (sel::TSS, 13, 0x31),
        // DPL 3 > CPL 0.
        (sel::USER_CS, 13, 0x29),
        // L = 0.
        (sel::KERNEL_CS32, 13, 0x79),
        (sel::CODE_NP, 11, 0x59),
        // No LDT.
        (0x0c, 13, 0x0d),
    ];
    for (cs, vector, code) in cases {
        let mut rig = Rig::new();
        rig.cpu.regs.ldtr = Segment::default();
        rig.raw_gate(2, cs, handler(2), INTERRUPT, 0);
        rig.nmi();
        assert_eq!(rig.failures(), [(vector, Some(code), None)], "{cs:#x}");
    }
}

/// Step 2: limit; step 4: gate types; both name the gate.
#[test]
fn bad_gates() {
    for (limit, fails) in [(0x2e, true), (0x2f, false)] {
        let mut rig = Rig::new();
        rig.cpu.regs.idtr.limit = limit;
        let _ = rig.deliver(PendingEvent::nmi(place::CODE));
        assert_eq!(!rig.failures().is_empty(), fails);
        if fails {
            assert_eq!(rig.failures()[0], (13, Some(0x13), None));
        }
    }
    for kind in (0..32u64).filter(|k| !matches!(k, 0xe | 0xf)) {
        let mut rig = Rig::new();
        rig.gate(2, 0x8000 | kind << 8, 0);
        rig.nmi();
        assert_eq!(rig.failures(), [(13, Some(0x13), None)], "type {kind:#x}");
    }
}

/// Step 3: the IDT is read with supervisor privilege; non-canonical: #GP with the gate.
#[test]
fn idt_out_of_reach() {
    let mut rig = Rig::new();
    rig.unmap(place::IDT);
    rig.user();
    let event = PendingEvent::nmi(place::USER_CODE);
    assert_eq!(rig.deliver(event), DeliveryOutcome::Shutdown);
    assert_eq!(rig.failures()[0], (14, Some(0), Some(place::IDT + 0x20)));

    let mut rig = Rig::new();
    rig.cpu.regs.idtr.base = 0x7fff_ffff_ffd8;
    let event = PendingEvent::nmi(place::CODE);
    assert_eq!(rig.deliver(event), DeliveryOutcome::Shutdown);
    assert_eq!(
        rig.failures()[0],
        (13, Some(0x13), None),
        "bytes 8 to 15 of the gate"
    );
}

/// Step 8: a conforming handler runs at the interrupted CPL, on its stack, with its SS.
#[test]
fn conforming_handler() {
    let mut rig = Rig::new();
    rig.raw_gate(2, sel::CONFORMING, place::USER_CODE, INTERRUPT, 0);
    rig.user();
    let d = rig.nmi();
    assert_eq!(d.new_cpl, 3);
    assert_eq!(d.frame.0, place::USER_STACK - 40);
    assert_eq!(rig.cpu.regs.cs().selector, sel::CONFORMING | 3);
    assert_eq!(rig.cpu.regs.ss().selector, sel::USER_SS);
}

/// Step 7: the load sets A in the descriptor, even though the frame comes later.
#[test]
fn delivery_sets_accessed() {
    let mut rig = Rig::new();
    let clear = rig.peek(place::GDT + 8) & !(1 << 40);
    rig.poke(place::GDT + 8, clear);
    rig.nmi();
    assert_eq!(rig.peek(place::GDT + 8), clear | 1 << 40);
    assert_ne!(rig.cpu.regs.cs().attr & Segment::ACCESSED, 0);
}

/// Row 21 and the rest of 17.3.1.1: the pushed RF.
#[test]
fn pushed_rf() {
    let rip = place::CODE;
    let pf = PendingEvent::exception(&Exception::pf(0, VirtAddr(0)), rip);
    let gd = Exception {
        dr6: dr6::BD,
        ..Exception::fault(Vector::DB)
    };
    let software = |kind| PendingEvent::software(Vector(3), kind, rip);
    let cases = [
        (pf, [true, true]),
        (PendingEvent::instruction_breakpoint(1, rip), [false, true]),
        (PendingEvent::exception(&gd, rip), [true, true]),
        (PendingEvent::nmi(rip), [false, true]),
        (PendingEvent::nmi(rip).between_iterations(), [true, true]),
        (PendingEvent::external(Vector(0x20), rip), [false, true]),
        (PendingEvent::debug_trap(dr6::BS, rip), [false, true]),
        (PendingEvent::double_fault(rip), [true, true]),
        (software(EventType::SoftwareInterrupt), [false, false]),
        (software(EventType::SoftwareException), [false, false]),
        (
            software(EventType::PrivilegedSoftwareException),
            [false, false],
        ),
    ];
    for (event, [clear, set]) in cases {
        assert_eq!(event.pushed_rf(false), clear, "{event:?}");
        assert_eq!(event.pushed_rf(true), set, "{event:?}");
    }
}

/// 17.2.3, 17.2.4: DR6 tells of this #DB; GD is cleared at the handler's entry.
#[test]
fn debug_exception_updates_dr6_and_gd() {
    let mut rig = Rig::new();
    rig.cpu.regs.dr6 = dr6::FIXED | dr6::BS | 1;
    rig.cpu.regs.dr7 = dr7::FIXED | dr7::GD;
    let d = rig.delivered(PendingEvent::debug_trap(2, place::CODE));
    assert_eq!(rig.cpu.regs.dr6, dr6::FIXED | dr6::BS | 2);
    assert_eq!(d.dr6.unwrap().0, rig.cpu.regs.dr6);
    assert_eq!(rig.cpu.regs.dr7, dr7::FIXED);
}

/// Row 29: #DB first; then the NMI, whose frame names the entry of the #DB handler.
#[test]
fn nmi_at_entry_of_debug_handler() {
    let mut rig = Rig::new();
    rig.delivered(PendingEvent::debug_trap(dr6::BS, place::CODE));
    let nmi = rig.nmi();
    assert_eq!(nmi.pushed.rip.0, handler(1));
    assert_eq!(rig.cpu.activations.depth(), 2);
}

/// Row 51's rule on delivery (4.6.1): AC does not help implicit accesses under SMAP; the frame's
/// pushes are explicit at the new CPL, and AC does.
#[test]
fn smap_in_delivery() {
    let user_page = pte::P | pte::W | pte::U;
    let mut rig = Rig::new();
    rig.cpu.regs.cr4 |= cr4::SMAP;
    rig.cpu.regs.rflags |= rflags::AC;
    rig.remap(place::KERNEL_STACK - 0x1000, user_page);
    assert_eq!(rig.nmi().id.vector, Vector::NMI);

    let mut rig = Rig::new();
    rig.cpu.regs.cr4 |= cr4::SMAP;
    rig.cpu.regs.rflags |= rflags::AC;
    rig.remap(place::TSS, user_page);
    rig.gate(2, INTERRUPT, 1);
    rig.nmi();
    assert_eq!(rig.failures(), [(14, Some(1), Some(place::TSS + 36))]);
}

/// 4.8: data breakpoints on the frame wait for the handler's entry.
#[test]
fn frame_hits_data_breakpoint() {
    let mut rig = Rig::new();
    rig.cpu.regs.dr[1] = place::KERNEL_STACK - 24;
    // G1, write, 8 bytes.
    rig.cpu.regs.dr7 = dr7::FIXED | 1 << 3 | 0b1001 << 20;
    rig.nmi();
    assert_eq!(rig.cpu.pending_db, 2);
}

/// Row 34: the NMI ends HLT, and the frame holds the RIP after it.
#[test]
fn nmi_wakes() {
    let mut rig = Rig::new();
    rig.cpu.halted = true;
    let d = rig.nmi();
    assert!(!rig.cpu.halted);
    assert_eq!(d.pushed.rip.0, place::CODE);
    assert_eq!(rig.bus.events.first(), Some(&EventKind::Woken));
}

/// An NMI on the same IST stack overwrites the frame of one that has not returned.
#[test]
fn overwritten_frame_is_named() {
    let mut rig = Rig::new();
    rig.gate(2, INTERRUPT, 1);
    let first = rig.nmi();
    rig.cpu.nmi.blocked = false;
    let second = rig.nmi();
    assert_eq!(second.frame, first.frame);
    let overwritten = rig.bus.events.iter().any(|e| {
        *e == EventKind::FrameOverwritten {
            frame: first.id,
            by: second.id,
        }
    });
    assert!(overwritten);
    assert_eq!((second.id.serial, second.id.nth), (2, 2));
}

/// 6.15, Interrupt 18: no CR4.MCE, or a second #MC before MCIP is cleared: shutdown.
#[test]
fn machine_check() {
    let mut rig = Rig::new();
    assert_eq!(PendingEvent::machine_check(&mut rig.cpu), None);
    rig.cpu.regs.cr4 |= cr4::MCE;
    let e = PendingEvent::machine_check(&mut rig.cpu).unwrap();
    let d = rig.delivered(e);
    assert_eq!((d.id.vector, d.error_code), (Vector::MC, None));
    assert!(!rig.cpu.nmi.blocked);
    assert_eq!(PendingEvent::machine_check(&mut rig.cpu), None);
}

/// INT 2 and an external interrupt with vector 2 do not block NMIs (SDM vol. 3, 6.7).
#[test]
fn int_2_does_not_block() {
    let mut rig = Rig::new();
    let e = software_interrupt(&rig.cpu, SoftwareInterrupt::Int(2), place::CODE + 2).unwrap();
    rig.delivered(e.unwrap());
    assert!(!rig.cpu.nmi.blocked);
    rig.irq(2);
    assert!(!rig.cpu.nmi.blocked);
}
