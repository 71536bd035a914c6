//! The known differences: `differences.md` names each with its reason, and here is what it explains.

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
    Register,
};

use iretrace::arch::VirtAddr;
use iretrace::load::Image;

use crate::attempt::{Attempt, RAX, RSP};
use crate::compare::Mismatch;
use crate::items::TEST;

const LIST: &str = include_str!("differences.md");

/// What follows from a difference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Then {
    /// The sides go on alike: the rest of the case is compared.
    GoOn,
    /// They do not.
    Apart,
}

/// Whether a row explains a mismatch: what is equal but for it.
type Explains = fn(&Mismatch, &Image) -> bool;

/// Code for each row of the list.
const ROWS: &[(&str, Then, Explains)] = &[
    ("idt-code", Then::GoOn, idt_code),
    ("ext", Then::GoOn, ext),
    ("reserved-p", Then::GoOn, reserved_p),
    ("rmw-read", Then::GoOn, rmw_read),
    ("rmw-order", Then::GoOn, rmw_order),
    ("fault-flags", Then::Apart, fault_flags),
    ("iretd-sp", Then::Apart, iretd_sp),
    ("cr0-pe", Then::Apart, cr0_pe),
    ("mov-ss-again", Then::Apart, mov_ss_again),
    ("ss-vector", Then::Apart, ss_vector),
    ("branch-commits", Then::Apart, branch_commits),
    ("sysret-rcx", Then::Apart, sysret_rcx),
    ("syscall-flags", Then::Apart, syscall_flags),
    ("int1", Then::Apart, int1),
    ("iret-rip", Then::Apart, iret_rip),
    ("iret-privilege", Then::Apart, iret_privilege),
    ("iret-null-ss", Then::Apart, iret_null_ss),
    ("iret-ss-p", Then::Apart, iret_ss_p),
    ("iret-l-d", Then::Apart, iret_l_d),
    ("mov-ss-null", Then::Apart, mov_ss_null),
    ("push-class", Then::Apart, push_class),
    ("sti-step", Then::Apart, sti_step),
    ("cmps-fault", Then::Apart, cmps_fault),
    ("mov-ss-step", Then::Apart, mov_ss_step),
    ("xsetbv-ud", Then::Apart, xsetbv),
    ("gate-offset", Then::Apart, gate_offset),
    ("canonical-end", Then::Apart, canonical_end),
    ("cmps-order", Then::GoOn, cmps_order),
    ("accessed", Then::GoOn, accessed),
];

/// Rows of which frames keep a trace, and so the memory below a stack in the test pages.
const IN_FRAMES: [&str; 6] = ["rf", "ss-null", "idt-code", "ext", "reserved-p", "rmw-read"];

/// Whether an event at `rip` interrupts a handler that has not yet taken out of its frame what is
/// the peer's own there.
fn frame_stays(rip: u64, image: &Image) -> bool {
    let at = |name: &str| image.resolve(name).map_or(0, |a| a.0);
    let within = |from: &str, to: &str| (at(from)..at(to)).contains(&rip);
    within("handler", "handler_cleaned") || within("stub_0", "stub_67")
}

/// Whether the peer has left the lower 8 bytes of a store of 16 behind, whose upper ones the second
/// page refused.
fn half_stored(a: &Attempt, image: &Image) -> bool {
    const W: u32 = 2;
    const RDI: usize = 7;
    (a.vector, a.error_code & W) == (14, W)
        && a.cr2 == Some((a.gpr[RDI] | 0xfff).wrapping_add(1))
        && (0xff1..=0xff8).contains(&(a.gpr[RDI] & 0xfff))
        && instruction(image, a.rip).is_some_and(|i| {
            i.mnemonic() == Mnemonic::Movups
                && i.op0_kind() == OpKind::Memory
                && i.memory_base() == Register::RDI
        })
}

/// Whether all that differs is what is left in memory at the end of a case.
fn sums(m: &Mismatch) -> bool {
    const RBX: usize = 3;
    places(m).is_some_and(|(ours, peer)| {
        let mut same = peer.clone();
        same.gpr[RAX] = ours.gpr[RAX];
        same.gpr[RBX] = ours.gpr[RBX];
        ours.vector == 0x42 && same == *ours && peer.gpr[RAX] != ours.gpr[RAX]
    })
}

