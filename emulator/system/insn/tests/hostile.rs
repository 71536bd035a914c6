//! Arbitrary bytes in arbitrary states: no panic, bounded work, and a fault changes nothing.

use iced_x86::{Code, Decoder, DecoderOptions};
use proptest::prelude::*;

use super::super::{data_accesses, execute, near_branch, routine};
use super::{DATA, HOLE};
use crate::arch::bits::{cr4, dr7};
use crate::arch::{SegReg, Segment, Trap, Vendor};
use crate::system::testing::{Rig, place, sel};

/// Values that reach deep checks: addresses, selectors, register numbers, edges.
fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0..16u64,
        Just(DATA),
        Just(DATA + 0xff9),
        Just(place::KERNEL_STACK - 64),
        Just(place::GDT),
        Just(HOLE - 3),
        Just(u64::MAX),
        (0..0x90u64).prop_map(|s| s & !4),
        (0xc000_0080..0xc000_0104u64),
        (0x170..0x280u64),
    ]
}

/// Bytes of which most decode to something with a routine.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let prefix = prop::sample::select(vec![
        &[][..],
        &[0x48],
        &[0x66],
        &[0xf3],
        &[0xf2],
        &[0x67],
        &[0x65],
        &[0xf0],
        &[0x36],
    ]);
    let opcode = prop::sample::select(vec![
        &[0x0f, 0x00][..],
        &[0x0f, 0x01],
        &[0x0f, 0x02],
        &[0x0f, 0x03],
        &[0x0f, 0x20],
        &[0x0f, 0x21],
        &[0x0f, 0x22],
        &[0x0f, 0x23],
        &[0x0f, 0x30],
        &[0x0f, 0x32],
        &[0x0f, 0xae],
        &[0x0f, 0xb2],
        &[0x0f, 0xa1],
        &[0x0f, 0xc7],
        &[0x0f, 0xab],
        &[0x0f, 0x35],
        &[0x0f, 0x38, 0x82],
        &[0x0f],
        &[0xff],
        &[0x8e],
        &[0xca],
        &[0xcb],
        &[0xc3],
        &[0xcf],
        &[0x9d],
        &[0x6d],
        &[0x6f],
        &[0xe5],
        &[0xc8],
        &[],
    ]);
    let rest = prop::collection::vec(any::<u8>(), 0..12);
    (prefix, opcode, rest).prop_map(|(a, b, c)| [a, b, &c[..]].concat())
}

fn rig(gpr: [u64; 16], memory: [u64; 8], mode: u8, vendor: Vendor, control: u64) -> Rig {
    let mut rig = Rig::of(vendor);
    if mode & 1 != 0 {
        rig.user();
    }
    if mode & 2 != 0 {
        let cpl = rig.cpu.regs.cpl;
        *rig.cpu.regs.segment_mut(SegReg::Cs) = Segment::flat_code32(sel::USER_CS32, cpl);
        if mode & 4 != 0 {
            rig.cpu.regs.segment_mut(SegReg::Cs).attr &= !Segment::DB;
            rig.cpu.regs.segment_mut(SegReg::Ss).attr &= !Segment::DB;
        }
    }
    for (i, word) in memory.into_iter().enumerate() {
        rig.poke(DATA + 8 * i as u64, word);
        rig.poke(place::KERNEL_STACK - 64 + 8 * i as u64, word);
    }
    let regs = &mut rig.cpu.regs;
    regs.gpr = gpr;
    let switches = [cr4::FSGSBASE, cr4::PKE, cr4::OSXSAVE, cr4::PCIDE, cr4::UMIP];
    for (i, bit) in switches.into_iter().enumerate() {
        if control >> i & 1 != 0 {
            regs.cr4 |= bit;
        }
    }
    regs.dr[0] = gpr[7];
    regs.dr7 = dr7::FIXED | control >> 8 & 1 | 3 << 16 | 2 << 18;
    rig
}

fn vendor() -> impl Strategy<Value = Vendor> {
    prop::sample::select(vec![Vendor::Intel, Vendor::Amd])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn a_fault_changes_nothing(
        bytes in bytes(),
        gpr in prop::array::uniform16(value()),
        memory in prop::array::uniform8(value()),
        mode in 0..8u8,
        vendor in vendor(),
        control in any::<u64>(),
    ) {
        let mut rig = rig(gpr, memory, mode, vendor, control);
        let bitness = match mode & 6 {
            2 => 32,
            6 => 16,
            _ => 64,
        };
        let insn =
            Decoder::with_ip(bitness, &bytes, rig.cpu.regs.rip, DecoderOptions::NONE).decode();
        let mut accesses = Vec::new();
        data_accesses(&rig.cpu.regs, &insn, &mut accesses);
        // ENTER with 31 levels makes the most.
        prop_assert!(accesses.len() <= 63);
        let before = rig.cpu.regs.clone();
        match execute(&mut rig.cpu, &mut rig.bus, &insn) {
            Ok(outcome) => {
                prop_assert!(routine(insn.code()).is_some());
                let moved = rig.cpu.regs.rip != before.rip;
                let stays = outcome.rep_iteration || outcome.software_event.is_some();
                let branch = insn.flow_control() != iced_x86::FlowControl::Next;
                prop_assert!(branch || moved != stays);
                prop_assert_ne!(insn.code(), Code::INVALID);
                // What every instruction must leave alone.
                prop_assert!(rig.cpu.regs.cpl <= 3);
                prop_assert_eq!(rig.cpu.regs.rflags & 2, 2);
            }
            Err(trap) => {
                prop_assert_eq!(&rig.cpu.regs, &before);
                prop_assert_eq!(rig.cpu.pending_db, 0);
                if let Trap::Exception(e) = trap {
                    prop_assert!(e.vector.0 < 32);
                }
            }
        }
        // The guard's entry takes anything too.
        rig.cpu.regs = before.clone();
        if near_branch(&mut rig.cpu, &mut rig.bus, &insn).is_err() {
            prop_assert_eq!(&rig.cpu.regs, &before);
        }
    }
}
