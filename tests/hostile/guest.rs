//! One hostile guest: what is in RAM and in the registers, and how it becomes a machine.

use std::cell::RefCell;
use std::rc::Rc;

use iretrace::arch::bits::{cr0, cr4, dr7, efer, pte, rflags};
use iretrace::arch::{
    CpuModel, CpuState, PAGE_SIZE, PhysAddr, SegReg, Segment, TableRegister, Vendor, VirtAddr,
};
use iretrace::machine::{Machine, MachineConfig};
use iretrace::schedule::{Injection, SymbolResolver, resolve};
use iretrace::trace::{Event, EventClass, EventKind, EventSink};
use serde::{Deserialize, Serialize};

/// Where things lie, physically and at the same linear addresses.
#[rustfmt::skip]
pub mod place {
    pub const RAM: u64 = 0x80000;
    pub const GDT: u64 = 0x2000;
    pub const IDT: u64 = 0x3000;
    pub const TSS: u64 = 0x4000;
    /// Three pages of random code.
    pub const CODE: u64 = 0x6000;
    pub const CODE_END: u64 = 0x9000;
    /// One handler of 16 bytes a vector.
    pub const HANDLERS: u64 = 0xa000;
    pub const STACK: u64 = 0xd000;
    pub const IST1: u64 = 0xe000;
    pub const RSP0: u64 = 0xf000;
    pub const TABLES: u64 = 0x10000;
    pub const PT: u64 = TABLES + 0x3000;
    /// The page table for the 2 MiB below both ends of the address space.
    pub const EDGE_PT: u64 = TABLES + 0x4000;
    pub const DATA: u64 = 0x20000;
    /// The last page of the lower half, and the last of all: the code's first page, after
    /// pages of data and stack.
    pub const LOW_END: u64 = 0x7fff_ffff_f000;
    pub const TOP: u64 = 0xffff_ffff_ffff_f000;
    /// A linear page for the local APIC's registers.
    pub const APIC: u64 = 0x1ff000;
    /// A second linear address of everything.
    pub const ALIAS: u64 = 0xffff_8000_0000_0000;
    /// The PML4 and, as it maps itself, the other tables, as data.
    pub const SELF: u64 = 0xffff_ff7f_bfdf_e000;
}

/// The GDT by quadword, from selector 8 on; the TSS's descriptor lies at 0x30.
const GDT: [u64; 15] = [
    0x0020_9b00_0000_0000, // 0x08 code64
    0x00cf_9300_0000_ffff, // 0x10 data
    0x00cf_fb00_0000_ffff, // 0x18 code32 DPL 3
    0x00cf_f300_0000_ffff, // 0x20 data DPL 3
    0x0020_fb00_0000_0000, // 0x28 code64 DPL 3
    0x0000_8900_4000_0067, // 0x30 TSS
    0,
    0x00cf_9b00_0000_ffff, // 0x40 code32
    0x000f_9b00_0000_ffff, // 0x48 code16
    0x000f_fb00_0000_ffff, // 0x50 code16 DPL 3
    0x0020_9f00_0000_0000, // 0x58 conforming code64
    0x0000_8200_2000_0fff, // 0x60 LDT
    0,
    0x0000_ec00_0008_a000, // 0x70 call gate to 0x08:0xa000
    0,
];

/// How a guest starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Mode {
    Kernel64,
    User64,
    User32,
    User16,
    Kernel32,
    Kernel16,
}

/// What a handler does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Handler {
    /// Goes on one byte later, so that the next thing is tried.
    Skip,
    /// Returns.
    Return,
    Halt,
    /// Leads into the random code, on the handler's stack.
    Jump(u8),
    /// Whatever these bytes are.
    Bytes([u8; 12]),
    /// The gate is not present.
    Absent,
}

