//! The checks of one delivery, in the order of SDM vol. 2, INT n (IA-32E-MODE paths), up to and
//! with the writing of the frame.
//!
//! ```text
//!  top (a multiple of 16)
//!  -8   SS        zero-extended
//!  -16  RSP
//!  -24  RFLAGS
//!  -32  CS        zero-extended
//!  -40  RIP
//!  -48  error code, for the events that have one
//! ```

use super::{Bus, Cpu, PendingEvent};
use crate::arch::bits::rflags;
use crate::arch::error_code::{self, ext};
use crate::arch::gate::GATE_SIZE;
use crate::arch::{
    Access, AccessKind, Exception, Gate, Hex, PAGE_SIZE, PhysAddr, Segment, Selector, Vector,
    VirtAddr, tss,
};
use crate::trace::FrameValues;

/// A delivery whose frame is written: nothing can fail any more.
pub(super) struct Prepared {
    pub cs: Segment,
    pub new_cpl: u8,
    pub ist: u8,
    pub handler: VirtAddr,
    pub interrupt_gate: bool,
    /// The frame's lowest address: the new RSP.
    pub frame: VirtAddr,
    /// 40, or 48 with an error code.
    pub len: u8,
    pub pushed: FrameValues,
}

const SYSTEM_READ: Access = Access::implicit(AccessKind::Read);

/// Makes every check and writes the frame.
pub(super) fn prepare(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    event: &PendingEvent,
) -> Result<Prepared, Exception> {
    let ext = ext(event.kind);
    let gate = read_gate(cpu, bus, event, ext)?;
    let (cs, descriptor) = read_code_segment(cpu, bus, gate.selector(), ext)?;
    let new_cpl = if descriptor.is_conforming() {
        cpu.regs.cpl
    } else {
        descriptor.dpl()
    };
    let rsp = new_stack(cpu, bus, gate.ist(), new_cpl, ext)?;
    let handler = VirtAddr(gate.offset());
    if !handler.is_canonical(cpu.regs.la57()) {
        return Err(Exception::gp(ext));
    }

    let r = &cpu.regs;
    let rf = if event.pushed_rf(r.rflags & rflags::RF != 0) {
        rflags::RF
    } else {
        0
    };
    let pushed = FrameValues {
        rip: event.saved_rip,
        cs: Hex(u64::from(r.cs().selector)),
        rflags: Hex((r.rflags & !rflags::RF) | rf),
        rsp: VirtAddr(r.rsp()),
        ss: Hex(u64::from(r.ss().selector)),
    };
    let frame = Frame::new(rsp & !15, &pushed, event.error_code);
    let knobs = cpu.model.knobs;
    let access = if knobs.frame_pushes_implicit {
        Access::implicit(AccessKind::Write)
    } else {
        Access::explicit(AccessKind::Write, new_cpl)
    };
    let places = frame.probe(cpu, bus, access, ext)?;
    if !knobs.frame_writes_atomic {
        frame.write(bus, places);
    }
    let descriptor = cpu.set_accessed(bus, cs.0, descriptor)?;
    if knobs.frame_writes_atomic {
        frame.write(bus, places);
    }
    Ok(Prepared {
        cs: descriptor.segment(cs.with_rpl(new_cpl).0),
        new_cpl,
        ist: gate.ist(),
        handler,
        interrupt_gate: gate.is_interrupt(),
        frame: frame.lowest(),
        len: frame.len as u8,
        pushed,
    })
}

/// Steps of the gate: IDT limit, the read, type, DPL for software interrupts, P.
fn read_gate(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    event: &PendingEvent,
    ext: u32,
) -> Result<Gate, Exception> {
    let code = error_code::gate(event.vector, ext);
    let offset = u64::from(event.vector.0) * GATE_SIZE;
    if offset + (GATE_SIZE - 1) > u64::from(cpu.regs.idtr.limit) {
        return Err(Exception::gp(code));
    }
    let at = VirtAddr(cpu.regs.idtr.base.wrapping_add(offset));
    if !is_canonical(cpu, at, GATE_SIZE) {
        return Err(Exception::gp(code));
    }
    let mut bytes = [0; GATE_SIZE as usize];
    cpu.read(bus, at, &mut bytes, SYSTEM_READ, false)?;
    let gate = Gate::from_bytes(bytes);
    if !gate.is_interrupt_or_trap() || (event.kind.is_software() && gate.dpl() < cpu.regs.cpl) {
        return Err(Exception::gp(code));
    }
    if !gate.present() {
        return Err(Exception::with_code(Vector::NP, code));
    }
    Ok(gate)
}