/// Differences that leave traces in later events, which are taken out before sides are compared.
pub fn normalise(
    ours: &Attempt,
    peer: &mut Attempt,
    before: Option<&Attempt>,
    seen: &mut Vec<&'static str>,
) {
    const R11: usize = 11;
    const R13: usize = 13;
    const RF: u64 = 1 << 16;
    // The handlers keep the pushed RF in r11.
    if ours.gpr[R11] == RF && peer.gpr[R11] == 0 {
        peer.gpr[R11] = RF;
        seen.push("rf");
    }
    if before.is_some_and(|b| b.software) && ours.gpr[R11] == 0 && peer.gpr[R11] == RF {
        peer.gpr[R11] = 0;
        seen.push("rf");
    }
    // SS of a frame that was pushed while SS was null is in r13.
    const SS: u64 = 0x10 << 32;
    if ours.gpr[R13] ^ peer.gpr[R13] == SS && peer.gpr[R13] & (0xffff << 32) == 0 {
        peer.gpr[R13] = ours.gpr[R13];
        seen.push("ss-null");
    }
    if ours.cpl == 0 && peer.cpl == 0 && ours.ss == 0x10 && peer.ss == 0 {
        peer.ss = 0x10;
        seen.push("ss-null");
    }
}

/// The row that explains `m`.
pub fn explain(
    m: &Mismatch,
    image: &Image,
    earlier: &[Attempt],
    rows: &[&'static str],
) -> Option<(&'static str, Then)> {
    let kept = earlier.iter().any(|a| frame_stays(a.rip, image));
    if kept && sums(m) && rows.iter().any(|row| IN_FRAMES.contains(row)) {
        return Some(("frame-values", Then::Apart));
    }
    if sums(m) && earlier.iter().any(|a| half_stored(a, image)) {
        return Some(("wide-store", Then::Apart));
    }
    ROWS.iter()
        .find(|(_, _, explains)| explains(m, image))
        .map(|(name, then, _)| (*name, *then))
}

/// The rows of the list, by name.
pub fn listed() -> Vec<&'static str> {
    LIST.lines()
        .filter_map(|l| l.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name)
        .collect()
}

/// The names that the code knows.
pub fn known() -> Vec<&'static str> {
    let mut all: Vec<_> = ROWS.iter().map(|r| r.0).collect();
    all.extend(["rf", "ss-null", "frame-values", "wide-store"]);
    all
}

fn both(m: &Mismatch) -> Option<(&Attempt, &Attempt)> {
    m.ours.as_ref().zip(m.peer.as_ref())
}

/// Both sides, if they are there and equal but for vector and error code.
fn sides(m: &Mismatch) -> Option<(&Attempt, &Attempt)> {
    let (ours, peer) = both(m)?;
    let same = Attempt {
        vector: ours.vector,
        error_code: ours.error_code,
        ..peer.clone()
    };
    (same == *ours).then_some((ours, peer))
}

/// As [`sides`], with the same vector.
fn codes(m: &Mismatch) -> Option<(u8, u32, u32)> {
    let (ours, peer) = sides(m)?;
    (ours.vector == peer.vector).then_some((ours.vector, ours.error_code, peer.error_code))
}

fn idt_code(m: &Mismatch, _: &Image) -> bool {
    codes(m).is_some_and(|(_, ours, peer)| ours & 2 != 0 && (ours >> 3) * 16 + 2 == peer)
}

fn ext(m: &Mismatch, _: &Image) -> bool {
    codes(m)
        .is_some_and(|(v, ours, peer)| matches!(v, 10..=13) && ours == peer | 1 && ours & 2 == 0)
}

fn reserved_p(m: &Mismatch, _: &Image) -> bool {
    codes(m).is_some_and(|(v, ours, peer)| {
        v == 14 && ours & 9 == 9 && (ours ^ peer) & !3 == 0 && peer & 9 == 8
    })
}

fn rmw_read(m: &Mismatch, image: &Image) -> bool {
    let Some((14, ours, peer)) = codes(m) else {
        return false;
    };
    // A key may refuse the write alone.
    const PK: u32 = 0x20;
    (ours == peer | 2 || ours == peer | 2 | PK)
        && m.ours
            .as_ref()
            .and_then(|a| instruction(image, a.rip))
            .map_or_else(|| in_test_pages(ours_rip(m)), |i| writes_what_it_reads(&i))
}

