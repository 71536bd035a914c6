//! Differences in IRET and SYSRET.

use iced_x86::{Mnemonic, OpKind};
use iretrace::arch::state::gpr::RSP;
use iretrace::load::Image;

use super::sides::{both, canonical, instruction, sides};
use crate::attempt::Attempt;
use crate::compare::Mismatch;

/// The peer is where an instruction of the machine's #GP(0) leads, and may have trapped there.
fn returns_with(m: &Mismatch, image: &Image, mnemonic: Mnemonic) -> bool {
    both(m).is_some_and(|(ours, peer)| {
        (ours.vector, ours.error_code) == (13, 0)
            && matches!(peer.vector, 1 | 2 | 13)
            && !canonical(peer.rip)
            && instruction(image, ours.rip).is_some_and(|i| i.mnemonic() == mnemonic)
    })
}

pub fn sysret_rcx(m: &Mismatch, image: &Image) -> bool {
    returns_with(m, image, Mnemonic::Sysretq) && m.ours.as_ref().is_some_and(|a| a.cpl == 0)
}

pub fn iret_rip(m: &Mismatch, image: &Image) -> bool {
    returns_with(m, image, Mnemonic::Iretq)
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
pub fn iret_null_ss(m: &Mismatch, image: &Image) -> bool {
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

pub fn iret_ss_p(m: &Mismatch, image: &Image) -> bool {
    sides(m).is_some_and(|(ours, peer)| {
        (ours.vector, peer.vector) == (12, 11)
            && ours.error_code == peer.error_code
            && instruction(image, ours.rip).is_some_and(|i| i.mnemonic() == Mnemonic::Iretq)
    })
}

/// The skeleton's selector 0x60 has L = D = 1.
pub fn iret_l_d(m: &Mismatch, image: &Image) -> bool {
    m.ours.as_ref().is_some_and(|ours| {
        (ours.vector, ours.error_code) == (13, 0x60)
            && instruction(image, ours.rip)
                .is_some_and(|i| matches!(i.mnemonic(), Mnemonic::Iretq | Mnemonic::Iretd))
    })
}

/// IRETD while SS is null: the peer's stack is 64 KiB.
pub fn iretd_sp(m: &Mismatch, image: &Image) -> bool {
    both(m).is_some_and(|(ours, peer)| {
        ours.rip == peer.rip
            && peer.ss & !3 == 0
            && (peer.vector, peer.cr2) == (14, Some(peer.gpr[RSP] & 0xffff))
            && instruction(image, peer.rip).is_some_and(|i| i.mnemonic() == Mnemonic::Iretd)
    })
}

/// A pop of an IRET at CPL 3 is refused: ours as the user's, or the peer's as the supervisor's.
pub fn iret_privilege(m: &Mismatch, image: &Image) -> bool {
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
