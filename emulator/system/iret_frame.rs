//! The pops of IRET: three slots, then perhaps two more, at the current privilege level.

use super::{Bus, Cpu};
use crate::arch::bits::{cr0, rflags};
use crate::arch::{Access, AccessKind, CpuState, Exception, Segment, Vector, VirtAddr};

/// The stack as IRET reads it. Nothing is popped for good until the return is committed.
pub(super) struct FrameReader {
    /// Bytes of a slot.
    size: u64,
    /// RSP before.
    rsp: u64,
    /// Outside 64-bit mode: SS.base, the width of the stack pointer and SS.limit.
    legacy: Option<Legacy>,
    /// Slots popped.
    count: u64,
    /// All five, if they lie in one page: read at once.
    ahead: Option<[u64; 5]>,
    access: Access,
    /// #AC applies.
    aligned: bool,
    /// CS and SS as popped, upper bits included.
    pub raw_cs: u64,
    pub raw_ss: u64,
}

#[derive(Clone, Copy)]
struct Legacy {
    ss: Segment,
    mask: u64,
}

impl FrameReader {
    pub(super) fn new(regs: &CpuState, size: u8) -> Self {
        let ss = *regs.ss();
        let legacy = (!regs.is_64bit()).then_some(Legacy {
            ss,
            mask: if ss.attr & Segment::DB != 0 {
                0xffff_ffff
            } else {
                0xffff
            },
        });
        Self {
            size: u64::from(size),
            rsp: regs.rsp(),
            legacy,
            count: 0,
            ahead: None,
            access: Access::explicit(AccessKind::Read, regs.cpl),
            aligned: regs.cpl == 3 && regs.cr0 & cr0::AM != 0 && regs.rflags & rflags::AC != 0,
            raw_cs: 0,
            raw_ss: 0,
        }
    }

    /// RIP, CS and RFLAGS.
    pub(super) fn pop3(&mut self, cpu: &mut Cpu, bus: &mut dyn Bus) -> Result<[u64; 3], Exception> {
        self.read_ahead(cpu, bus)?;
        let rip = self.pop(cpu, bus)?;
        self.raw_cs = self.pop(cpu, bus)?;
        let flags = self.pop(cpu, bus)?;
        Ok([rip, self.raw_cs, flags])
    }

    /// RSP and SS.
    pub(super) fn pop2(&mut self, cpu: &mut Cpu, bus: &mut dyn Bus) -> Result<[u64; 2], Exception> {
        let rsp = self.pop(cpu, bus)?;
        self.raw_ss = self.pop(cpu, bus)?;
        Ok([rsp, self.raw_ss])
    }

    /// Reads a 64-bit frame in one piece where that cannot be told from five reads.
    fn read_ahead(&mut self, cpu: &mut Cpu, bus: &mut dyn Bus) -> Result<(), Exception> {
        let first = VirtAddr(self.rsp);
        let last = VirtAddr(self.rsp.wrapping_add(39));
        let simple = self.size == 8 && self.legacy.is_none() && !self.aligned;
        if !simple || first.page() != last.page() {
            return Ok(());
        }
        let mut bytes = [0; 40];
        cpu.read(bus, first, &mut bytes, self.access, true)?;
        let mut slots = [0; 5];
        for (slot, chunk) in slots.iter_mut().zip(bytes.as_chunks().0) {
            *slot = u64::from_le_bytes(*chunk);
        }
        self.ahead = Some(slots);
        Ok(())
    }

    fn pop(&mut self, cpu: &mut Cpu, bus: &mut dyn Bus) -> Result<u64, Exception> {
        let index = self.count;
        self.count += 1;
        if let Some(slots) = &self.ahead {
            return Ok(slots.get(index as usize).copied().unwrap_or(0));
        }
        let at = self.address(index)?;
        if self.aligned && at.0 & (self.size - 1) != 0 {
            return Err(Exception::with_code(Vector::AC, 0));
        }
        match self.size {
            8 => cpu.read_u64(bus, at, self.access, true),
            4 => cpu.read_u32(bus, at, self.access, true).map(u64::from),
            _ => cpu.read_u16(bus, at, self.access, true).map(u64::from),
        }
    }

    /// The linear address of slot `index`; #SS(0) beyond SS.limit.
    fn address(&self, index: u64) -> Result<VirtAddr, Exception> {
        let offset = self.rsp.wrapping_add(index * self.size);
        let Some(Legacy { ss, mask }) = self.legacy else {
            return Ok(VirtAddr(offset));
        };
        let offset = offset & mask;
        let last = offset + (self.size - 1);
        let limit = u64::from(ss.limit);
        let inside = if ss.attr & Segment::CONFORMING_EXPAND != 0 {
            offset > limit && last <= mask
        } else {
            last <= limit
        };
        if inside {
            Ok(VirtAddr(ss.base.wrapping_add(offset) & 0xffff_ffff))
        } else {
            Err(Exception::ss(0))
        }
    }

    /// Where RIP was popped from.
    pub(super) fn start(&self) -> VirtAddr {
        match self.legacy {
            None => VirtAddr(self.rsp),
            Some(Legacy { ss, mask }) => {
                VirtAddr(ss.base.wrapping_add(self.rsp & mask) & 0xffff_ffff)
            }
        }
    }

    /// Bytes popped so far.
    pub(super) fn popped(&self) -> u64 {
        self.count * self.size
    }

    /// RSP after the pops, when SS:RSP is not among them.
    pub(super) fn pointer_after(&self, regs: &CpuState) -> u64 {
        let after = self.rsp.wrapping_add(self.popped());
        match self.legacy {
            None => after,
            Some(_) => outer_stack(regs.rsp(), after, regs.ss()),
        }
    }
}

/// The RSP that a load of `new` gives in compatibility mode: ESP with a 32-bit stack segment, SP
/// alone with a 16-bit one, so that the upper bits of `old` leak.
pub(super) const fn outer_stack(old: u64, new: u64, ss: &Segment) -> u64 {
    if ss.attr & Segment::DB != 0 {
        new & 0xffff_ffff
    } else {
        (old & !0xffff) | (new & 0xffff)
    }
}