/// The machine refuses the first page of a read-modify-write because it is written; the peer has
/// read on, and refuses the second.
fn rmw_order(m: &Mismatch, image: &Image) -> bool {
    const W: u32 = 2;
    both(m).is_some_and(|(ours, peer)| {
        let same = Attempt {
            error_code: ours.error_code,
            cr2: ours.cr2,
            ..peer.clone()
        };
        ours.vector == 14
            && same == *ours
            && ours.error_code & (W | 1) == W | 1
            && peer.error_code & W == 0
            && peer.cr2 == ours.cr2.map(|at| (at | 0xfff).wrapping_add(1))
            && instruction(image, ours.rip).is_some_and(|i| writes_what_it_reads(&i))
    })
}

fn ours_rip(m: &Mismatch) -> u64 {
    m.ours.as_ref().map_or(0, |a| a.rip)
}

/// Where code is not the image's, but what a case has left there.
fn in_test_pages(rip: u64) -> bool {
    (TEST..TEST + 16 * 4096).contains(&rip)
}

/// The peer computes flags before an access that faults, or in an earlier iteration, and saves
/// those.
fn fault_flags(m: &Mismatch, image: &Image) -> bool {
    use Mnemonic::{Cmpsb, Cmpsq, Scasb, Scasd};
    const STATUS: u64 = 0x8d5;
    places(m).is_some_and(|(ours, peer)| {
        let same = Attempt {
            rflags: ours.rflags,
            ..peer.clone()
        };
        matches!(ours.vector, 12..=14)
            && same == *ours
            && (ours.rflags ^ peer.rflags) & !STATUS == 0
            && instruction(image, ours.rip).is_some_and(|i| match i.mnemonic() {
                Mnemonic::Sete => i.op0_kind() == OpKind::Memory,
                Cmpsb | Cmpsq | Scasb | Scasd => i.has_rep_prefix() || i.has_repne_prefix(),
                _ => false,
            })
    })
}

/// IRETD while SS is null: the peer's stack is 64 KiB.
fn iretd_sp(m: &Mismatch, image: &Image) -> bool {
    both(m).is_some_and(|(ours, peer)| {
        ours.rip == peer.rip
            && peer.ss & !3 == 0
            && (peer.vector, peer.cr2) == (14, Some(peer.gpr[RSP] & 0xffff))
            && instruction(image, peer.rip).is_some_and(|i| i.mnemonic() == Mnemonic::Iretd)
    })
}

/// MOV to CR0 of a value with PG and without PE.
fn cr0_pe(m: &Mismatch, image: &Image) -> bool {
    const PG: u64 = 1 << 31;
    const PE: u64 = 1;
    m.ours.as_ref().is_some_and(|ours| {
        (ours.vector, ours.error_code, ours.cpl) == (13, 0, 0)
            && m.peer.as_ref().is_none_or(|peer| peer.rip != ours.rip)
            && instruction(image, ours.rip).is_some_and(|i| {
                (i.op0_register(), i.op1_register()) == (Register::CR0, Register::RAX)
            })
            && ours.gpr[RAX] & (PG | PE) == PG
    })
}

/// A single-step trap after the second of two MOV SS, which the peer holds too.
fn mov_ss_again(m: &Mismatch, image: &Image) -> bool {
    both(m).is_some_and(|(ours, peer)| {
        // Each is two bytes long.
        let mov_ss = |back| {
            instruction(image, ours.rip.wrapping_sub(back)).is_some_and(|i| {
                i.len() == 2 && i.op0_register() == Register::SS && i.mnemonic() == Mnemonic::Mov
            })
        };
        (ours.vector, peer.vector) == (1, 1)
            && mov_ss(2)
            && mov_ss(4)
            && instruction(image, ours.rip).is_some_and(|i| i.next_ip() == peer.rip)
    })
}

fn ss_vector(m: &Mismatch, _: &Image) -> bool {
    sides(m).is_some_and(|(ours, peer)| {
        (ours.vector, peer.vector) == (12, 13) && ours.error_code <= 1 && peer.error_code == 0
    })
}

/// Both sides, if what they tell is the same event at two places.
fn places(m: &Mismatch) -> Option<(&Attempt, &Attempt)> {
    let (ours, peer) = both(m)?;
    let same = (ours.vector, ours.error_code) == (peer.vector, peer.error_code);
    same.then_some((ours, peer))
}

const fn canonical(at: u64) -> bool {
    (at as i64) << 16 >> 16 == at as i64
}

