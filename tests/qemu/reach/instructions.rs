//! Differences in single instructions.

use iced_x86::{FlowControl, Mnemonic, Register};
use iretrace::arch::state::gpr::RAX;
use iretrace::load::Image;

use super::sides::{both, canonical, instruction, places, sides};
use crate::attempt::Attempt;
use crate::compare::Mismatch;

pub fn branch_commits(m: &Mismatch, image: &Image) -> bool {
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

pub fn syscall_flags(m: &Mismatch, image: &Image) -> bool {
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

/// MOV to CR0 of a value with PG and without PE.
pub fn cr0_pe(m: &Mismatch, image: &Image) -> bool {
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

/// MOV SS of a null selector whose RPL is not CPL.
pub fn mov_ss_null(m: &Mismatch, image: &Image) -> bool {
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

pub fn xsetbv(m: &Mismatch, image: &Image) -> bool {
    sides(m).is_some_and(|(ours, peer)| {
        (ours.vector, peer.vector, peer.error_code) == (6, 13, 0)
            && instruction(image, ours.rip).is_some_and(|i| i.mnemonic() == Mnemonic::Xsetbv)
    })
}
