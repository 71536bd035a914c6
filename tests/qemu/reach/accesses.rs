//! Differences in accesses to memory, and in what a fault of one leaves.

use iced_x86::{InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register};
use iretrace::load::Image;

use super::sides::{both, codes, instruction, places};
use crate::attempt::Attempt;
use crate::compare::Mismatch;
use crate::items::TEST;

pub fn reserved_p(m: &Mismatch, _: &Image) -> bool {
    codes(m).is_some_and(|(v, ours, peer)| {
        v == 14 && ours & 9 == 9 && (ours ^ peer) & !3 == 0 && peer & 9 == 8
    })
}

pub fn rmw_read(m: &Mismatch, image: &Image) -> bool {
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
pub fn rmw_order(m: &Mismatch, image: &Image) -> bool {
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

fn writes_what_it_reads(insn: &iced_x86::Instruction) -> bool {
    let mut factory = InstructionInfoFactory::new();
    let info = factory.info(insn);
    info.used_memory()
        .iter()
        .any(|u| matches!(u.access(), OpAccess::ReadWrite | OpAccess::ReadCondWrite))
}

/// The peer computes flags before an access that faults, or in an earlier iteration, and saves
/// those.
pub fn fault_flags(m: &Mismatch, image: &Image) -> bool {
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

/// The two operands of CMPS raise different exceptions.
pub fn cmps_fault(m: &Mismatch, image: &Image) -> bool {
    use Mnemonic::{Cmpsb, Cmpsd, Cmpsq, Cmpsw};
    both(m).is_some_and(|(ours, peer)| {
        ours.rip == peer.rip
            && matches!((ours.vector, peer.vector), (13, 14) | (14, 13))
            && instruction(image, ours.rip)
                .is_some_and(|i| matches!(i.mnemonic(), Cmpsb | Cmpsw | Cmpsd | Cmpsq))
    })
}

pub fn cmps_order(m: &Mismatch, image: &Image) -> bool {
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

pub fn canonical_end(m: &Mismatch, _: &Image) -> bool {
    const END: u64 = 1 << 47;
    both(m).is_some_and(|(ours, peer)| {
        matches!(ours.vector, 12 | 13)
            && peer.vector == 14
            && ours.rip == peer.rip
            && peer.cr2.is_some_and(|at| (END - 16..END).contains(&at))
    })
}

/// At the end of a case, where RBX tells A (63:48) and D (31:16). A may differ in any way, D where
/// the machine has marked the first page of a write whose second page refused it.
pub fn accessed(m: &Mismatch, _: &Image) -> bool {
    const RBX: usize = 3;
    const D: u64 = 0xffff_ffff;
    places(m).is_some_and(|(ours, peer)| {
        let mut same = peer.clone();
        same.gpr[RBX] = ours.gpr[RBX];
        ours.vector == 0x42 && same == *ours && peer.gpr[RBX] & !ours.gpr[RBX] & D == 0
    })
}

/// Whether the peer has left the lower 8 bytes of a store of 16 behind, whose upper ones the second
/// page refused.
pub fn half_stored(a: &Attempt, image: &Image) -> bool {
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
