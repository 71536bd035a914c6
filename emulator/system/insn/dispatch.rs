//! Executes one instruction by its microcode routine.

use iced_x86::{Code, Instruction};

use super::data_access::data_accesses;
use super::intercept::{Routine, routine};
use super::port_io::Iteration;
use super::{
    base, cache, control, counter, debug, extended, far_branch, flags, msr, near_branch, port_io,
    segment_load, segment_query, sysenter, system_segment,
};
use crate::arch::bits::rflags;
use crate::arch::{AccessKind, CpuState, Exception, Trap};
use crate::system::debug::{any_enabled, data_breakpoints, io_breakpoints};
use crate::system::iret::iret;
use crate::system::software_interrupt::{SoftwareInterrupt, software_interrupt};
use crate::system::syscall::{syscall, sysret};
use crate::system::{Bus, Cpu, InterruptShadow, PendingEvent};

/// What the caller must know of an instruction that has completed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// The shadow that the instruction leaves at the boundary after it.
    pub shadow: InterruptShadow,
    /// HLT: the processor waits for an event.
    pub halt: bool,
    /// INT n, INT3, INTO, INT1: the event to deliver now. RIP is still at the instruction.
    pub software_event: Option<PendingEvent>,
    /// One iteration of REP INS or REP OUTS is done and there are more: RIP is still at the
    /// instruction.
    pub rep_iteration: bool,
}

/// Executes `insn`, which lies at RIP and was decoded with that address. On success all registers
/// are updated, RIP and RF included, and the data and I/O breakpoints that it hit wait in
/// [`Cpu::pending_db`].
///
/// # Errors
/// [`Trap::Exception`]: nothing has changed, except A and busy bits of descriptors, and NMI
/// blocking by an IRET that faults. [`Trap::NotModelled`]: nothing has changed.
pub fn execute(cpu: &mut Cpu, bus: &mut dyn Bus, insn: &Instruction) -> Result<Outcome, Trap> {
    let Some(routine) = routine(insn.code()) else {
        return Err(not_modelled(insn));
    };
    let hits = breakpoints(&cpu.regs, insn, routine);
    let outcome = perform(cpu, bus, insn, routine)?;
    cpu.pending_db |= hits;
    // IRET loads RF; delivery pushes 0 for a software interrupt; between iterations it stays.
    let keeps_rf = routine == Routine::Iret || outcome.rep_iteration;
    if !keeps_rf && outcome.software_event.is_none() {
        cpu.regs.rflags &= !rflags::RF;
    }
    Ok(outcome)
}

/// The DR6 bits of what `insn` will hit if it completes.
fn breakpoints(regs: &CpuState, insn: &Instruction, routine: Routine) -> u64 {
    if !any_enabled(regs) {
        return 0;
    }
    let mut accesses = Vec::new();
    data_accesses(regs, insn, &mut accesses);
    match routine {
        // It notes its own.
        Routine::Iret => accesses.clear(),
        // Which stack it pushes to depends on the gate.
        Routine::FarCall => accesses.retain(|a| a.kind == AccessKind::Read),
        _ => {}
    }
    let data = accesses.iter().fold(0, |bits, a| {
        bits | data_breakpoints(regs, a.addr, u64::from(a.size), a.kind)
    });
    let ports = port_io::ports(regs, insn, routine)
        .map_or(0, |(port, size)| io_breakpoints(regs, port, size));
    data | ports
}

