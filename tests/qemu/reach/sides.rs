//! Two sides of a mismatch, and the code there.

use iced_x86::{Decoder, DecoderOptions};
use iretrace::arch::VirtAddr;
use iretrace::arch::state::gpr::RAX;
use iretrace::load::Image;

use crate::attempt::Attempt;
use crate::compare::Mismatch;

pub fn both(m: &Mismatch) -> Option<(&Attempt, &Attempt)> {
    m.ours.as_ref().zip(m.peer.as_ref())
}

/// Both sides, if they are there and equal but for vector and error code.
pub fn sides(m: &Mismatch) -> Option<(&Attempt, &Attempt)> {
    let (ours, peer) = both(m)?;
    let same = Attempt {
        vector: ours.vector,
        error_code: ours.error_code,
        ..peer.clone()
    };
    (same == *ours).then_some((ours, peer))
}

/// As [`sides`], with the same vector.
pub fn codes(m: &Mismatch) -> Option<(u8, u32, u32)> {
    let (ours, peer) = sides(m)?;
    (ours.vector == peer.vector).then_some((ours.vector, ours.error_code, peer.error_code))
}

/// Both sides, if what they tell is the same event at two places.
pub fn places(m: &Mismatch) -> Option<(&Attempt, &Attempt)> {
    let (ours, peer) = both(m)?;
    let same = (ours.vector, ours.error_code) == (peer.vector, peer.error_code);
    same.then_some((ours, peer))
}

/// Whether all that differs is what is left in memory at the end of a case.
pub fn sums(m: &Mismatch) -> bool {
    const RBX: usize = 3;
    places(m).is_some_and(|(ours, peer)| {
        let mut same = peer.clone();
        same.gpr[RAX] = ours.gpr[RAX];
        same.gpr[RBX] = ours.gpr[RBX];
        ours.vector == 0x42 && same == *ours && peer.gpr[RAX] != ours.gpr[RAX]
    })
}

pub const fn canonical(at: u64) -> bool {
    (at as i64) << 16 >> 16 == at as i64
}

/// The instruction at an address of the image.
pub fn instruction(image: &Image, rip: u64) -> Option<iced_x86::Instruction> {
    let s = image.segment_at(VirtAddr(rip))?;
    let bytes = s.data.get(usize::try_from(rip - s.vaddr.0).ok()?..)?;
    let insn = Decoder::with_ip(64, bytes, rip, DecoderOptions::NONE).decode();
    (!insn.is_invalid()).then_some(insn)
}