/// A hostile guest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Guest {
    pub amd: bool,
    /// Features that are missing, by bit.
    pub without: u16,
    pub mode: Mode,
    pub code: Vec<Vec<u8>>,
    /// Where in the code control starts.
    pub start: u16,
    /// The linear address of the code's first byte; 0 is [`place::CODE`].
    #[serde(default)]
    pub origin: u64,
    pub gpr: [u64; 16],
    pub rflags: u64,
    pub cr0: u64,
    pub cr4: u64,
    pub efer: u64,
    pub dr: [u64; 4],
    pub dr7: u64,
    pub pkru: u32,
    /// What handlers do: for all vectors, and for some.
    pub handler: Handler,
    /// Vector, IST, DPL, what it does.
    pub handlers: Vec<(u8, u8, u8, Handler)>,
    /// Bits to flip in physical memory: tables become unsound.
    pub flips: Vec<(u32, u64)>,
    /// Supervisor tables and code; everything is for CPL 3 too otherwise.
    pub supervisor: bool,
    /// Injections, as the schedule reads them.
    pub schedule: Vec<String>,
    pub max_insns: u64,
}

impl Guest {
    fn model(&self) -> CpuModel {
        let mut model = CpuModel::of(if self.amd { Vendor::Amd } else { Vendor::Intel });
        let f = &mut model.features;
        let all = [
            &mut f.nx,
            &mut f.page_1gb,
            &mut f.la57,
            &mut f.smep,
            &mut f.smap,
            &mut f.pku,
            &mut f.pcid,
            &mut f.invpcid,
            &mut f.pge,
            &mut f.fsgsbase,
            &mut f.umip,
            &mut f.x2apic,
            &mut f.rdtscp,
            &mut f.rdrand,
            &mut f.rdseed,
            &mut f.syscall,
        ];
        for (n, feature) in all.into_iter().enumerate() {
            *feature = self.without & 1 << n == 0;
        }
        model
    }

    fn write_tables(&self, write: &mut dyn FnMut(u64, u64)) {
        let rights = pte::P | pte::W | if self.supervisor { 0 } else { pte::U };
        let next = |n: u64| (place::TABLES + n * PAGE_SIZE) | pte::P | pte::W | pte::U;
        write(place::TABLES, next(1));
        write(place::TABLES + 8 * 256, next(1));
        // The PML4 maps itself.
        write(place::TABLES + 8 * 510, place::TABLES | rights);
        write(place::TABLES + 8 * 255, next(1));
        write(place::TABLES + 8 * 511, next(1));
        write(place::TABLES + 0x1000, next(2));
        write(place::TABLES + 0x1000 + 8 * 511, next(2));
        write(place::TABLES + 0x2000, next(3));
        write(place::TABLES + 0x2000 + 8 * 511, next(4));
        for (n, frame) in [(511, place::CODE), (510, place::DATA), (509, place::STACK)] {
            write(place::EDGE_PT + 8 * n, frame | rights);
        }
        // 2 MiB at 2 MiB: most of it is beyond RAM.
        write(place::TABLES + 0x2008, 0x20_0000 | rights | pte::PS);
        write(place::TABLES + 0x2010, rights | pte::PS);
        for n in 0..0x1ff {
            write(place::PT + 8 * n, (n * PAGE_SIZE) | rights);
        }
        write(place::PT + 8 * 0x1ff, 0xfee0_0000 | rights);
        for (n, descriptor) in GDT.into_iter().enumerate() {
            write(place::GDT + 8 + 8 * n as u64, descriptor);
        }
        // RSP0 to RSP2, IST1 to IST7: at TSS + 4 and TSS + 36, not aligned.
        let mut tss = [0u8; 104];
        for n in 0..3 {
            tss[4 + 8 * n..12 + 8 * n].copy_from_slice(&place::RSP0.to_le_bytes());
        }
        for n in 0..7 {
            let top = if n == 0 { place::IST1 } else { place::RSP0 };
            tss[36 + 8 * n..44 + 8 * n].copy_from_slice(&top.to_le_bytes());
        }
        for (n, eight) in tss.chunks_exact(8).enumerate() {
            write(
                place::TSS + 8 * n as u64,
                u64::from_le_bytes(eight.try_into().unwrap()),
            );
        }
    }

