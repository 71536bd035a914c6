//! A small machine for unit tests: identity-mapped RAM, a GDT, an IDT, a TSS, stacks.

mod bus;

pub use bus::TestBus;

use super::{Bus as _, Cpu, DeliveryOutcome, PendingEvent, deliver};
use crate::arch::bits::{cr4, efer, pte, rflags};
use crate::arch::state::gpr;
use crate::arch::{
    Access, AccessKind, CpuModel, CpuState, PhysAddr, SegReg, Segment, TableRegister, Vector,
    Vendor, VirtAddr,
};
use crate::trace::{Delivery, EventClass, EventKind};

/// Where things lie; linear and physical.
#[rustfmt::skip]
pub mod place {
    pub const PML4: u64 = 0x1000;
    pub const GDT: u64 = 0x30000;
    pub const IDT: u64 = 0x31000;
    pub const TSS: u64 = 0x32000;
    pub const CODE: u64 = 0x40000;
    /// Handlers: `HANDLERS + 0x10 * vector`.
    pub const HANDLERS: u64 = 0x41000;
    /// Tops of one-page stacks; the page below each is mapped, the next lower one is not.
    pub const KERNEL_STACK: u64 = 0x51000;
    pub const IST1: u64 = 0x53000;
    pub const IST2: u64 = 0x55000;
    pub const RSP0: u64 = 0x57000;
    pub const USER_CODE: u64 = 0x60000;
    pub const USER_STACK: u64 = 0x63000;
    pub const RAM: u64 = 0x80000;
}

/// Selectors of the GDT.
#[rustfmt::skip]
pub mod sel {
    pub const KERNEL_CS: u16 = 0x08;
    pub const KERNEL_SS: u16 = 0x10;
    pub const USER_CS32: u16 = 0x1b;
    pub const USER_SS: u16 = 0x23;
    pub const USER_CS: u16 = 0x2b;
    pub const TSS: u16 = 0x30;
    pub const CODE_LD: u16 = 0x40;
    pub const DATA_NP: u16 = 0x48;
    pub const USER_DATA_NP: u16 = 0x53;
    pub const CODE_NP: u16 = 0x58;
    pub const CONFORMING: u16 = 0x60;
    pub const USER_SS16: u16 = 0x6b;
    pub const DATA_RO: u16 = 0x70;
    pub const KERNEL_CS32: u16 = 0x78;
    /// Beyond the limit.
    pub const BEYOND: u16 = 0x80;
}

/// Attributes of a 64-bit code descriptor without DPL, accessed.
const CODE64: u64 = 0x0020_9b00;
const CODE32: u64 = 0x00cf_9b00;
const DATA: u64 = 0x00cf_9300;
const DPL3: u64 = 0x6000;
const P: u64 = 0x8000;

/// The GDT by quadword.
const GDT: [u64; 16] = [
    0,
    CODE64 << 32,
    DATA << 32 | 0xffff,
    (CODE32 | DPL3) << 32 | 0xffff,
    (DATA | DPL3) << 32 | 0xffff,
    (CODE64 | DPL3) << 32,
    // The busy TSS at place::TSS, limit 0x67.
    0x0000_8b03_2000_0067,
    0,
    (CODE64 | 0x0040_0000) << 32,
    (DATA & !P) << 32 | 0xffff,
    ((DATA | DPL3) & !P) << 32 | 0xffff,
    (CODE64 & !P) << 32,
    (CODE64 | 0x0400) << 32,
    // B = 0, limit 0xffff.
    (0x0000_9300 | DPL3) << 32 | 0xffff,
    0x00cf_9100 << 32 | 0xffff,
    CODE32 << 32 | 0xffff,
];

/// A CPU in kernel mode on that machine.
pub struct Rig {
    pub cpu: Cpu,
    pub bus: TestBus,
    next_table: u64,
}

impl Rig {
    /// CPL 0 at [`place::CODE`], RSP at [`place::KERNEL_STACK`]; all 32 exception vectors, and
    /// 0x80 with DPL 3, have interrupt gates.
    pub fn new() -> Self {
        Self::of(Vendor::Intel)
    }

