//! The known differences: `differences.md` names each with its reason, and here is what it explains.

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, InstructionInfoFactory, Mnemonic, OpAccess, Register,
};

use iretrace::arch::VirtAddr;
use iretrace::load::Image;

use crate::attempt::Attempt;
use crate::compare::Mismatch;

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
    ("cmpxchg32", Then::Apart, cmpxchg32),
];

/// Rows of which frames, and so the memory below a stack in the test pages, keep a trace.
const IN_FRAMES: [&str; 6] = ["rf", "ss-null", "idt-code", "ext", "reserved-p", "rmw-read"];

/// Whether all that differs is what is left in memory at the end of a case.
fn sums(m: &Mismatch) -> bool {
    const RAX: usize = 0;
    const RBX: usize = 3;
    places(m).is_some_and(|(ours, peer)| {
        let mut same = peer.clone();
        same.gpr[RAX] = ours.gpr[RAX];
        same.gpr[RBX] = ours.gpr[RBX];
        ours.vector == 0x42 && same == *ours && peer.gpr[RAX] != ours.gpr[RAX]
    })
}

/// Differences that leave traces in later events, which are taken out before sides are compared.
pub fn normalise(ours: &Attempt, peer: &mut Attempt, seen: &mut Vec<&'static str>) {
    const R11: usize = 11;
    const R13: usize = 13;
    const RF: u64 = 1 << 16;
    // The handlers keep the pushed RF in r11.
    if ours.gpr[R11] == RF && peer.gpr[R11] == 0 {
        peer.gpr[R11] = RF;
        seen.push("rf");
    }
    // A frame whose RIP is below 64 KiB is taken for one without error code: RFLAGS are in r14.
    const R14: usize = 14;
    if ours.gpr[R14] == peer.gpr[R14] | RF && peer.gpr[R14] < RF {
        peer.gpr[R14] |= RF;
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
    before: &[&'static str],
) -> Option<(&'static str, Then)> {
    if sums(m) && before.iter().any(|row| IN_FRAMES.contains(row)) {
        return Some(("frame-values", Then::Apart));
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
    all.extend(["rf", "ss-null", "frame-values"]);
    all
}

/// Both sides, if they are there and equal but for vector and error code.
fn sides(m: &Mismatch) -> Option<(&Attempt, &Attempt)> {
    let (ours, peer) = (m.ours.as_ref()?, m.peer.as_ref()?);
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
            .is_none_or(|i| writes_what_it_reads(&i))
}

fn ss_vector(m: &Mismatch, _: &Image) -> bool {
    sides(m).is_some_and(|(ours, peer)| {
        (ours.vector, ours.error_code, peer.vector, peer.error_code) == (12, 0, 13, 0)
    })
}

/// Both sides, if what they tell is the same event at two places.
fn places(m: &Mismatch) -> Option<(&Attempt, &Attempt)> {
    let (ours, peer) = (m.ours.as_ref()?, m.peer.as_ref()?);
    let same = (ours.vector, ours.error_code) == (peer.vector, peer.error_code);
    same.then_some((ours, peer))
}

const fn canonical(at: u64) -> bool {
    (at as i64) << 16 >> 16 == at as i64
}

fn branch_commits(m: &Mismatch, image: &Image) -> bool {
    m.ours
        .as_ref()
        .zip(m.peer.as_ref())
        .is_some_and(|(ours, peer)| {
            (ours.vector, ours.error_code) == (13, 0)
                && ours.cpl == peer.cpl
                && !canonical(peer.rip)
                && instruction(image, ours.rip).is_none_or(|i| {
                    matches!(
                        i.flow_control(),
                        FlowControl::IndirectBranch
                            | FlowControl::IndirectCall
                            | FlowControl::Return
                    ) && !matches!(i.mnemonic(), Mnemonic::Iretq | Mnemonic::Sysretq)
                })
        })
}

fn returns_with(m: &Mismatch, image: &Image, mnemonic: Mnemonic) -> bool {
    places(m).is_some_and(|(ours, peer)| {
        ours.vector == 13
            && !canonical(peer.rip)
            && instruction(image, ours.rip).is_some_and(|i| i.mnemonic() == mnemonic)
    })
}

fn sysret_rcx(m: &Mismatch, image: &Image) -> bool {
    m.ours
        .as_ref()
        .zip(m.peer.as_ref())
        .is_some_and(|(ours, peer)| {
            (ours.vector, ours.cpl) == (13, 0)
                && !canonical(peer.rip)
                && instruction(image, ours.rip).is_some_and(|i| i.mnemonic() == Mnemonic::Sysretq)
        })
}

/// The peer goes on with a null SS that has another RPL than its CPL.
fn iret_null_ss(m: &Mismatch, image: &Image) -> bool {
    m.ours
        .as_ref()
        .zip(m.peer.as_ref())
        .is_some_and(|(ours, peer)| {
            ours.vector == 13
                && ours.error_code == 0
                && peer.ss & !3 == 0
                && peer.ss & 3 != u16::from(peer.cpl)
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
    m.ours
        .as_ref()
        .zip(m.peer.as_ref())
        .is_some_and(|(ours, peer)| {
            (ours.vector, ours.error_code) == (13, 0)
                && peer.ss & !3 == 0
                && peer.ss & 3 != u16::from(peer.cpl)
                && instruction(image, ours.rip).is_some_and(|i| {
                    i.op0_register() == Register::SS && i.mnemonic() == Mnemonic::Mov
                })
        })
}

/// The peer's pushes of the frame of the event before are refused as the supervisor's.
fn push_class(m: &Mismatch, _: &Image) -> bool {
    m.peer
        .as_ref()
        .zip(m.before.as_ref())
        .is_some_and(|(peer, before)| {
            let refused = peer.vector == 14 && peer.error_code == 3;
            let doubled = peer.vector == 8 && before.vector == 14;
            (refused || doubled) && before.cpl == 3 && (peer.rip, peer.cpl) == (before.rip, 3)
        })
}

/// The peer's single-step trap comes one instruction after STI's end.
fn sti_step(m: &Mismatch, image: &Image) -> bool {
    m.ours
        .as_ref()
        .zip(m.peer.as_ref())
        .is_some_and(|(ours, peer)| {
            (ours.vector, peer.vector) == (1, 1)
                && instruction(image, ours.rip.wrapping_sub(1))
                    .is_some_and(|i| i.mnemonic() == Mnemonic::Sti)
        })
}

/// The two operands of CMPS raise different exceptions.
fn cmps_fault(m: &Mismatch, image: &Image) -> bool {
    use Mnemonic::{Cmpsb, Cmpsd, Cmpsq, Cmpsw};
    m.ours
        .as_ref()
        .zip(m.peer.as_ref())
        .is_some_and(|(ours, peer)| {
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

/// Our own: the engine's CMPXCHG of a doubleword clears RAX's upper half when it should not.
fn cmpxchg32(m: &Mismatch, _: &Image) -> bool {
    const RAX: usize = 0;
    const LOW: u64 = 0xffff_ffff;
    places(m).is_some_and(|(ours, peer)| {
        let mut same = peer.clone();
        same.gpr[RAX] = ours.gpr[RAX];
        same == *ours && (peer.gpr[RAX] ^ ours.gpr[RAX]) & LOW == 0 && peer.gpr[RAX] > LOW
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

/// At CPL 3 one side's page fault is the user's and the other's, if there is one, is not.
fn iret_privilege(m: &Mismatch, image: &Image) -> bool {
    const U: u32 = 4;
    let iret = |a: &Attempt| {
        a.cpl == 3
            && instruction(image, a.rip)
                .is_some_and(|i| matches!(i.mnemonic(), Mnemonic::Iretq | Mnemonic::Iretd))
    };
    let fault = |a: &Option<Attempt>, user: bool| {
        a.as_ref()
            .is_some_and(|a| a.vector == 14 && (a.error_code & U != 0) == user && iret(a))
    };
    fault(&m.ours, true) || fault(&m.peer, false)
}

/// The peer is at an address that is not canonical and that only a gate has.
fn gate_offset(m: &Mismatch, image: &Image) -> bool {
    m.peer.as_ref().is_some_and(|peer| {
        let low = peer.rip & 0xffff_ffff;
        peer.vector == 13 && peer.rip >> 32 == 0x8000 && image.segment_at(VirtAddr(low)).is_some()
    }) && m
        .ours
        .as_ref()
        .is_some_and(|ours| matches!(ours.vector, 8 | 13))
}

fn syscall_flags(m: &Mismatch, image: &Image) -> bool {
    const STATUS: u64 = 0x8d5;
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
    m.ours
        .as_ref()
        .zip(m.peer.as_ref())
        .is_some_and(|(ours, peer)| {
            ours.software
                && (ours.vector, peer.vector) == (1, 6)
                && ours.rip == peer.rip
                && instruction(image, ours.rip).is_some_and(|i| i.mnemonic() == Mnemonic::Int1)
        })
}

fn canonical_end(m: &Mismatch, _: &Image) -> bool {
    const END: u64 = 1 << 47;
    m.ours
        .as_ref()
        .zip(m.peer.as_ref())
        .is_some_and(|(ours, peer)| {
            matches!(ours.vector, 12 | 13)
                && peer.vector == 14
                && ours.rip == peer.rip
                && peer.cr2.is_some_and(|at| (END - 16..END).contains(&at))
        })
}

fn cmps_order(m: &Mismatch, image: &Image) -> bool {
    m.ours
        .as_ref()
        .zip(m.peer.as_ref())
        .is_some_and(|(ours, peer)| {
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
