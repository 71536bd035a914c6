//! IRET, IRETD and IRETQ in IA-32e mode (SDM vol. 2, IRET/IRETD/IRETQ), and the unblocking of
//! NMIs (SDM vol. 3, 6.7.1).

use super::debug::data_breakpoints;
use super::iret_frame::{FrameReader, outer_stack};
use super::{Bus, Cpu};
use crate::arch::bits::{efer, rflags};
use crate::arch::state::gpr;
use crate::arch::{
    AccessKind, CpuState, Descriptor, Exception, Hex, SegReg, Segment, Selector, Trap, Vector,
    VirtAddr,
};
use crate::trace::{EventClass, EventKind, FrameValues, Return, UnblockedBy};

/// Executes IRET with an operand size of 2, 4 or 8 bytes; RIP is at the instruction.
///
/// On success RFLAGS holds the loaded RF, which suppresses instruction breakpoints at the target,
/// and the loaded TF; whether a single-step trap follows depends on TF before it.
/// Data breakpoints hit by its pops wait in [`Cpu::pending_db`].
///
/// # Errors
/// The exception of the first check that fails: then nothing has changed, except that NMIs
/// may be unblocked already (Intel).
pub fn iret(cpu: &mut Cpu, bus: &mut dyn Bus, operand_size: u8) -> Result<(), Trap> {
    if cpu.regs.msr.efer & efer::LMA == 0 {
        return Err(Trap::NotModelled("IRET outside IA-32e mode".into()));
    }
    let blocked = cpu.nmi.blocked;
    if cpu.model.knobs.iret_fault_unblocks_nmi {
        cpu.nmi.blocked = false;
    }
    match check(cpu, bus, operand_size) {
        Ok(target) => {
            cpu.nmi.blocked = false;
            if blocked {
                unblocked(cpu, bus, Some((&target, operand_size)));
            }
            commit(cpu, bus, operand_size, &target);
            Ok(())
        }
        Err(e) => {
            if blocked && !cpu.nmi.blocked {
                unblocked(cpu, bus, None);
            }
            Err(e.into())
        }
    }
}

/// A return that every check has let pass.
struct Target {
    /// Where RIP was popped from, linear.
    slot: VirtAddr,
    /// Bytes popped.
    len: u64,
    popped: FrameValues,
    /// The RIP and RSP that are loaded.
    rip: u64,
    rsp: u64,
    cs: Segment,
    /// `None`: SS stays.
    ss: Option<Segment>,
}

/// Every check, in order; changes A bits of the two descriptors at most.
fn check(cpu: &mut Cpu, bus: &mut dyn Bus, size: u8) -> Result<Target, Exception> {
    if cpu.regs.rflags & rflags::NT != 0 {
        return Err(Exception::gp(0));
    }
    let was_64bit = cpu.regs.is_64bit();
    let mut frame = FrameReader::new(&cpu.regs, size);
    let [rip, cs, flags] = frame.pop3(cpu, bus)?;
    let cs = Selector(cs as u16);
    let code = check_code_segment(cpu, bus, cs)?;
    let new_cpl = cs.rpl();
    let to_64bit = code.is_long();

    let outer = was_64bit || new_cpl > cpu.regs.cpl;
    let (rsp, ss, stack) = if outer {
        let [rsp, ss] = frame.pop2(cpu, bus)?;
        let ss = Selector(ss as u16);
        let stack = check_stack_segment(cpu, bus, ss, new_cpl, to_64bit)?;
        (rsp, ss, stack)
    } else {
        let ss = Selector(cpu.regs.ss().selector);
        (frame.pointer_after(&cpu.regs), ss, None)
    };

    let new_rip = if to_64bit { rip } else { rip & 0xffff_ffff };
    let in_segment = if to_64bit {
        VirtAddr(new_rip).is_canonical(cpu.regs.la57())
    } else {
        new_rip <= u64::from(code.limit())
    };
    if !in_segment {
        return Err(Exception::gp(0));
    }

    let code = cpu.set_accessed(bus, cs.0, code)?;
    let stack = match stack {
        Some(d) => Some(cpu.set_accessed(bus, ss.0, d)?),
        None => None,
    };
    let ss_segment = match (outer, stack) {
        (true, Some(d)) => Some(d.segment(ss.0)),
        (true, None) => Some(Segment::null(ss.0)),
        (false, _) => None,
    };
    let new_rsp = match &ss_segment {
        Some(segment) if !to_64bit => outer_stack(cpu.regs.rsp(), rsp, segment),
        _ => rsp,
    };
    Ok(Target {
        slot: frame.start(),
        len: frame.popped(),
        popped: FrameValues {
            rip: VirtAddr(rip),
            cs: Hex(frame.raw_cs),
            rflags: Hex(flags),
            rsp: VirtAddr(rsp),
            ss: Hex(if outer { frame.raw_ss } else { u64::from(ss.0) }),
        },
        rip: new_rip,
        rsp: new_rsp,
        cs: code.segment(cs.0),
        ss: ss_segment,
    })
}