    pub fn of(vendor: Vendor) -> Self {
        let mut regs = CpuState::long_mode();
        regs.rip = place::CODE;
        regs.gpr[gpr::RSP] = place::KERNEL_STACK;
        regs.cr3 = place::PML4;
        regs.cr4 |= cr4::PGE | cr4::DE;
        regs.msr.efer |= efer::NXE | efer::SCE;
        regs.gdtr = TableRegister {
            base: place::GDT,
            limit: 0x7f,
        };
        regs.idtr = TableRegister {
            base: place::IDT,
            limit: 0xfff,
        };
        regs.tr = Segment {
            selector: sel::TSS,
            base: place::TSS,
            limit: 0x67,
            attr: 0x8b00,
        };
        let mut rig = Self {
            cpu: Cpu::new(regs, CpuModel::of(vendor)),
            bus: TestBus {
                ram: vec![0; place::RAM as usize],
                events: Vec::new(),
                wanted: EventClass::all(),
                flushes: 0,
                port_value: u32::MAX,
                port_writes: Vec::new(),
                port_reads: Vec::new(),
                tsc: 0,
                tpr: 0,
                apic_base: None,
            },
            next_table: place::PML4 + 0x1000,
        };
        let kernel = [
            place::GDT,
            place::IDT,
            place::TSS,
            place::CODE,
            place::HANDLERS,
            place::KERNEL_STACK - 0x1000,
            place::IST1 - 0x1000,
            place::IST2 - 0x1000,
            place::RSP0 - 0x1000,
        ];
        for at in kernel {
            rig.map(at, at, pte::P | pte::W);
        }
        for at in [place::USER_CODE, place::USER_STACK - 0x1000] {
            rig.map(at, at, pte::P | pte::W | pte::U);
        }
        for (i, d) in GDT.into_iter().enumerate() {
            rig.poke(place::GDT + 8 * i as u64, d);
        }
        rig.poke(place::TSS + 4, place::RSP0);
        rig.poke(place::TSS + 36, place::IST1);
        rig.poke(place::TSS + 44, place::IST2);
        for v in 0..32 {
            rig.gate(v, 0x8e00, 0);
        }
        rig.gate(0x80, 0xee00, 0);
        rig
    }

    /// Sets up the gate of `vector`: `attr` is P, DPL and type in place; its handler is
    /// [`handler`].
    pub fn gate(&mut self, vector: u8, attr: u64, ist: u8) {
        self.raw_gate(vector, sel::KERNEL_CS, handler(vector), attr, ist);
    }

    pub fn raw_gate(&mut self, vector: u8, cs: u16, offset: u64, attr: u64, ist: u8) {
        let low = (offset & 0xffff)
            | u64::from(cs) << 16
            | u64::from(ist) << 32
            | attr << 32
            | (offset & 0xffff_0000) << 32;
        let at = place::IDT + 16 * u64::from(vector);
        self.poke(at, low);
        self.poke(at + 8, offset >> 32);
    }

    /// Writes a quadword of physical memory.
    pub fn poke(&mut self, at: u64, value: u64) {
        self.bus.phys_write(PhysAddr(at), &value.to_le_bytes());
    }

