//! One case's initial state as plain data, and the two machines built of it.

use iretrace::arch::state::gpr;
use iretrace::arch::{CpuModel, CpuState, Segment, TableRegister, Vendor};
use iretrace::system::{Cpu, InterruptShadow};
use iretrace::trace::EventClass;

use super::bus::RamBus;
use super::manual::{Frames, Memory, Model};
use super::pages::{At, PageSpec, ROOT, pages, peek, poke, ram};
use super::tables::{MENU, named};

/// GDT or LDT.
#[derive(Clone, Debug)]
pub struct Table {
    pub base: At,
    pub limit: u32,
    /// By menu index: A is set.
    pub accessed: u64,
    /// Bits of menu entries that are inverted.
    pub flips: Vec<(usize, u32)>,
}

/// An IDT gate.
#[derive(Clone, Copy, Debug)]
pub struct GateSpec {
    pub selector: u16,
    pub offset: At,
    pub ist: u8,
    /// S and type: 0x0e or 0x0f.
    pub kind: u8,
    pub dpl: u8,
    pub present: bool,
}

/// The TSS that TR names.
#[derive(Clone, Debug)]
pub struct Tss {
    pub selector: u16,
    pub base: At,
    pub limit: u32,
    /// RSP0 to RSP2, then IST1 to IST7.
    pub stacks: Vec<At>,
}

/// What runs.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    pub cpl: u8,
    pub cs: u16,
    pub ss: u16,
    /// ES, DS, FS, GS.
    pub data: [u16; 4],
    pub rip: u64,
    pub rsp: At,
    /// In compatibility mode: RSP counts from SS.base, and these are its bits above SP.
    pub high_sp: u64,
    pub rflags: u64,
}

/// Bits of control registers, and the processor's model.
#[derive(Clone, Copy, Debug)]
pub struct Modes {
    pub amd: bool,
    pub flip_unblock_knob: bool,
    pub set_a_on_failed_walk: bool,
    pub frames: Frames,
    pub la57: bool,
    pub wp: bool,
    pub am: bool,
    pub smep: bool,
    pub smap: bool,
    pub pke: bool,
    pub pkru: u32,
    pub quiet: bool,
    pub gd: bool,
    pub dr6: u64,
    pub nmi_pending: bool,
    pub nmi_blocked: bool,
    pub halted: bool,
    pub shadow: u8,
}

/// A case.
#[derive(Clone, Debug)]
pub struct World {
    pub modes: Modes,
    pub context: Context,
    pub gdt: Table,
    pub ldt: Table,
    pub ldt_usable: bool,
    pub idt_base: At,
    pub idt_limit: u16,
    pub gates: Vec<(u8, GateSpec)>,
    pub tss: Tss,
    pub pages: Vec<PageSpec>,
    /// Quadwords of the tables, and the bits of them that are inverted.
    pub noise: Vec<(At, u64)>,
    /// An IRET frame: the size of its slots, their values.
    pub frame: Option<(u8, [u64; 5])>,
}

/// The emulator's machine and the model's.
pub struct Both {
    pub cpu: Cpu,
    pub bus: RamBus,
    pub model: Model,
}

impl World {
    pub fn build(&self) -> Both {
        let la57 = self.modes.la57;
        let regs = self.regs();
        let mut all = pages(&self.pages, la57);
        self.fill_tables(&mut all);
        if let Some((size, slots)) = self.frame {
            let ss = &regs.seg[2];
            let mut at = regs.gpr[gpr::RSP];
            if regs.seg[1].attr & Segment::L == 0 {
                let mask = if ss.attr & Segment::DB != 0 {
                    0xffff_ffff
                } else {
                    0xffff
                };
                at = ss.base.wrapping_add(at & mask);
            }
            let mut bytes = Vec::new();
            for slot in slots {
                bytes.extend_from_slice(&slot.to_le_bytes()[..usize::from(size)]);
            }
            bytes.resize(40, 0xa5);
            for (i, chunk) in bytes.chunks_exact(8).enumerate() {
                let value = chunk.iter().rev().fold(0, |v, &b| v << 8 | u64::from(b));
                poke(&mut all, at.wrapping_add(8 * i as u64), value);
            }
        }
        let (ram, leaves) = ram(&all, la57);

        let vendor = if self.modes.amd {
            Vendor::Amd
        } else {
            Vendor::Intel
        };
        let mut cpu_model = CpuModel::of(vendor);
        cpu_model.knobs.iret_fault_unblocks_nmi ^= self.modes.flip_unblock_knob;
        cpu_model.knobs.set_a_on_failed_walk = self.modes.set_a_on_failed_walk;
        cpu_model.knobs.frame_writes_atomic = self.modes.frames.atomic;
        cpu_model.knobs.frame_pushes_implicit = self.modes.frames.implicit;
        cpu_model.knobs.tss_rsp_checked = self.modes.frames.rsp_checked;
        let model = Model {
            regs: regs.clone(),
            memory: Memory::new(all),
            nmi_pending: self.modes.nmi_pending,
            nmi_blocked: self.modes.nmi_blocked,
            amd: self.modes.amd,
            frames: self.modes.frames,
            iret_fault_unblocks: !self.modes.amd ^ self.modes.flip_unblock_knob,
        };
        let mut cpu = Cpu::new(regs, cpu_model);
        cpu.nmi.pending = self.modes.nmi_pending;
        cpu.nmi.blocked = self.modes.nmi_blocked;
        cpu.halted = self.modes.halted;
        cpu.shadow = match self.modes.shadow {
            0 => InterruptShadow::None,
            1 => InterruptShadow::Sti,
            _ => InterruptShadow::MovSs,
        };
        let wanted = if self.modes.quiet {
            EventClass::empty()
        } else {
            EventClass::all()
        };
        Both {
            cpu,
            bus: RamBus {
                ram,
                wanted,
                events: Vec::new(),
                leaves,
                stray: None,
            },
            model,
        }
    }