/// Steps of the handler's code segment: null, limit, type, DPL, L and D, P.
fn read_code_segment(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    cs: Selector,
    ext: u32,
) -> Result<(Selector, crate::arch::Descriptor), Exception> {
    if cs.is_null() {
        return Err(Exception::gp(ext));
    }
    let code = error_code::selector(cs, ext);
    let Some(d) = cpu.read_descriptor(bus, cs.0)? else {
        return Err(Exception::gp(code));
    };
    if !d.is_code() || d.dpl() > cpu.regs.cpl || !d.is_long() || d.is_big() {
        return Err(Exception::gp(code));
    }
    if !d.present() {
        return Err(Exception::with_code(Vector::NP, code));
    }
    Ok((cs, d))
}

/// The stack pointer before alignment: from the TSS by IST or for an inner level, else RSP.
fn new_stack(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    ist: u8,
    new_cpl: u8,
    ext: u32,
) -> Result<u64, Exception> {
    let offset = if ist != 0 {
        tss::ist_offset(ist)
    } else if new_cpl < cpu.regs.cpl {
        tss::rsp_offset(new_cpl)
    } else {
        return Ok(cpu.regs.rsp());
    };
    let tr = cpu.regs.tr;
    let at = VirtAddr(tr.base.wrapping_add(u64::from(offset)));
    if offset + 7 > tr.limit || !is_canonical(cpu, at, 8) {
        let code = error_code::selector(Selector(tr.selector), ext);
        return Err(Exception::with_code(Vector::TS, code));
    }
    let rsp = cpu.read_u64(bus, at, SYSTEM_READ, false)?;
    // Before or after alignment is the same: the low bits have no part in the canonical form.
    if cpu.model.knobs.tss_rsp_checked && !VirtAddr(rsp).is_canonical(cpu.regs.la57()) {
        return Err(Exception::ss(ext));
    }
    Ok(rsp)
}

fn is_canonical(cpu: &Cpu, at: VirtAddr, len: u64) -> bool {
    let la57 = cpu.regs.la57();
    at.is_canonical(la57) && VirtAddr(at.0.wrapping_add(len - 1)).is_canonical(la57)
}

/// The bytes of a frame and their place.
struct Frame {
    /// From the frame's lowest address up, at the end of the array.
    bytes: [u8; 48],
    len: usize,
    top: u64,
}

impl Frame {
    fn new(top: u64, values: &FrameValues, error_code: Option<u32>) -> Self {
        let slots = [
            u64::from(error_code.unwrap_or(0)),
            values.rip.0,
            values.cs.0,
            values.rflags.0,
            values.rsp.0,
            values.ss.0,
        ];
        let mut bytes = [0; 48];
        for (place, slot) in bytes.chunks_exact_mut(8).zip(slots) {
            place.copy_from_slice(&slot.to_le_bytes());
        }
        Self {
            bytes,
            len: if error_code.is_some() { 48 } else { 40 },
            top,
        }
    }

    fn lowest(&self) -> VirtAddr {
        VirtAddr(self.top.wrapping_sub(self.len as u64))
    }

    /// Checks all slots in the order of the pushes; the places of the highest and of the lowest.
    /// Slots are aligned, so only the first one in each page can be the first to fail. Where frames
    /// are not written as a whole, what lies above the page of the lowest slot is written.
    fn probe(
        &self,
        cpu: &mut Cpu,
        bus: &mut dyn Bus,
        access: Access,
        ext: u32,
    ) -> Result<[PhysAddr; 2], Exception> {
        let la57 = cpu.regs.la57();
        let slot = |cpu: &mut Cpu, bus: &mut dyn Bus, at: VirtAddr| {
            if !at.is_canonical(la57) || cpu.is_separated(at, access) {
                return Err(Exception::ss(ext));
            }
            cpu.translate(bus, at, access)
        };
        let highest = VirtAddr(self.top.wrapping_sub(8));
        let lowest = self.lowest();
        let high = slot(cpu, bus, highest)?;
        if lowest.page() == highest.page() {
            let down = highest.0.wrapping_sub(lowest.0);
            return Ok([high, PhysAddr(high.0.wrapping_sub(down))]);
        }
        // The first push into the lower page is its last quadword.
        let first = VirtAddr(highest.page().0.wrapping_sub(8));
        if !cpu.model.knobs.frame_writes_atomic {
            bus.phys_write(high.page(), self.parts().1);
        }
        let low = slot(cpu, bus, first)?;
        let down = first.0.wrapping_sub(lowest.0);
        Ok([high, PhysAddr(low.0.wrapping_sub(down))])
    }

    /// Writes the frame at the places that [`probe`](Self::probe) gave.
    fn write(&self, bus: &mut dyn Bus, [high, low]: [PhysAddr; 2]) {
        let (lower, upper) = self.parts();
        bus.phys_write(low, lower);
        if !upper.is_empty() {
            bus.phys_write(high.page(), upper);
        }
    }

    /// The bytes in the page of the lowest slot, and those in the page above it.
    fn parts(&self) -> (&[u8], &[u8]) {
        let bytes = &self.bytes[48 - self.len..];
        let left = PAGE_SIZE - (self.lowest().0 & (PAGE_SIZE - 1));
        bytes.split_at(bytes.len().min(left as usize))
    }
}
