//! Whatever the guest puts into registers and tables: no panic, and the promises hold.

use proptest::prelude::*;

use super::testing::*;
use super::*;
use crate::arch::bits::{cr4, pte, rflags};
use crate::arch::state::gpr;
use crate::arch::{EventType, Exception, SegReg, Segment, TableRegister, Vector, VirtAddr};

/// Addresses where rules change, and others.
fn address() -> impl Strategy<Value = u64> {
    let edges = prop::sample::select(vec![
        0,
        0x7fff_ffff_f000,
        0x8000_0000_0000,
        0xffff_8000_0000_0000,
        u64::MAX - 47,
        place::KERNEL_STACK,
        place::USER_STACK,
        place::GDT,
        place::TSS,
        place::IDT,
        place::PML4,
    ]);
    prop_oneof![
        (edges, -64i64..64).prop_map(|(a, d)| a.wrapping_add_signed(d)),
        any::<u64>(),
    ]
}

fn kind() -> impl Strategy<Value = EventType> {
    prop::sample::select(vec![
        EventType::External,
        EventType::Nmi,
        EventType::Fault,
        EventType::Trap,
        EventType::Abort,
        EventType::SoftwareInterrupt,
        EventType::SoftwareException,
        EventType::PrivilegedSoftwareException,
    ])
}

/// Mostly nothing: several rare mishaps in one machine still let most of it work.
fn rarely<T: std::fmt::Debug + Clone>(
    s: impl Strategy<Value = T>,
) -> impl Strategy<Value = Option<T>> {
    prop::option::weighted(0.15, s)
}

/// A slot of a frame or table: a plausible value or noise.
fn slot() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => prop::sample::select(vec![0x08u64, 0x10, 0x1b, 0x23, 0x2b, 0x40, 0x60, 0x6b, 0x78, 0, 3]),
        2 => prop::sample::select(vec![place::CODE, place::USER_CODE, place::USER_STACK, place::IST1]),
        1 => address(),
    ]
}

/// Bits that turn a sound gate, descriptor or entry into an unsound one.
fn flips() -> impl Strategy<Value = u64> {
    (0u32..64, 0u32..64).prop_map(|(a, b)| 1 << a | 1 << b)
}

prop_compose! {
    /// A machine with some of its tables and registers disturbed.
    fn machine()(
        flipped in prop::collection::vec(
            (prop::sample::select(vec![place::GDT, place::IDT, place::TSS, place::PML4 + 0x3000]), 0u64..64, flips()),
            0..6,
        ),
        frame in prop::array::uniform5(slot()),
        cs in prop::sample::select(vec![0x08u64, 0x2b, 0x1b, 0x78]),
        ss in prop::sample::select(vec![0x10u64, 0x23, 0x6b, 0]),
        rsp in rarely(address()),
        idtr in rarely((address(), any::<u16>())),
        gdtr in rarely((address(), any::<u16>())),
        tr in rarely((address(), any::<u32>())),
        cr4 in rarely(any::<u32>()),
        flags in any::<u32>(),
        nt in rarely(Just(())),
        user in any::<bool>(),
        code32 in rarely(any::<u32>()),
        dr in any::<([u64; 4], u32)>(),
        pkru in any::<u32>(),
    ) -> Rig {
        let mut rig = Rig::new();
        if user {
            rig.user();
        }
        rig.push_frame(frame);
        // Half of the frames have their selectors in the right place.
        let at = rig.cpu.regs.rsp();
        if flags & 1 << 31 != 0 {
            rig.poke(at + 8, cs);
            rig.poke(at + 32, ss);
        }
        for (base, slot, bits) in flipped {
            let value = rig.peek(base + 8 * slot);
            rig.poke(base + 8 * slot, value ^ bits);
        }
        let r = &mut rig.cpu.regs;
        if let Some(rsp) = rsp {
            r.gpr[gpr::RSP] = rsp;
        }
        if let Some((base, limit)) = idtr {
            r.idtr = TableRegister { base, limit };
        }
        if let Some((base, limit)) = gdtr {
            r.gdtr = TableRegister { base, limit };
        }
        if let Some((base, limit)) = tr {
            (r.tr.base, r.tr.limit) = (base, limit);
        }
        if let Some(bits) = cr4 {
            r.cr4 ^= u64::from(bits) & !cr4::PAE;
        }
        r.rflags = u64::from(flags) | rflags::FIXED;
        if nt.is_none() {
            r.rflags &= !rflags::NT;
        }
        r.pkru = pkru;
        r.dr = dr.0;
        r.dr7 = u64::from(dr.1);
        if let Some(attr) = code32 {
            let dpl = r.cpl;
            *r.segment_mut(SegReg::Cs) = Segment::flat_code32(sel::KERNEL_CS32, dpl);
            r.segment_mut(SegReg::Ss).attr = attr & Segment::ATTR_MASK;
        }
        rig
    }
}

