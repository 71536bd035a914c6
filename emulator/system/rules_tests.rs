//! Priorities, shadows, breakpoints and activations against SDM vol. 3, 6.8.3, 6.9 and 17.2.

use super::boundary::{Decision, Hold, Taken, Waiting, decide};
use super::debug::*;
use super::testing::*;
use super::*;
use crate::arch::bits::{cr4, dr6, dr7, rflags};
use crate::arch::{AccessKind, CpuState, EventType, Hex, Knobs, Vector, Vendor, VirtAddr};
use crate::trace::FrameValues;

fn intel(w: Waiting) -> Decision {
    decide(&w, &Knobs::of(Vendor::Intel))
}

const ALL: Waiting = Waiting {
    machine_check: true,
    debug_trap: true,
    nmi: true,
    nmi_blocked: false,
    interrupt: true,
    interrupt_flag: true,
    instruction_breakpoint: true,
    shadow: InterruptShadow::None,
    halted: false,
};

/// Table 6-2: each in its turn, the rest waits.
#[test]
fn priorities() {
    let mut w = ALL;
    let order = [
        Taken::MachineCheck,
        Taken::DebugTrap,
        Taken::Nmi,
        Taken::Interrupt,
        Taken::InstructionBreakpoint,
    ];
    for (i, event) in order.into_iter().enumerate() {
        let d = intel(w);
        assert_eq!(d.taken, Some(event));
        assert_eq!(d.hold(event), None);
        for later in &order[i + 1..] {
            assert_eq!(d.hold(*later), Some(Hold::Priority), "{later:?}");
        }
        match event {
            Taken::MachineCheck => w.machine_check = false,
            Taken::DebugTrap => w.debug_trap = false,
            Taken::Nmi => w.nmi = false,
            Taken::Interrupt => w.interrupt = false,
            Taken::InstructionBreakpoint => w.instruction_breakpoint = false,
        }
    }
    assert_eq!(intel(w).taken, None);
}

/// 6.8.3, rows 25, 26, 30: a MOV SS shadow holds everything but #MC.
#[test]
fn mov_ss_shadow() {
    let w = Waiting {
        shadow: InterruptShadow::MovSs,
        machine_check: false,
        ..ALL
    };
    let d = intel(w);
    assert_eq!(d.taken, None);
    for event in [
        Taken::DebugTrap,
        Taken::Nmi,
        Taken::Interrupt,
        Taken::InstructionBreakpoint,
    ] {
        assert_eq!(d.hold(event), Some(Hold::MovSsShadow));
    }
    let d = intel(Waiting {
        machine_check: true,
        ..w
    });
    assert_eq!(d.taken, Some(Taken::MachineCheck));
}

/// Row 28: an STI shadow holds interrupts, by the knob NMIs, and never #DB.
#[test]
fn sti_shadow() {
    let w = Waiting {
        nmi: true,
        interrupt: true,
        interrupt_flag: true,
        shadow: InterruptShadow::Sti,
        ..Waiting::default()
    };
    let d = intel(w);
    assert_eq!(d.taken, None);
    assert_eq!(d.hold(Taken::Nmi), Some(Hold::StiShadow));
    assert_eq!(d.hold(Taken::Interrupt), Some(Hold::StiShadow));
    let knobs = Knobs {
        sti_shadow_blocks_nmi: false,
        ..Knobs::of(Vendor::Intel)
    };
    assert_eq!(decide(&w, &knobs).taken, Some(Taken::Nmi));
    let trap = Waiting {
        debug_trap: true,
        ..w
    };
    assert_eq!(intel(trap).taken, Some(Taken::DebugTrap));
}

/// Rows 4 and 34: a blocked NMI is held and does not keep an interrupt back; IF = 0 holds that.
#[test]
fn blocked_and_masked() {
    let w = Waiting {
        nmi: true,
        nmi_blocked: true,
        interrupt: true,
        halted: true,
        ..Waiting::default()
    };
    let d = intel(w);
    assert_eq!(d.taken, None);
    assert_eq!(d.hold(Taken::Nmi), Some(Hold::Blocked));
    assert_eq!(d.hold(Taken::Interrupt), Some(Hold::InterruptFlag));
    assert_eq!(Hold::InterruptFlag.held_by(), None);
    let d = intel(Waiting {
        interrupt_flag: true,
        ..w
    });
    assert_eq!(d.taken, Some(Taken::Interrupt));
}

fn armed(i: u32, at: u64, rw: u64, len: u64) -> CpuState {
    let mut regs = CpuState::long_mode();
    regs.dr[i as usize] = at;
    regs.dr7 = dr7::FIXED | 1 << (2 * i) | (len << 2 | rw) << (16 + 4 * i);
    regs
}