    fn regs(&self) -> CpuState {
        let m = &self.modes;
        let la57 = m.la57;
        let c = &self.context;
        let mut r = CpuState::long_mode();
        for (i, g) in r.gpr.iter_mut().enumerate() {
            *g = 0x1111_1111_1111_1111 * i as u64;
        }
        let bit = |on: bool, n: u32| u64::from(on) << n;
        r.cr0 = r.cr0 & !(1 << 16) | bit(m.wp, 16) | bit(m.am, 18);
        r.cr4 |= bit(la57, 12) | bit(m.smep, 20) | bit(m.smap, 21) | bit(m.pke, 22);
        r.cr3 = ROOT;
        r.cr2 = 0x5a5a_5a5a;
        r.pkru = m.pkru;
        r.msr.efer |= 1 << 11;
        r.dr6 |= m.dr6;
        r.dr7 |= bit(m.gd, 13);
        r.cpl = c.cpl;
        r.rip = c.rip;
        r.rflags = c.rflags;
        r.seg[1] = loaded(c.cs);
        r.seg[2] = loaded(c.ss);
        for (i, s) in [0, 3, 4, 5].into_iter().zip(c.data) {
            r.seg[i] = loaded(s);
        }
        // FS.base and GS.base are MSRs.
        r.seg[4].base = 0xffff_8880_0000_1000;
        r.seg[5].base = 0x7777_0000;
        let rsp = c.rsp.linear(la57);
        r.gpr[gpr::RSP] = if r.seg[1].attr & Segment::L != 0 {
            rsp
        } else {
            let offset = rsp.wrapping_sub(r.seg[2].base) & 0xffff_ffff;
            if r.seg[2].attr & Segment::DB != 0 {
                offset
            } else {
                offset & 0xffff | c.high_sp & 0xffff_0000
            }
        };
        r.gdtr = TableRegister {
            base: self.gdt.base.linear(la57),
            limit: self.gdt.limit as u16,
        };
        r.ldtr = Segment {
            selector: 0x98,
            base: self.ldt.base.linear(la57),
            limit: self.ldt.limit,
            attr: if self.ldt_usable { 0x8200 } else { 0x0200 },
        };
        r.idtr = TableRegister {
            base: self.idt_base.linear(la57),
            limit: self.idt_limit,
        };
        r.tr = Segment {
            selector: self.tss.selector,
            base: self.tss.base.linear(la57),
            limit: self.tss.limit,
            attr: 0x8b00,
        };
        r
    }

    fn fill_tables(&self, pages: &mut [super::pages::Page]) {
        let la57 = self.modes.la57;
        for (table, first) in [(&self.ldt, 1), (&self.gdt, 0)] {
            for (i, mut d) in MENU.into_iter().enumerate().skip(first) {
                if d >> 44 & 1 == 1 {
                    d |= (table.accessed >> i & 1) << 40;
                }
                for &(_, bit) in table.flips.iter().filter(|f| f.0 == i) {
                    d ^= 1 << bit;
                }
                let at = table.base.linear(la57);
                poke(pages, at.wrapping_add(8 * (i - first) as u64), d);
            }
        }
        let tss = self.tss.base.linear(la57);
        for (i, stack) in self.tss.stacks.iter().enumerate() {
            let offset = if i < 3 { 4 + 8 * i } else { 36 + 8 * (i - 3) };
            poke(pages, tss.wrapping_add(offset as u64), stack.linear(la57));
        }
        for &(vector, g) in &self.gates {
            let offset = g.offset.linear(la57);
            let low = offset & 0xffff
                | u64::from(g.selector) << 16
                | u64::from(g.ist) << 32
                | u64::from(g.kind & 0x1f) << 40
                | u64::from(g.dpl & 3) << 45
                | u64::from(g.present) << 47
                | (offset & 0xffff_0000) << 32;
            let at = self
                .idt_base
                .linear(la57)
                .wrapping_add(16 * u64::from(vector));
            poke(pages, at, low);
            poke(pages, at.wrapping_add(8), offset >> 32);
        }
        for &(at, bits) in &self.noise {
            let at = at.linear(la57);
            let old = (0..8).fold(0, |v, i| v | peek(pages, at + i) << (8 * i));
            poke(pages, at, old ^ bits);
        }
    }
}

/// A segment register as an earlier load from sound tables left it.
fn loaded(selector: u16) -> Segment {
    if selector & 0xfffc == 0 {
        return Segment {
            selector,
            base: 0,
            limit: 0,
            attr: 0,
        };
    }
    super::manual::hidden(named(selector) | 1 << 40, selector)
}
