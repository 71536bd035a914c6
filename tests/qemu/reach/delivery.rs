//! Differences in the delivery of an event.

use iretrace::arch::VirtAddr;
use iretrace::load::Image;

use super::sides::{both, codes, sides};
use crate::attempt::Attempt;
use crate::compare::Mismatch;

pub fn idt_code(m: &Mismatch, _: &Image) -> bool {
    codes(m).is_some_and(|(_, ours, peer)| ours & 2 != 0 && (ours >> 3) * 16 + 2 == peer)
}

pub fn ext(m: &Mismatch, _: &Image) -> bool {
    codes(m)
        .is_some_and(|(v, ours, peer)| matches!(v, 10..=13) && ours == peer | 1 && ours & 2 == 0)
}

pub fn ss_vector(m: &Mismatch, _: &Image) -> bool {
    sides(m).is_some_and(|(ours, peer)| {
        (ours.vector, peer.vector) == (12, 13) && ours.error_code <= 1 && peer.error_code == 0
    })
}

/// The pushes of the frame of the event before, at CPL 3, are refused on one side alone: the
/// peer's as the supervisor's, ours as the user's.
pub fn push_class(m: &Mismatch, image: &Image) -> bool {
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

/// The peer is at an address that is not canonical and that only a gate has.
pub fn gate_offset(m: &Mismatch, image: &Image) -> bool {
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