/// Table 17-1 of 17.2.5: the manual's own examples of data breakpoints.
#[test]
fn data_breakpoint_examples() {
    // DR0 A0001H R/W 11 LEN 00, DR1 A0002H R/W 01 LEN 00, DR2 B0002H R/W 11 LEN 01,
    // DR3 C0000H R/W 01 LEN 11.
    let mut regs = CpuState::long_mode();
    regs.dr = [0xa0001, 0xa0002, 0xb0002, 0xc0000];
    let fields = [0b0011u64, 0b0001, 0b0111, 0b1101];
    regs.dr7 = dr7::FIXED | 0b0101_0101;
    for (i, f) in fields.into_iter().enumerate() {
        regs.dr7 |= f << (16 + 4 * i);
    }
    let cases = [
        (0xa0001, 1, 'r', true),
        (0xa0001, 1, 'w', true),
        (0xa0001, 2, 'r', true),
        (0xa0001, 2, 'w', true),
        (0xa0002, 1, 'w', true),
        (0xa0002, 2, 'w', true),
        (0xb0001, 4, 'r', true),
        (0xb0001, 4, 'w', true),
        (0xb0002, 1, 'r', true),
        (0xb0002, 2, 'w', true),
        (0xc0000, 4, 'w', true),
        (0xc0001, 2, 'w', true),
        (0xc0003, 1, 'w', true),
        (0xa0000, 1, 'r', false),
        (0xa0000, 1, 'w', false),
        (0xa0002, 1, 'r', false),
        (0xa0003, 4, 'r', false),
        (0xb0000, 2, 'r', false),
        (0xc0000, 2, 'r', false),
        (0xc0004, 4, 'w', false),
    ];
    for (at, len, kind, hit) in cases {
        let access = if kind == 'r' {
            AccessKind::Read
        } else {
            AccessKind::Write
        };
        let bits = data_breakpoints(&regs, VirtAddr(at), len, access);
        assert_eq!(bits != 0, hit, "{at:#x} {len} {kind}");
    }
    let bits = data_breakpoints(&regs, VirtAddr(0xa0000), 4, AccessKind::Write);
    assert_eq!(bits, 0b11);
    let pages: Vec<u64> = armed_pages(&regs).map(|p| p.0).collect();
    assert_eq!(pages, [0xa0000, 0xa0000, 0xb0000, 0xc0000]);
}

/// 17.2.4: LEN 10 is eight bytes; the low address bits are ignored.
#[test]
fn eight_byte_breakpoint() {
    let regs = armed(3, 0x1005, 1, 2);
    let hits = |at| data_breakpoints(&regs, VirtAddr(at), 1, AccessKind::Write);
    assert_eq!(
        [hits(0xfff), hits(0x1000), hits(0x1007), hits(0x1008)],
        [0, 8, 8, 0]
    );
}

/// 17.3.1.1: instruction breakpoints, RF, and disabled ones.
#[test]
fn instruction_breakpoint() {
    let mut regs = armed(2, 0x1234, 0, 0);
    assert_eq!(instruction_breakpoints(&regs, VirtAddr(0x1234)), 4);
    assert_eq!(instruction_breakpoints(&regs, VirtAddr(0x1235)), 0);
    let data = data_breakpoints(&regs, VirtAddr(0x1234), 1, AccessKind::Read);
    assert_eq!(data, 0);
    assert_eq!(armed_instructions(&regs).next(), Some(VirtAddr(0x1234)));
    regs.rflags |= rflags::RF;
    assert_eq!(instruction_breakpoints(&regs, VirtAddr(0x1234)), 0);
    regs.rflags &= !rflags::RF;
    regs.dr7 = dr7::FIXED;
    assert_eq!(instruction_breakpoints(&regs, VirtAddr(0x1234)), 0);
}

/// 17.2.4: R/W 10 is I/O, with CR4.DE.
#[test]
fn io_breakpoint() {
    let mut regs = armed(0, 0x3f8, 2, 1);
    assert_eq!(io_breakpoints(&regs, 0x3f9, 1), 0);
    regs.cr4 |= cr4::DE;
    assert_eq!(io_breakpoints(&regs, 0x3f9, 1), 1);
    assert_eq!(io_breakpoints(&regs, 0x3fa, 1), 0);
}

/// 17.2.4: general detect.
#[test]
fn general_detect_fault() {
    let mut regs = CpuState::long_mode();
    assert_eq!(general_detect(&regs), None);
    regs.dr7 |= dr7::GD;
    let e = general_detect(&regs).unwrap();
    assert_eq!(
        (e.vector, e.kind, e.dr6),
        (Vector::DB, EventType::Fault, dr6::BD)
    );
}

fn context(n: u64) -> FrameValues {
    FrameValues {
        rip: VirtAddr(0x1000 + n),
        cs: Hex(8),
        rflags: Hex(2),
        rsp: VirtAddr(0x9000),
        ss: Hex(0x10),
    }
}

