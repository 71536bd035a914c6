//! SYSCALL and SYSRET (SDM vol. 2, SYSCALL and SYSRET; APM vol. 3, SYSCALL and SYSRET).

use super::{Bus, Cpu};
use crate::arch::bits::{efer, rflags};
use crate::arch::state::gpr;
use crate::arch::{Exception, SegReg, Segment, Trap, Vendor, VirtAddr};
use crate::trace::{EventClass, EventKind};

/// What SYSRET takes from R11: RF, VM and reserved bits are cleared.
const SYSRET_FLAGS: u64 = 0x003c_7fd7;

/// Executes SYSCALL, whose next instruction is at `next_rip`. There is no stack access, and
/// RSP and GS stay.
///
/// # Errors
/// #UD: EFER.SCE = 0, or not in 64-bit mode (AMD: nor in compatibility mode).
pub fn syscall(cpu: &mut Cpu, bus: &mut dyn Bus, next_rip: u64) -> Result<(), Trap> {
    let r = &mut cpu.regs;
    let compatibility = !r.is_64bit();
    let legal = r.msr.efer & efer::LMA != 0
        && (!compatibility || cpu.model.vendor == Vendor::Amd)
        && r.msr.efer & efer::SCE != 0;
    if !legal {
        return Err(Exception::ud().into());
    }
    let target = if compatibility {
        r.msr.cstar
    } else {
        r.msr.lstar
    };
    r.gpr[gpr::RCX] = next_rip;
    r.gpr[gpr::R11] = r.rflags & !rflags::RF;
    r.rflags = (r.rflags & !r.msr.sfmask & !rflags::RF) | rflags::FIXED;
    let cs = (r.msr.star >> 32) as u16 & !3;
    *r.segment_mut(SegReg::Cs) = Segment::flat_code64(cs, 0);
    *r.segment_mut(SegReg::Ss) = Segment::flat_data(cs.wrapping_add(8), 0);
    r.cpl = 0;
    r.rip = target;
    if bus.wants(EventClass::SYSCALL) {
        bus.emit(EventKind::Syscall {
            target: VirtAddr(target),
        });
    }
    Ok(())
}

/// Executes SYSRET with `operand_size` 8 (REX.W: to 64-bit mode) or 4 (to compatibility mode).
/// It does not touch the NMI-blocking bit.
///
/// # Errors
/// #UD: EFER.SCE = 0 or not in 64-bit mode; #GP(0): CPL is not 0, or RCX is not canonical
/// (where the processor checks that: the fault is then at CPL 0, on the stack the kernel left).
pub fn sysret(cpu: &mut Cpu, bus: &mut dyn Bus, operand_size: u8) -> Result<(), Trap> {
    let r = &mut cpu.regs;
    if !r.is_64bit() || r.msr.efer & efer::SCE == 0 {
        return Err(Exception::ud().into());
    }
    if r.cpl != 0 {
        return Err(Exception::gp(0).into());
    }
    let long = operand_size == 8;
    let target = r.gpr[gpr::RCX];
    let checked = long && cpu.model.knobs.sysret_checks_rcx;
    if checked && !VirtAddr(target).is_canonical(r.la57()) {
        return Err(Exception::gp(0).into());
    }
    let base = (r.msr.star >> 48) as u16;
    let (cs, target) = if long {
        (
            Segment::flat_code64(base.wrapping_add(16) | 3, 3),
            VirtAddr(target),
        )
    } else {
        (
            Segment::flat_code32(base | 3, 3),
            VirtAddr(target & 0xffff_ffff),
        )
    };
    r.rflags = (r.gpr[gpr::R11] & SYSRET_FLAGS) | rflags::FIXED;
    *r.segment_mut(SegReg::Cs) = cs;
    *r.segment_mut(SegReg::Ss) = Segment::flat_data(base.wrapping_add(8) | 3, 3);
    r.cpl = 3;
    r.rip = target.0;
    if bus.wants(EventClass::SYSCALL) {
        bus.emit(EventKind::Sysret { target, new_cpl: 3 });
    }
    let (ss, rsp) = (r.ss().selector, VirtAddr(r.rsp()));
    let resumed = cpu.activations.note_control(target, cs.selector, rsp, ss);
    if let Some(id) = resumed
        && bus.wants(EventClass::IRET)
    {
        bus.emit(EventKind::Resumed { id });
    }
    Ok(())
}