/// CS: null, table, type, RPL and DPL, L and D, then P.
pub(super) fn check_code_segment(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    cs: Selector,
) -> Result<Descriptor, Exception> {
    if cs.is_null() {
        return Err(Exception::gp(0));
    }
    let code = cs.error_code();
    let Some(d) = cpu.read_descriptor(bus, cs.0)? else {
        return Err(Exception::gp(code));
    };
    let rpl = cs.rpl();
    let dpl_ok = if d.is_conforming() {
        d.dpl() <= rpl
    } else {
        d.dpl() == rpl
    };
    if !d.is_code() || rpl < cpu.regs.cpl || !dpl_ok || (d.is_long() && d.is_big()) {
        return Err(Exception::gp(code));
    }
    if !d.present() {
        return Err(Exception::with_code(Vector::NP, code));
    }
    Ok(d)
}

/// SS: null, table, RPL, type, DPL, then P. `None`: a null selector that is allowed.
pub(super) fn check_stack_segment(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    ss: Selector,
    new_cpl: u8,
    to_64bit: bool,
) -> Result<Option<Descriptor>, Exception> {
    if ss.is_null() {
        return if to_64bit && new_cpl != 3 && ss.rpl() == new_cpl {
            Ok(None)
        } else {
            Err(Exception::gp(0))
        };
    }
    let code = ss.error_code();
    let Some(d) = cpu.read_descriptor(bus, ss.0)? else {
        return Err(Exception::gp(code));
    };
    if ss.rpl() != new_cpl || !d.is_writable() || d.dpl() != new_cpl {
        return Err(Exception::gp(code));
    }
    if !d.present() {
        return Err(Exception::ss(code));
    }
    Ok(Some(d))
}

/// Loads the interrupted context.
fn commit(cpu: &mut Cpu, bus: &mut dyn Bus, size: u8, target: &Target) {
    let hits = data_breakpoints(&cpu.regs, target.slot, target.len, AccessKind::Read);
    cpu.pending_db |= hits;
    let r = &mut cpu.regs;
    let old_cpl = r.cpl;
    let new_cpl = Selector(target.cs.selector).rpl();
    let loaded = loaded_flags(size, old_cpl, r.iopl());
    // RF and VM are either loaded or cleared.
    let kept = r.rflags & !loaded & !(rflags::RF | rflags::VM);
    r.rflags = kept | (target.popped.rflags.0 & loaded) | rflags::FIXED;
    *r.segment_mut(SegReg::Cs) = target.cs;
    if let Some(ss) = target.ss {
        *r.segment_mut(SegReg::Ss) = ss;
    }
    r.rip = target.rip;
    r.gpr[gpr::RSP] = target.rsp;
    r.cpl = new_cpl;
    if new_cpl > old_cpl {
        for segment in [SegReg::Es, SegReg::Fs, SegReg::Gs, SegReg::Ds] {
            drop_inner_segment(r, segment, new_cpl);
        }
    }
    let reached = FrameValues {
        rip: VirtAddr(target.rip),
        rsp: VirtAddr(target.rsp),
        ..target.popped
    };
    let returned = cpu.activations.returned(target.slot, size == 8, &reached);
    if bus.wants(EventClass::IRET) {
        let mnemonic = match size {
            8 => "iretq",
            4 => "iretd",
            _ => "iretw",
        };
        bus.emit(EventKind::Iret(Return {
            mnemonic: mnemonic.into(),
            frame: target.slot,
            popped: target.popped,
            of: returned.of,
            resumes: returned.resumes,
            new_cpl,
        }));
    }
}

/// The flags that IRET loads.
const fn loaded_flags(size: u8, cpl: u8, iopl: u8) -> u64 {
    let mut mask = rflags::STATUS | rflags::TF | rflags::DF | rflags::NT;
    if size >= 4 {
        mask |= rflags::RF | rflags::AC | rflags::ID;
    }
    if cpl <= iopl {
        mask |= rflags::IF;
    }
    if cpl == 0 {
        mask |= rflags::IOPL;
        if size >= 4 {
            mask |= rflags::VIF | rflags::VIP;
        }
    }
    mask
}

/// A data segment register that the outer level may not keep becomes null. FS.base and GS.base
/// stay: a base that was loaded by WRMSR survives.
pub(super) fn drop_inner_segment(regs: &mut CpuState, which: SegReg, cpl: u8) {
    let s = regs.segment_mut(which);
    let conforming = Segment::CODE | Segment::CONFORMING_EXPAND;
    let is_conforming = s.attr & conforming == conforming;
    let inner = !is_conforming && s.dpl() < cpl;
    if Selector(s.selector).is_null() || inner {
        s.selector = 0;
        s.limit = 0;
        s.attr = 0;
    }
}

/// NMIs have become unblocked by an IRET of this operand size to `target`, or by one that faulted.
fn unblocked(cpu: &mut Cpu, bus: &mut dyn Bus, target: Option<(&Target, u8)>) {
    let by = match target {
        None => UnblockedBy::FaultingIret,
        Some((t, size))
            if cpu
                .activations
                .is_return_of_blocker(t.slot, size == 8, &t.popped) =>
        {
            UnblockedBy::NmiReturn
        }
        Some(_) => UnblockedBy::OtherIret,
    };
    if bus.wants(EventClass::NMI) {
        let activations = &cpu.activations;
        bus.emit(EventKind::NmiUnblocked {
            by,
            in_handler: activations.innermost().map(|a| a.id),
            blocked_by: activations.blocker().map(|a| a.id),
        });
    }
    cpu.nmi.blocked_by = None;
    cpu.activations.clear_blocker();
}