fn note(a: &mut Activations, top: u64, n: u64) -> crate::trace::DeliveryId {
    let frame = VirtAddr(top - 40);
    a.delivered(Vector::PF, EventType::Fault, frame, 40, context(n))
        .0
}

/// Frames overlap if their tops are less than 48 bytes apart.
#[test]
fn overlapping_frames() {
    for (distance, overlaps) in [
        (-48i64, false),
        (-32, true),
        (-16, true),
        (0, true),
        (32, true),
        (48, false),
    ] {
        let mut a = Activations::default();
        let old = note(&mut a, 0x8000, 1);
        let frame = VirtAddr(0x8000u64.wrapping_add_signed(distance) - 48);
        let (_, over) = a.delivered(Vector::PF, EventType::Fault, frame, 48, context(2));
        assert_eq!(over.contains(&Some(old)), overlaps, "{distance}");
    }
}

/// Contexts are resumed in any order; all with the same context at once, the newest is named.
#[test]
fn resumed_by_value() {
    let mut a = Activations::default();
    let first = note(&mut a, 0x8000, 1);
    let second = note(&mut a, 0x7000, 2);
    let third = note(&mut a, 0x6000, 1);
    assert_eq!((first.nth, second.nth, third.nth), (1, 2, 3));
    let at = |n: u64| VirtAddr(0x1000 + n);
    let rsp = VirtAddr(0x9000);
    assert_eq!(a.note_control(at(1), 8, VirtAddr(0x9008), 0x10), None);
    assert_eq!(a.note_control(at(1), 0x33, rsp, 0x10), None);
    assert_eq!(a.note_control(at(1), 8, rsp, 0x18), None);
    assert!(a.awaits(at(1)));
    assert_eq!(a.note_control(at(1), 8, rsp, 0x10), Some(third));
    assert!(!a.awaits(at(1)));
    assert_eq!(a.depth(), 1);
    assert_eq!(a.note_control(at(2), 8, rsp, 0x10), Some(second));
    assert_eq!(a.depth(), 0);
}

/// Memory is bounded though nothing is ever resumed.
#[test]
fn activations_are_bounded() {
    let mut a = Activations::default();
    let n = 3 * activation::CAPACITY as u64;
    for i in 0..n {
        note(&mut a, 0x10_0000 + 64 * i, i);
    }
    assert_eq!(usize::from(a.depth()), activation::CAPACITY);
    assert_eq!(a.forgotten(), n - activation::CAPACITY as u64);
    assert_eq!(a.innermost().map(|x| x.id.serial), Some(n));
    assert_eq!(
        a.open().next().map(|x| x.id.serial),
        Some(n - activation::CAPACITY as u64 + 1)
    );
}

/// A fault and its return, many times over with nobody listening, give the state back.
#[test]
fn many_faults() {
    let mut rig = Rig::new();
    rig.bus.wanted = crate::trace::EventClass::empty();
    let before = {
        rig.nmi();
        iret(&mut rig.cpu, &mut rig.bus, 8).unwrap();
        rig.cpu.regs.clone()
    };
    let pf = crate::arch::Exception::pf(0, VirtAddr(0x7000_0000));
    for _ in 0..10_000 {
        rig.delivered(PendingEvent::exception(&pf, place::CODE));
        rig.cpu.regs.gpr[crate::arch::state::gpr::RSP] += 8;
        iret(&mut rig.cpu, &mut rig.bus, 8).unwrap();
    }
    // The frame's RF = 1 was loaded.
    let want = CpuState {
        cr2: 0x7000_0000,
        rflags: before.rflags | rflags::RF,
        ..before
    };
    assert_eq!(rig.cpu.regs, want);
    assert_eq!(rig.cpu.activations.depth(), 0);
}

/// What the CPU itself knows of what waits, and the #DB that it hands out once.
#[test]
fn waiting_of_a_cpu() {
    let mut rig = Rig::new();
    assert_eq!(Waiting::of(&rig.cpu, false, false), Waiting::default());
    rig.cpu.nmi.pending = true;
    rig.cpu.nmi.blocked = true;
    rig.cpu.pending_db = dr6::BS;
    rig.cpu.regs.rflags |= rflags::IF;
    rig.cpu.regs.dr[0] = place::CODE;
    rig.cpu.regs.dr7 |= 1;
    let want = Waiting {
        nmi_blocked: true,
        machine_check: false,
        ..ALL
    };
    assert_eq!(Waiting::of(&rig.cpu, true, false), want);
    let trap = PendingEvent::take_debug_trap(&mut rig.cpu).unwrap();
    assert_eq!((trap.dr6, trap.kind), (dr6::BS, EventType::Trap));
    assert_eq!(PendingEvent::take_debug_trap(&mut rig.cpu), None);
}