fn branch_commits(m: &Mismatch, image: &Image) -> bool {
    both(m).is_some_and(|(ours, peer)| {
        (ours.vector, ours.error_code) == (13, 0)
            && ours.cpl == peer.cpl
            && !canonical(peer.rip)
            && instruction(image, ours.rip).is_none_or(|i| {
                matches!(
                    i.flow_control(),
                    FlowControl::IndirectBranch | FlowControl::IndirectCall | FlowControl::Return
                ) && !matches!(i.mnemonic(), Mnemonic::Iretq | Mnemonic::Sysretq)
            })
    })
}

/// The peer is where an instruction of the machine's #GP(0) leads, and may have trapped there.
fn returns_with(m: &Mismatch, image: &Image, mnemonic: Mnemonic) -> bool {
    both(m).is_some_and(|(ours, peer)| {
        (ours.vector, ours.error_code) == (13, 0)
            && matches!(peer.vector, 1 | 2 | 13)
            && !canonical(peer.rip)
            && instruction(image, ours.rip).is_some_and(|i| i.mnemonic() == mnemonic)
    })
}

fn sysret_rcx(m: &Mismatch, image: &Image) -> bool {
    returns_with(m, image, Mnemonic::Sysretq) && m.ours.as_ref().is_some_and(|a| a.cpl == 0)
}

/// SS, RFLAGS and CS that an IRET's slot has pushed: its last three immediates.
fn pushed(image: &Image, iret: u64) -> Option<(u16, u16)> {
    const SLOT: u64 = 128;
    let mut at = iret & !(SLOT - 1);
    let mut immediates = Vec::new();
    while at < iret {
        let insn = instruction(image, at)?;
        if insn.mnemonic() == Mnemonic::Push && insn.op0_kind() != OpKind::Register {
            immediates.push(insn.immediate(0));
        }
        at = insn.next_ip();
    }
    let &[.., ss, _, cs] = immediates.as_slice() else {
        return None;
    };
    Some((ss as u16, cs as u16))
}

/// The peer goes on with a null SS that has another RPL than its CPL.
fn iret_null_ss(m: &Mismatch, image: &Image) -> bool {
    both(m).is_some_and(|(ours, peer)| {
        // What the slot pushed; or, off a stack anywhere, what the peer has.
        let (ss, cs) = pushed(image, ours.rip).unwrap_or((peer.ss, peer.cs));
        (ours.vector, ours.error_code, ours.cpl) == (13, 0, 0)
            && peer.rip != ours.rip
            && ss & !3 == 0
            && (cs & 3 == 0 && ss & 3 != 0)
            && instruction(image, ours.rip).is_some_and(|i| i.mnemonic() == Mnemonic::Iretq)
    })
}

fn iret_ss_p(m: &Mismatch, image: &Image) -> bool {
    sides(m).is_some_and(|(ours, peer)| {
        (ours.vector, peer.vector) == (12, 11)
            && ours.error_code == peer.error_code
            && instruction(image, ours.rip).is_some_and(|i| i.mnemonic() == Mnemonic::Iretq)
    })
}

/// The skeleton's selector 0x60 has L = D = 1.
fn iret_l_d(m: &Mismatch, image: &Image) -> bool {
    m.ours.as_ref().is_some_and(|ours| {
        (ours.vector, ours.error_code) == (13, 0x60)
            && instruction(image, ours.rip)
                .is_some_and(|i| matches!(i.mnemonic(), Mnemonic::Iretq | Mnemonic::Iretd))
    })
}

/// MOV SS of a null selector whose RPL is not CPL.
fn mov_ss_null(m: &Mismatch, image: &Image) -> bool {
    both(m).is_some_and(|(ours, peer)| {
        let selector = ours.gpr[RAX] as u16;
        (ours.vector, ours.error_code) == (13, 0)
            && peer.rip != ours.rip
            && ours.cpl != 3
            && selector & !3 == 0
            && selector & 3 != u16::from(ours.cpl)
            && instruction(image, ours.rip).is_some_and(|i| {
                i.op0_register() == Register::SS
                    && i.op1_register() == Register::EAX
                    && i.mnemonic() == Mnemonic::Mov
            })
    })
}

