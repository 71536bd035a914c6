//! The state that the rules are about, and what a step raises.

use iretrace::arch::{CpuState, Segment};

use super::memory::{By, Memory};

/// A processor and its memory.
#[derive(Clone, Debug)]
pub struct Model {
    pub regs: CpuState,
    pub memory: Memory,
    pub nmi_pending: bool,
    pub nmi_blocked: bool,
    pub amd: bool,
    pub frames: Frames,
    /// IRET unblocks NMIs as it starts, not as it ends.
    pub iret_fault_unblocks: bool,
}

/// What the manuals leave open about a delivery's frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frames {
    /// All pushes are checked before the first is made.
    pub atomic: bool,
    /// They are accesses of the system's, not of the new CPL's.
    pub implicit: bool,
    /// A stack pointer of the TSS is checked, and not only where it pushes.
    pub rsp_checked: bool,
}

/// An exception, and the step of the list that raised it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Raised {
    pub vector: u8,
    pub code: Option<u32>,
    /// CR2.
    pub address: Option<u64>,
    pub step: &'static str,
}

pub const GP: u8 = 13;
pub const SS: u8 = 12;
pub const NP: u8 = 11;
pub const TS: u8 = 10;

impl Raised {
    pub fn new(vector: u8, code: u32, step: &'static str) -> Self {
        Self {
            vector,
            code: Some(code),
            address: None,
            step,
        }
    }

    pub fn page_fault(code: u32, address: u64) -> Self {
        Self {
            vector: 14,
            code: Some(code),
            address: Some(address),
            step: "",
        }
    }

    /// The same #PF, from this step.
    pub fn at(self, step: &'static str) -> Self {
        Self { step, ..self }
    }
}

/// A segment descriptor, field by field (SDM vol. 3, 3.4.5).
#[derive(Clone, Copy, Debug)]
pub struct Seg {
    pub raw: u64,
    pub at: u64,
    pub base: u64,
    pub limit: u64,
    pub code: bool,
    pub conforming: bool,
    pub writable: bool,
    pub dpl: u8,
    pub p: bool,
    pub l: bool,
    pub d: bool,
    pub accessed: bool,
}

impl Seg {
    pub fn new(raw: u64, at: u64) -> Self {
        let bit = |n: u32| raw >> n & 1 == 1;
        let limit = raw & 0xffff | raw >> 32 & 0xf_0000;
        Self {
            raw,
            at,
            base: raw >> 16 & 0xff_ffff | raw >> 32 & 0xff00_0000,
            limit: if bit(55) { limit << 12 | 0xfff } else { limit },
            code: bit(44) && bit(43),
            conforming: bit(44) && bit(43) && bit(42),
            writable: bit(44) && !bit(43) && bit(41),
            dpl: (raw >> 45 & 3) as u8,
            p: bit(47),
            l: bit(53),
            d: bit(54),
            accessed: bit(40),
        }
    }
}

impl Model {
    pub fn canonical(&self, at: u64) -> bool {
        let sign = if self.regs.cr4 >> 12 & 1 == 1 { 56 } else { 47 };
        let top = at >> sign;
        top == 0 || top == u64::MAX >> sign
    }

    /// All of `len` bytes are.
    pub fn all_canonical(&self, at: u64, len: u64) -> bool {
        (0..len).all(|i| self.canonical(at.wrapping_add(i)))
    }

    /// The descriptor of a non-null selector; `None`: beyond its table, or out of the canonical
    /// space.
    pub fn descriptor(&mut self, selector: u16) -> Result<Option<Seg>, Raised> {
        let (base, limit) = if selector & 4 == 0 {
            (self.regs.gdtr.base, u64::from(self.regs.gdtr.limit))
        } else if self.regs.ldtr.attr >> 15 & 1 == 1 {
            (self.regs.ldtr.base, u64::from(self.regs.ldtr.limit))
        } else {
            return Ok(None);
        };
        let index = u64::from(selector >> 3);
        if index * 8 + 7 > limit {
            return Ok(None);
        }
        let at = base.wrapping_add(index * 8);
        if !self.all_canonical(at, 8) {
            return Ok(None);
        }
        let raw = self.read(at, 8, By::System)?;
        Ok(Some(Seg::new(raw, at)))
    }

    /// Loading a descriptor sets its A, which may be a write. The manuals do not say how wide it
    /// is, nor where in the list it comes: here the upper doubleword, when all checks are made.
    pub fn mark_accessed(&mut self, mut seg: Seg) -> Result<Seg, Raised> {
        if !seg.accessed {
            let at = seg.at.wrapping_add(4);
            self.check(at, 4, true, By::System)?;
            seg.raw |= 1 << 40;
            seg.accessed = true;
            self.store(at, 4, seg.raw >> 32);
        }
        Ok(seg)
    }
}

/// What a segment register holds after loading the descriptor `raw` through `selector`.
pub fn hidden(raw: u64, selector: u16) -> Segment {
    let seg = Seg::new(raw, 0);
    Segment {
        selector,
        base: seg.base,
        limit: seg.limit as u32,
        attr: (raw >> 32) as u32 & 0x00f0_ff00,
    }
}