fn perform(
    cpu: &mut Cpu,
    bus: &mut dyn Bus,
    insn: &Instruction,
    routine: Routine,
) -> Result<Outcome, Trap> {
    let mut outcome = Outcome::default();
    match routine {
        Routine::Undefined => return Err(undefined(insn).into()),
        Routine::NotModelled => return Err(not_modelled(insn)),

        // These set RIP themselves.
        Routine::NearBranch => return near_branch::near_branch(cpu, bus, insn),
        Routine::FarJump => return far_branch::far_jump(cpu, bus, insn).map(|()| outcome),
        Routine::FarCall => return far_branch::far_call(cpu, bus, insn).map(|()| outcome),
        Routine::FarReturn => return far_branch::far_return(cpu, bus, insn).map(|()| outcome),
        Routine::Sysenter => return sysenter::sysenter(cpu).map(|()| outcome),
        Routine::Sysexit => return sysenter::sysexit(cpu, insn).map(|()| outcome),
        Routine::Iret => {
            return iret(cpu, bus, operand_size(insn)).map(|()| outcome);
        }
        Routine::Syscall => {
            return syscall(cpu, bus, insn.next_ip()).map(|()| outcome);
        }
        Routine::Sysret => {
            let size = if insn.code() == Code::Sysretq { 8 } else { 4 };
            return sysret(cpu, bus, size).map(|()| outcome);
        }
        Routine::SoftwareInterrupt => {
            outcome.software_event =
                software_interrupt(cpu, which_interrupt(insn), insn.next_ip())?;
            if outcome.software_event.is_some() {
                return Ok(outcome);
            }
        }
        Routine::Ins => outcome.rep_iteration = port_io::ins(cpu, bus, insn)? == Iteration::More,
        Routine::Outs => outcome.rep_iteration = port_io::outs(cpu, bus, insn)? == Iteration::More,

        Routine::MovSegment => outcome.shadow = segment_load::mov_segment(cpu, bus, insn)?,
        Routine::PopSegment => {
            let size = usize::from(operand_size(insn));
            outcome.shadow = segment_load::pop_segment(cpu, bus, insn, size)?;
        }
        Routine::Sti => outcome.shadow = flags::sti(cpu)?,
        Routine::Hlt => {
            flags::hlt(cpu)?;
            outcome.halt = true;
        }

        Routine::MovFromCr => control::mov_from_cr(cpu, bus, insn)?,
        Routine::MovToCr => control::mov_to_cr(cpu, bus, insn)?,
        Routine::Clts => control::clts(cpu, bus)?,
        Routine::Lmsw => control::lmsw(cpu, bus, insn)?,
        Routine::Smsw => control::smsw(cpu, bus, insn)?,
        Routine::MovFromDr => debug::mov_from_dr(cpu, insn)?,
        Routine::MovToDr => debug::mov_to_dr(cpu, bus, insn)?,
        Routine::Rdmsr => msr::rdmsr(cpu, bus)?,
        Routine::Wrmsr => msr::wrmsr(cpu, bus)?,
        Routine::Swapgs => base::swapgs(cpu, bus)?,
        Routine::FsGsBase => base::fs_gs_base(cpu, insn)?,
        Routine::Rdtsc => counter::rdtsc(cpu, bus)?,
        Routine::Rdtscp => counter::rdtscp(cpu, bus)?,
        Routine::Rdpmc => counter::rdpmc()?,
        Routine::Rdrand => counter::random(cpu, bus, insn, cpu.model.features.rdrand)?,
        Routine::Rdseed => counter::random(cpu, bus, insn, cpu.model.features.rdseed)?,
        Routine::Cpuid => extended::cpuid_insn(cpu, bus),
        Routine::Xgetbv => extended::xgetbv(cpu)?,
        Routine::Xsetbv => extended::xsetbv(cpu, bus)?,
        Routine::Rdpkru => extended::rdpkru(cpu)?,
        Routine::Wrpkru => extended::wrpkru(cpu, bus)?,
        Routine::LoadFarPointer => segment_load::load_far_pointer(cpu, bus, insn)?,
        Routine::Lldt => system_segment::lldt(cpu, bus, insn)?,
        Routine::Ltr => system_segment::ltr(cpu, bus, insn)?,
        Routine::StoreSelector => system_segment::store_selector(cpu, bus, insn)?,
        Routine::StoreTable => system_segment::store_table(cpu, bus, insn)?,
        Routine::LoadTable => system_segment::load_table(cpu, bus, insn)?,
        Routine::Lar => segment_query::lar(cpu, bus, insn)?,
        Routine::Lsl => segment_query::lsl(cpu, bus, insn)?,
        Routine::Verify => segment_query::verify(cpu, bus, insn)?,
        Routine::Cli => flags::cli(cpu)?,
        Routine::Popf => flags::popf(cpu, bus, usize::from(operand_size(insn)))?,
        Routine::Pushf => flags::pushf(cpu, bus, usize::from(operand_size(insn)))?,
        Routine::In => port_io::port_in(cpu, bus, insn)?,
        Routine::Out => port_io::port_out(cpu, bus, insn)?,
        Routine::Invlpg => cache::invlpg(cpu, bus, insn)?,
        Routine::Invpcid => cache::invpcid(cpu, bus, insn)?,
        Routine::CacheInvalidate => cache::cache_invalidate(cpu)?,
        Routine::CacheLineFlush => cache::cache_line_flush(cpu, bus, insn)?,
        Routine::AlignmentFlag => flags::alignment_flag(cpu, insn)?,
    }
    if !outcome.rep_iteration {
        cpu.regs.rip = insn.next_ip();
    }
    Ok(outcome)
}

/// The operand size in bytes of instructions that come in three.
const fn operand_size(insn: &Instruction) -> u8 {
    match insn.code() {
        Code::Iretw
        | Code::Popfw
        | Code::Pushfw
        | Code::Popw_ES
        | Code::Popw_SS
        | Code::Popw_DS
        | Code::Popw_FS
        | Code::Popw_GS => 2,
        Code::Iretq | Code::Popfq | Code::Pushfq | Code::Popq_FS | Code::Popq_GS => 8,
        _ => 4,
    }
}

fn which_interrupt(insn: &Instruction) -> SoftwareInterrupt {
    match insn.code() {
        Code::Int3 => SoftwareInterrupt::Int3,
        Code::Into => SoftwareInterrupt::Into,
        Code::Int1 => SoftwareInterrupt::Int1,
        _ => SoftwareInterrupt::Int(insn.immediate8()),
    }
}

/// The longest instruction is 15 bytes; a longer one is #GP(0), not #UD (SDM vol. 3, 6.15). The
/// decoder gives up at 15 bytes either way: an undefined one of exactly 15 is taken for longer.
fn undefined(insn: &Instruction) -> Exception {
    if insn.is_invalid() && insn.len() >= 15 {
        Exception::gp(0)
    } else {
        Exception::ud()
    }
}

fn not_modelled(insn: &Instruction) -> Trap {
    let name = format!("{:?}", insn.mnemonic()).to_lowercase();
    Trap::NotModelled(format!("{name} is not modelled"))
}