/// The pushes of the frame of the event before, at CPL 3, are refused on one side alone: the
/// peer's as the supervisor's, ours as the user's.
fn push_class(m: &Mismatch, image: &Image) -> bool {
    both(m)
        .zip(m.before.as_ref())
        .is_some_and(|((ours, peer), before)| {
            let refused = |a: &Attempt, code: u32| {
                let fault = a.vector == 14 && a.error_code == code;
                let doubled = a.vector == 8 && before.vector == 14;
                (fault || doubled) && before.cpl == 3 && (a.rip, a.cpl) == (before.rip, 3)
            };
            let handler = format!("stub_{}", before.vector);
            let entered = image.resolve(&handler).is_ok_and(|at| at.0 == peer.rip);
            (refused(peer, 3) && ours.rip != before.rip)
                || (refused(ours, 7) && entered && peer.cpl == 3)
        })
}

/// The peer's single-step trap comes one instruction after STI's end.
fn sti_step(m: &Mismatch, image: &Image) -> bool {
    both(m).is_some_and(|(ours, peer)| {
        (ours.vector, peer.vector) == (1, 1)
            && instruction(image, ours.rip.wrapping_sub(1))
                .is_some_and(|i| i.mnemonic() == Mnemonic::Sti)
    })
}

/// The two operands of CMPS raise different exceptions.
fn cmps_fault(m: &Mismatch, image: &Image) -> bool {
    use Mnemonic::{Cmpsb, Cmpsd, Cmpsq, Cmpsw};
    both(m).is_some_and(|(ours, peer)| {
        ours.rip == peer.rip
            && matches!((ours.vector, peer.vector), (13, 14) | (14, 13))
            && instruction(image, ours.rip)
                .is_some_and(|i| matches!(i.mnemonic(), Cmpsb | Cmpsw | Cmpsd | Cmpsq))
    })
}

/// #DB at the entry of the handler of the fault before it, which had TF set.
fn mov_ss_step(m: &Mismatch, image: &Image) -> bool {
    const TF: u64 = 0x100;
    m.ours
        .as_ref()
        .zip(m.before.as_ref())
        .is_some_and(|(ours, before)| {
            let handler = format!("stub_{}", before.vector);
            ours.vector == 1
                && before.rflags & TF != 0
                && image.resolve(&handler).is_ok_and(|at| at.0 == ours.rip)
        })
}

fn xsetbv(m: &Mismatch, image: &Image) -> bool {
    sides(m).is_some_and(|(ours, peer)| {
        (ours.vector, peer.vector, peer.error_code) == (6, 13, 0)
            && instruction(image, ours.rip).is_some_and(|i| i.mnemonic() == Mnemonic::Xsetbv)
    })
}

fn iret_rip(m: &Mismatch, image: &Image) -> bool {
    returns_with(m, image, Mnemonic::Iretq)
}

/// A pop of an IRET at CPL 3 is refused: ours as the user's, or the peer's as the supervisor's.
fn iret_privilege(m: &Mismatch, image: &Image) -> bool {
    const W: u32 = 2;
    const U: u32 = 4;
    let pop = |a: &Option<Attempt>, user: bool| {
        a.as_ref().is_some_and(|a| {
            a.vector == 14
                && a.cpl == 3
                && a.error_code & (U | W) == if user { U } else { 0 }
                && a.cr2.is_some_and(|at| at.wrapping_sub(a.gpr[RSP]) < 5 * 8)
                && instruction(image, a.rip)
                    .is_some_and(|i| matches!(i.mnemonic(), Mnemonic::Iretq | Mnemonic::Iretd))
        })
    };
    pop(&m.ours, true) || pop(&m.peer, false)
}

/// The peer is at an address that is not canonical and that only a gate has.
fn gate_offset(m: &Mismatch, image: &Image) -> bool {
    m.peer.as_ref().is_some_and(|peer| {
        let low = peer.rip & 0xffff_ffff;
        peer.vector == 13 && peer.rip >> 32 == 0x8000 && image.segment_at(VirtAddr(low)).is_some()
    }) && match &m.ours {
        Some(ours) => matches!(ours.vector, 8 | 13),
        // #DF's own gate: a shutdown.
        None => m.before.as_ref().is_some_and(|b| b.vector == 8),
    } || gate_offset_first(m, image)
}

