//! Differences in single steps and INT1.

use iced_x86::{Mnemonic, Register};
use iretrace::load::Image;

use super::sides::{both, instruction};
use crate::compare::Mismatch;

/// A single-step trap after the second of two MOV SS, which the peer holds too.
pub fn mov_ss_again(m: &Mismatch, image: &Image) -> bool {
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

/// #DB at the entry of the handler of the fault before it, which had TF set.
pub fn mov_ss_step(m: &Mismatch, image: &Image) -> bool {
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

/// The peer's single-step trap comes one instruction after STI's end.
pub fn sti_step(m: &Mismatch, image: &Image) -> bool {
    both(m).is_some_and(|(ours, peer)| {
        (ours.vector, peer.vector) == (1, 1)
            && instruction(image, ours.rip.wrapping_sub(1))
                .is_some_and(|i| i.mnemonic() == Mnemonic::Sti)
    })
}

pub fn int1(m: &Mismatch, image: &Image) -> bool {
    both(m).is_some_and(|(ours, peer)| {
        ours.software
            && (ours.vector, peer.vector) == (1, 6)
            && ours.rip == peer.rip
            && instruction(image, ours.rip).is_some_and(|i| i.mnemonic() == Mnemonic::Int1)
    })
}
