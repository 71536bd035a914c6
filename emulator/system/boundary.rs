//! What is taken at a boundary between two instructions, and what holds the rest
//! (SDM vol. 3, 6.9 "Prioritization of Concurrent Events" and 6.8.3).

use super::debug::instruction_breakpoints;
use super::{Cpu, InterruptShadow};
use crate::arch::bits::rflags;
use crate::arch::{Knobs, VirtAddr};
use crate::trace::HeldBy;

/// What may be taken at a boundary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// #MC.
    MachineCheck = 0,
    /// #DB for the previous instruction: single step, data and I/O breakpoints.
    DebugTrap = 1,
    /// The NMI.
    Nmi = 2,
    /// A maskable interrupt.
    Interrupt = 3,
    /// #DB before the next instruction.
    InstructionBreakpoint = 4,
}

/// Why something that waits is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hold {
    /// NMIs are blocked.
    Blocked,
    /// IF is 0.
    InterruptFlag,
    /// The MOV SS shadow.
    MovSsShadow,
    /// The STI shadow.
    StiShadow,
    /// Something that goes before it is taken.
    Priority,
}

impl Hold {
    /// The word of the trace; it has none for a clear IF.
    #[must_use]
    pub const fn held_by(self) -> Option<HeldBy> {
        Some(match self {
            Self::Blocked => HeldBy::Blocked,
            Self::MovSsShadow => HeldBy::MovSsShadow,
            Self::StiShadow => HeldBy::StiShadow,
            Self::Priority => HeldBy::Priority,
            Self::InterruptFlag => return None,
        })
    }
}

/// Everything that decides at a boundary.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Waiting {
    /// A machine check.
    pub machine_check: bool,
    /// #DB conditions of the previous instruction.
    pub debug_trap: bool,
    /// The NMI latch.
    pub nmi: bool,
    /// NMIs are blocked.
    pub nmi_blocked: bool,
    /// A maskable interrupt that the APIC lets through.
    pub interrupt: bool,
    /// RFLAGS.IF.
    pub interrupt_flag: bool,
    /// An instruction breakpoint at RIP, RF considered.
    pub instruction_breakpoint: bool,
    /// The interrupt shadow.
    pub shadow: InterruptShadow,
    /// HLT waits: there is no next instruction to break on.
    pub halted: bool,
}

impl Waiting {
    /// What waits for `cpu`; the machine knows of interrupts and machine checks.
    #[must_use]
    pub fn of(cpu: &Cpu, interrupt: bool, machine_check: bool) -> Self {
        let r = &cpu.regs;
        let base = if r.is_64bit() { 0 } else { r.cs().base };
        let next = VirtAddr(base.wrapping_add(r.rip));
        Self {
            machine_check,
            debug_trap: cpu.pending_db != 0,
            nmi: cpu.nmi.pending,
            nmi_blocked: cpu.nmi.blocked,
            interrupt,
            interrupt_flag: r.rflags & rflags::IF != 0,
            instruction_breakpoint: instruction_breakpoints(r, next) != 0,
            shadow: cpu.shadow,
            halted: cpu.halted,
        }
    }
}

/// What is taken, and for everything that waits what holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Decision {
    /// What is delivered now. `None`: the next instruction runs, or HLT goes on.
    pub taken: Option<Taken>,
    /// By [`Taken`].
    held: [Option<Hold>; 5],
}

impl Decision {
    /// What holds `event`; `None` if it does not wait or is taken.
    #[must_use]
    pub const fn hold(&self, event: Taken) -> Option<Hold> {
        self.held[event as usize]
    }
}

/// One row of the priority list.
struct Row {
    event: Taken,
    waits: fn(&Waiting) -> bool,
    /// Its own mask, that goes before the shadows.
    masked: fn(&Waiting) -> Option<Hold>,
    /// Whether a MOV SS shadow holds it (SDM vol. 3, 6.8.3).
    mov_ss: fn(&Knobs) -> bool,
    /// Whether an STI shadow holds it (SDM vol. 2, STI).
    sti: fn(&Knobs) -> bool,
}

const fn never(_: &Knobs) -> bool {
    false
}

const fn always(_: &Knobs) -> bool {
    true
}

/// In order of priority: classes 1, 4, 5, 6 and 7 of SDM vol. 3, table 6-2.
#[rustfmt::skip]
const ROWS: [Row; 5] = [
    Row {
        event: Taken::MachineCheck,
        waits: |w| w.machine_check,
        masked: |_| None,
        mov_ss: never,
        sti: never,
    },
    Row {
        event: Taken::DebugTrap,
        waits: |w| w.debug_trap,
        masked: |_| None,
        mov_ss: always,
        sti: never,
    },
    Row {
        event: Taken::Nmi,
        waits: |w| w.nmi,
        masked: |w| w.nmi_blocked.then_some(Hold::Blocked),
        mov_ss: |k| k.movss_shadow_blocks_nmi,
        sti: |k| k.sti_shadow_blocks_nmi,
    },
    Row {
        event: Taken::Interrupt,
        waits: |w| w.interrupt,
        masked: |w| (!w.interrupt_flag).then_some(Hold::InterruptFlag),
        mov_ss: always,
        sti: always,
    },
    Row {
        event: Taken::InstructionBreakpoint,
        waits: |w| w.instruction_breakpoint && !w.halted,
        masked: |_| None,
        mov_ss: always,
        sti: never,
    },
];

/// Decides what is taken at a boundary. After it is delivered there is a new boundary, at the
/// handler's entry, with its own decision.
#[must_use]
pub fn decide(waiting: &Waiting, knobs: &Knobs) -> Decision {
    let mut decision = Decision::default();
    for row in ROWS.iter().filter(|row| (row.waits)(waiting)) {
        let shadow = match waiting.shadow {
            InterruptShadow::MovSs if (row.mov_ss)(knobs) => Some(Hold::MovSsShadow),
            InterruptShadow::Sti if (row.sti)(knobs) => Some(Hold::StiShadow),
            _ => None,
        };
        let hold = (row.masked)(waiting)
            .or(shadow)
            .or(decision.taken.map(|_| Hold::Priority));
        if hold.is_none() {
            decision.taken = Some(row.event);
        }
        decision.held[row.event as usize] = hold;
    }
    decision
}