/// The peer's pushes are refused before it looks at the offset, which the machine refuses.
fn gate_offset_first(m: &Mismatch, image: &Image) -> bool {
    both(m)
        .zip(m.before.as_ref())
        .is_some_and(|((ours, peer), before)| {
            matches!((ours.vector, ours.error_code), (8, 0) | (13, 0 | 1))
                && matches!(peer.vector, 8 | 12 | 14)
                && ours.rip == before.rip
                && peer.rip == before.rip
                && gate_high(image, m.case, before.vector).is_some_and(|high| high != 0)
        })
}

/// Bits 63:32 of the offset in a gate that a case sets.
fn gate_high(image: &Image, case: u64, vector: u8) -> Option<u64> {
    // CASE_GATES of the skeleton.
    const GATES: u64 = 200 + 8 * 16;
    let mut at = image.resolve(&format!("case_{case}")).ok()?.0 + GATES;
    let segment = image.segment_at(VirtAddr(at))?;
    let quad = |at: u64| {
        let from = usize::try_from(at - segment.vaddr.0).ok()?;
        let bytes = segment.data.get(from..from + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    loop {
        match quad(at)? {
            u64::MAX => return None,
            offset if offset == 16 * u64::from(vector) => return quad(at + 16),
            _ => at += 24,
        }
    }
}

fn syscall_flags(m: &Mismatch, image: &Image) -> bool {
    /// And DF.
    const STATUS: u64 = 0xcd5;
    places(m).is_some_and(|(ours, peer)| {
        let same = Attempt {
            rflags: ours.rflags,
            ..peer.clone()
        };
        let entries = ["syscall_return", "syscall_stay"];
        same == *ours
            && (ours.rflags ^ peer.rflags) & !STATUS == 0
            && peer.rflags & STATUS == 0
            && entries
                .iter()
                .any(|e| image.resolve(e).is_ok_and(|a| a.0 == ours.rip))
    })
}

fn int1(m: &Mismatch, image: &Image) -> bool {
    both(m).is_some_and(|(ours, peer)| {
        ours.software
            && (ours.vector, peer.vector) == (1, 6)
            && ours.rip == peer.rip
            && instruction(image, ours.rip).is_some_and(|i| i.mnemonic() == Mnemonic::Int1)
    })
}

fn canonical_end(m: &Mismatch, _: &Image) -> bool {
    const END: u64 = 1 << 47;
    both(m).is_some_and(|(ours, peer)| {
        matches!(ours.vector, 12 | 13)
            && peer.vector == 14
            && ours.rip == peer.rip
            && peer.cr2.is_some_and(|at| (END - 16..END).contains(&at))
    })
}

fn cmps_order(m: &Mismatch, image: &Image) -> bool {
    both(m).is_some_and(|(ours, peer)| {
        let same = Attempt {
            error_code: ours.error_code,
            cr2: ours.cr2,
            ..peer.clone()
        };
        use Mnemonic::{Cmpsb, Cmpsd, Cmpsq, Cmpsw};
        ours.vector == 14
            && same == *ours
            && instruction(image, ours.rip)
                .is_some_and(|i| matches!(i.mnemonic(), Cmpsb | Cmpsw | Cmpsd | Cmpsq))
    })
}

/// At the end of a case, where RBX tells A (63:48) and D (31:16). A may differ in any way, D where
/// the machine has marked the first page of a write whose second page refused it.
fn accessed(m: &Mismatch, _: &Image) -> bool {
    const RBX: usize = 3;
    const D: u64 = 0xffff_ffff;
    places(m).is_some_and(|(ours, peer)| {
        let mut same = peer.clone();
        same.gpr[RBX] = ours.gpr[RBX];
        ours.vector == 0x42 && same == *ours && peer.gpr[RBX] & !ours.gpr[RBX] & D == 0
    })
}

/// The instruction at an address of the image.
pub fn instruction(image: &Image, rip: u64) -> Option<iced_x86::Instruction> {
    let s = image.segment_at(VirtAddr(rip))?;
    let bytes = s.data.get(usize::try_from(rip - s.vaddr.0).ok()?..)?;
    let insn = Decoder::with_ip(64, bytes, rip, DecoderOptions::NONE).decode();
    (!insn.is_invalid()).then_some(insn)
}

fn writes_what_it_reads(insn: &iced_x86::Instruction) -> bool {
    let mut factory = InstructionInfoFactory::new();
    let info = factory.info(insn);
    info.used_memory()
        .iter()
        .any(|u| matches!(u.access(), OpAccess::ReadWrite | OpAccess::ReadCondWrite))
}