    fn write_handler(&self, vector: u8, ist: u8, dpl: u8, what: Handler, machine: &mut Machine) {
        let at = place::HANDLERS + 16 * u64::from(vector);
        let has_code = matches!(vector, 8 | 10..=14 | 17 | 21);
        let mut body: Vec<u8> = Vec::new();
        if has_code && !matches!(what, Handler::Bytes(_)) {
            body.extend([0x48, 0x83, 0xc4, 8]); // add rsp, 8
        }
        match what {
            Handler::Skip => body.extend([0x48, 0x83, 0x04, 0x24, 1, 0x48, 0xcf]), // add [rsp], 1; iretq
            Handler::Return | Handler::Absent => body.extend([0x48, 0xcf]),
            Handler::Halt => body.push(0xf4),
            Handler::Jump(to) => {
                let from = at + body.len() as u64 + 5;
                let to = place::CODE + 8 * u64::from(to);
                body.push(0xe9);
                body.extend((to.wrapping_sub(from) as u32).to_le_bytes());
            }
            Handler::Bytes(bytes) => body.extend(bytes),
        }
        let present = if what == Handler::Absent { 0 } else { 0x8000 };
        let low = at & 0xffff
            | 8 << 16
            | (u64::from(ist & 7) | present | 0xe00 | u64::from(dpl & 3) << 13) << 32
            | (at >> 16 & 0xffff) << 48;
        let gate = place::IDT + 16 * u64::from(vector);
        machine.write_physical(PhysAddr(gate), &low.to_le_bytes());
        machine.write_physical(PhysAddr(at), &body);
    }

    fn registers(&self) -> CpuState {
        let mut r = CpuState::long_mode();
        r.gpr = self.gpr;
        let linear = self.mode == Mode::Kernel64 || self.mode == Mode::User64;
        let origin = if linear && self.origin != 0 {
            self.origin
        } else {
            place::CODE
        };
        r.rip = origin.wrapping_add(self.start.into());
        r.rflags = self.rflags & !rflags::VM | rflags::FIXED;
        r.cr3 = place::TABLES;
        r.cr0 ^= self.cr0 & (cr0::MP | cr0::EM | cr0::TS | cr0::WP | cr0::AM | cr0::NE);
        r.cr4 |= self.cr4
            & (cr4::PGE
                | cr4::UMIP
                | cr4::FSGSBASE
                | cr4::OSXSAVE
                | cr4::SMEP
                | cr4::SMAP
                | cr4::PKE
                | cr4::PCIDE
                | cr4::DE
                | cr4::TSD
                | cr4::PCE);
        r.cr4 ^= self.cr4 & (cr4::OSFXSR | cr4::OSXMMEXCPT);
        r.msr.efer |= self.efer & (efer::SCE | efer::NXE);
        r.msr.star = 0x001b_0008 << 32;
        r.msr.lstar = place::CODE + 0x40;
        r.msr.cstar = place::CODE + 0x80;
        r.msr.sfmask = self.efer >> 32;
        r.gdtr = TableRegister {
            base: place::GDT,
            limit: 0x7f,
        };
        r.idtr = TableRegister {
            base: place::IDT,
            limit: 0xfff,
        };
        r.tr = Segment {
            selector: 0x30,
            base: place::TSS,
            limit: 0x67,
            attr: Segment::P | 11 << 8,
        };
        let (cs, ss, dpl) = match self.mode {
            Mode::Kernel64 => (Segment::flat_code64(8, 0), 0x10, 0),
            Mode::User64 => (Segment::flat_code64(0x2b, 3), 0x23, 3),
            Mode::User32 => (Segment::flat_code32(0x1b, 3), 0x23, 3),
            Mode::User16 => (sixteen(Segment::flat_code32(0x53, 3)), 0x23, 3),
            Mode::Kernel32 => (Segment::flat_code32(0x40, 0), 0x10, 0),
            Mode::Kernel16 => (sixteen(Segment::flat_code32(0x48, 0)), 0x10, 0),
        };
        r.cpl = dpl;
        *r.segment_mut(SegReg::Cs) = cs;
        for n in [SegReg::Es, SegReg::Ss, SegReg::Ds, SegReg::Fs, SegReg::Gs] {
            *r.segment_mut(n) = Segment::flat_data(ss, dpl);
        }
        if !r.is_64bit() {
            for value in &mut r.gpr {
                *value &= 0xffff_ffff;
            }
        }
        r.dr = self.dr;
        // L, G, R/W and LEN; never GD, which is tried with MOV DR.
        r.dr7 = self.dr7 & 0xffff_00ff | dr7::FIXED;
        r.pkru = self.pkru;
        r
    }