impl std::fmt::Debug for Rig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.cpu.regs.fmt(f)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Either a handler is entered, with RSP at a frame that is really there, or the registers are
    /// those before, CR2 and DR6 apart.
    #[test]
    fn any_delivery(
        mut rig in machine(),
        vector in prop_oneof![4 => 0u8..32, 1 => any::<u8>()],
        kind in kind(),
        error_code in any::<Option<u16>>(),
        dr6 in 0u64..16,
    ) {
        let before = rig.cpu.regs.clone();
        let event = PendingEvent {
            kind,
            error_code: error_code.map(u32::from),
            dr6,
            ..PendingEvent::external(Vector(vector), before.rip)
        };
        match rig.deliver(event) {
            DeliveryOutcome::Delivered(d) => {
                prop_assert_eq!(rig.cpu.regs.rip, d.handler.0);
                prop_assert_eq!(rig.cpu.regs.rsp(), d.frame.0);
                prop_assert!(d.new_cpl <= before.cpl);
                prop_assert_eq!(rig.cpu.activations.depth(), 1);
                prop_assert_eq!(d.frame.0 % 8, 0);
            }
            DeliveryOutcome::Shutdown => {
                let now = &rig.cpu.regs;
                let want = crate::arch::CpuState {
                    cr2: now.cr2,
                    dr6: now.dr6,
                    ..before
                };
                prop_assert_eq!(now, &want);
            }
        }
        if kind == EventType::Nmi {
            prop_assert!(rig.cpu.nmi.blocked);
        }
    }

    /// An IRET that faults changes no register; one that succeeds never gains privilege.
    #[test]
    fn any_iret(mut rig in machine(), size in prop::sample::select(vec![2u8, 4, 8])) {
        let before = rig.cpu.regs.clone();
        match iret(&mut rig.cpu, &mut rig.bus, size) {
            Ok(()) => {
                let r = &rig.cpu.regs;
                prop_assert!(r.cpl >= before.cpl);
                prop_assert_eq!(u16::from(r.cpl), r.cs().selector & 3);
            }
            Err(_) => prop_assert_eq!(&rig.cpu.regs, &before),
        }
    }

    /// A walk through tables of noise ends, agrees with its second run, and never sets D for a read.
    #[test]
    fn any_walk(
        entries in prop::collection::vec(any::<u64>(), 64),
        at in any::<u64>().prop_map(|a| ((a << 16) as i64 >> 16) as u64),
        write in any::<bool>(),
        la57 in any::<bool>(),
    ) {
        let mut rig = Rig::new();
        for (i, e) in entries.into_iter().enumerate() {
            // Mostly present, without reserved bits, and leading to one of eight tables of noise.
            let e = if i % 8 == 0 { e } else { e & 0x8000_0000_0000_7f7f | pte::P };
            for slot in (i as u64..8 * 512).step_by(64) {
                rig.poke(8 * slot, e);
            }
        }
        if la57 {
            rig.cpu.regs.cr4 |= cr4::LA57;
        }
        let access = if write { WRITE0 } else { READ0 };
        let before = rig.bus.ram.clone();
        let first = rig.cpu.translate(&mut rig.bus, VirtAddr(at), access);
        if let Err(e) = first {
            prop_assert_eq!(&rig.bus.ram, &before);
            prop_assert!(e == Exception::gp(0) || e.address == Some(VirtAddr(at)));
        }
        if !write {
            let dirty = |ram: &[u8]| -> Vec<u8> {
                ram.chunks_exact(8).map(|c| c[0] & pte::D as u8).collect()
            };
            prop_assert_eq!(dirty(&rig.bus.ram), dirty(&before));
        }
        let cached = rig.cpu.translate(&mut rig.bus, VirtAddr(at), access);
        prop_assert_eq!(first, cached);
    }
}