    /// Reads a quadword of physical memory.
    pub fn peek(&mut self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        self.bus.phys_read(PhysAddr(at), &mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// Where the 4-level tables hold the entry of `level` for `at`; missing tables are made, with
    /// all rights.
    pub fn entry(&mut self, at: u64, level: u8) -> u64 {
        let mut table = self.cpu.regs.cr3 & !0xfff;
        let mut l = 4;
        loop {
            let entry = table + (at >> (12 + 9 * (l - 1)) & 0x1ff) * 8;
            if l == u64::from(level) {
                return entry;
            }
            let mut value = self.peek(entry);
            if value & pte::P == 0 {
                value = self.next_table | pte::P | pte::W | pte::U;
                self.next_table += 0x1000;
                assert!(self.next_table < place::GDT, "room for page tables");
                self.poke(entry, value);
            }
            table = value & 0x000f_ffff_ffff_f000;
            l -= 1;
        }
    }

    /// Maps a 4 KiB page.
    pub fn map(&mut self, at: u64, phys: u64, flags: u64) {
        let entry = self.entry(at, 1);
        self.poke(entry, phys | flags);
    }

    /// Changes the PTE of `at` and forgets the cached translation.
    pub fn remap(&mut self, at: u64, flags: u64) {
        let entry = self.entry(at, 1);
        self.poke(entry, (at & !0xfff) | flags);
        self.cpu.tlb.forget();
    }

    /// Makes the page of `at` not present.
    pub fn unmap(&mut self, at: u64) {
        self.remap(at, 0);
    }

    /// Goes to CPL 3 at [`place::USER_CODE`].
    pub fn user(&mut self) {
        let r = &mut self.cpu.regs;
        r.cpl = 3;
        *r.segment_mut(SegReg::Cs) = Segment::flat_code64(sel::USER_CS, 3);
        *r.segment_mut(SegReg::Ss) = Segment::flat_data(sel::USER_SS, 3);
        r.rip = place::USER_CODE;
        r.gpr[gpr::RSP] = place::USER_STACK;
        r.rflags |= rflags::IF;
    }

    pub fn deliver(&mut self, event: PendingEvent) -> DeliveryOutcome {
        deliver(&mut self.cpu, &mut self.bus, event)
    }

    /// Delivers what must end in a handler.
    pub fn delivered(&mut self, event: PendingEvent) -> Delivery {
        match self.deliver(event) {
            DeliveryOutcome::Delivered(d) => d,
            DeliveryOutcome::Shutdown => panic!("shutdown; events: {:#x?}", self.bus.events),
        }
    }

    pub fn nmi(&mut self) -> Delivery {
        let rip = self.cpu.regs.rip;
        self.delivered(PendingEvent::nmi(rip))
    }

    pub fn irq(&mut self, vector: u8) -> Delivery {
        let rip = self.cpu.regs.rip;
        self.delivered(PendingEvent::external(Vector(vector), rip))
    }

    /// Writes an IRETQ frame at RSP, which it moves below.
    pub fn push_frame(&mut self, frame: [u64; 5]) {
        let rsp = self.cpu.regs.rsp() - 40;
        self.cpu.regs.gpr[gpr::RSP] = rsp;
        for (i, slot) in frame.into_iter().enumerate() {
            self.poke(rsp + 8 * i as u64, slot);
        }
    }

    /// A #DF-free view of what was raised: every `DeliveryFailed`, in order.
    pub fn failures(&self) -> Vec<(u8, Option<u32>, Option<u64>)> {
        self.bus
            .events
            .iter()
            .filter_map(|e| match e {
                EventKind::DeliveryFailed {
                    raised,
                    error_code,
                    address,
                    ..
                } => Some((raised.0, *error_code, address.map(|a| a.0))),
                _ => None,
            })
            .collect()
    }

    pub fn read8(&mut self, at: u64, access: Access) -> Result<u64, crate::arch::Exception> {
        self.cpu
            .read_u64(&mut self.bus, VirtAddr(at), access, false)
    }

    pub fn write8(&mut self, at: u64, access: Access) -> Result<(), crate::arch::Exception> {
        self.cpu
            .write_u64(&mut self.bus, VirtAddr(at), 0x55, access, false)
    }
}

/// The entry of a vector's handler.
pub const fn handler(vector: u8) -> u64 {
    place::HANDLERS + 0x10 * vector as u64
}

pub const READ0: Access = Access::explicit(AccessKind::Read, 0);
pub const WRITE0: Access = Access::explicit(AccessKind::Write, 0);
pub const FETCH0: Access = Access::explicit(AccessKind::Fetch, 0);
pub const READ3: Access = Access::explicit(AccessKind::Read, 3);
pub const WRITE3: Access = Access::explicit(AccessKind::Write, 3);
pub const FETCH3: Access = Access::explicit(AccessKind::Fetch, 3);