    /// The machine before its first instruction.
    pub fn machine(&self) -> Machine {
        let config = MachineConfig {
            ram_size: place::RAM,
            cpu: self.model(),
            max_insns: self.max_insns,
            ..MachineConfig::default()
        };
        let mut machine = Machine::new(config).expect("a machine");
        self.write_tables(&mut |at, value| {
            machine.write_physical(PhysAddr(at), &value.to_le_bytes());
        });
        for vector in 0..=255 {
            self.write_handler(vector, 0, 3, self.handler, &mut machine);
        }
        for &(vector, ist, dpl, what) in &self.handlers {
            self.write_handler(vector, ist, dpl, what, &mut machine);
        }
        let mut code = self.code.concat();
        code.truncate((place::CODE_END - place::CODE) as usize);
        machine.write_physical(PhysAddr(place::CODE), &code);
        for &(at, bits) in &self.flips {
            let at = PhysAddr((u64::from(at) % place::RAM) & !7);
            let mut old = [0; 8];
            machine.read_physical(at, &mut old);
            let new = u64::from_le_bytes(old) ^ bits;
            machine.write_physical(at, &new.to_le_bytes());
        }
        let cpu = machine.cpu_mut();
        cpu.regs = self.registers();
        cpu.tlb.forget();
        let injections = self.schedule.iter().map(|text| {
            let injection: Injection = text.parse().expect("an injection");
            resolve(injection, &NoSymbols).expect("no symbols")
        });
        machine.set_schedule(injections.collect());
        machine
    }
}

const fn sixteen(s: Segment) -> Segment {
    Segment {
        attr: s.attr & !Segment::DB,
        ..s
    }
}

struct NoSymbols;

impl SymbolResolver for NoSymbols {
    fn resolve(&self, _: &str) -> Option<VirtAddr> {
        None
    }
}

/// What a run's events come to.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Told {
    pub instructions: u64,
    /// FNV-1a over the events of instructions.
    pub instruction_hash: u64,
    /// Number and hash of all other events, stops and console lines aside: those depend on how
    /// often a run was started.
    pub others: u64,
    pub other_hash: u64,
}

/// Counts and hashes events, and keeps the first ones for messages.
#[derive(Clone)]
pub struct Listener {
    pub told: Rc<RefCell<Told>>,
    pub first: Rc<RefCell<Vec<String>>>,
    pub classes: EventClass,
    pub keep: usize,
}

impl Listener {
    pub fn new(classes: EventClass) -> Self {
        Self {
            told: Rc::default(),
            first: Rc::default(),
            classes,
            keep: 0,
        }
    }
}

impl Listener {
    fn keep(&self, event: &Event) {
        if self.first.borrow().len() < self.keep {
            self.first.borrow_mut().push(format!("{event:?}"));
        }
    }
}

impl Told {
    fn mix(&mut self, event: &Event, at: u64, value: u64) {
        let place = event.at.icount ^ u64::from(event.at.sub) << 32;
        for word in [place, event.rip.0, at, value] {
            self.other_hash = (self.other_hash ^ word).wrapping_mul(0x100_0000_01b3);
        }
    }
}

fn fnv(hash: &mut u64, text: &str) {
    for byte in text.bytes() {
        *hash = (*hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
}

impl EventSink for Listener {
    fn event(&mut self, event: &Event) -> std::io::Result<()> {
        let mut told = self.told.borrow_mut();
        match &event.kind {
            EventKind::Insn { bytes, .. } => {
                told.instructions += 1;
                let text = format!("{} {} {} {bytes}", event.at, event.rip, event.cpl);
                fnv(&mut told.instruction_hash, &text);
                self.keep(event);
            }
            // REP makes millions of these.
            EventKind::Io { port, value, .. } => {
                told.others += 1;
                told.mix(event, u64::from(*port), value.0);
                self.keep(event);
            }
            EventKind::Mmio { address, value, .. } => {
                told.others += 1;
                told.mix(event, address.0, value.0);
                self.keep(event);
            }
            EventKind::Stop { .. } | EventKind::Console { .. } | EventKind::Mem { .. } => {}
            _ => {
                told.others += 1;
                let text = format!("{event:?}");
                fnv(&mut told.other_hash, &text);
                self.keep(event);
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> std::io::Result<()> {
        Ok(())
    }

    fn classes(&self) -> EventClass {
        self.classes
    }
}
