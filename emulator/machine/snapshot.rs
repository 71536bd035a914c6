//! Moments of a machine, to come back to.

use std::collections::VecDeque;

use super::Machine;
use super::clock::Clock;
use super::computer::RunState;
use crate::arch::PAGE_SIZE;
use crate::check::Checks;
use crate::device::{BusSnapshot, ConsoleLines, Signal};
use crate::engine::EngineSnapshot;
use crate::schedule::ScheduleState;
use crate::system::Cpu;
use crate::trace::Event;

/// A moment: registers, FPU, devices, schedule, what the checks know, and all of RAM that is not zero.
#[derive(Clone)]
pub struct Snapshot {
    registers: Registers,
    /// Pages by rising address.
    pages: Vec<(u64, Box<[u8]>)>,
}

/// A moment without its memory.
#[derive(Clone)]
pub(super) struct Registers {
    pub(super) cpu: Cpu,
    pub(super) engine: EngineSnapshot,
    pub(super) devices: BusSnapshot,
    console: ConsoleLines,
    pub(super) output: u128,
    pub(super) schedule: ScheduleState,
    pub(super) state: RunState,
    /// What devices have signalled and the boundary has not acted on.
    pub(super) signals: VecDeque<Signal>,
    not_modelled: Option<String>,
    idle: u64,
    clock: Clock,
    pub(super) random: u64,
    pub(super) checks: Option<Box<Checks>>,
    unchecked: Vec<Event>,
}

impl Registers {
    /// Virtual time then.
    pub(super) fn now(&self) -> u64 {
        self.clock.now(self.engine.icount().wrapping_add(self.idle))
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("pages", &self.pages.len())
            .finish_non_exhaustive()
    }
}

impl Machine {
    pub(super) fn save_registers(&mut self) -> Registers {
        Registers {
            cpu: self.cpu.clone(),
            engine: self.world.engine.snapshot(),
            devices: self.world.devices.save(),
            console: self.world.console.clone(),
            output: self.world.output,
            schedule: self.schedule.clone(),
            state: self.state.clone(),
            signals: self.world.signals.clone(),
            not_modelled: self.world.not_modelled.clone(),
            idle: self.world.idle,
            clock: self.world.clock.clone(),
            random: self.world.random,
            checks: self.checks.clone(),
            unchecked: self.world.log.unchecked.clone(),
        }
    }

    fn restore_registers(&mut self, saved: &Registers) {
        self.cpu = saved.cpu.clone();
        self.world.engine.restore(&saved.engine);
        if let Err(e) = self.world.devices.restore(&saved.devices) {
            self.world.note(format!("a snapshot of other devices: {e}"));
        }
        self.world.console = saved.console.clone();
        self.world.output = saved.output;
        self.schedule = saved.schedule.clone();
        self.state = saved.state.clone();
        self.state.armed = None;
        self.world.signals = saved.signals.clone();
        self.world.not_modelled = saved.not_modelled.clone();
        self.world.idle = saved.idle;
        self.world.clock = saved.clock.clone();
        self.world.random = saved.random;
        self.checks.clone_from(&saved.checks);
        self.world.log.unchecked.clone_from(&saved.unchecked);
        self.world.tlb_stale = true;
    }

    /// The present moment, to [`restore`](Self::restore) in this machine any number of times.
    #[must_use]
    pub fn snapshot(&mut self) -> Snapshot {
        let mut pages = Vec::new();
        let mut page = [0; PAGE_SIZE as usize];
        for at in (0..self.ram().len()).step_by(PAGE_SIZE as usize) {
            if self.ram().read(at, &mut page) && page.iter().any(|&b| b != 0) {
                pages.push((at, page.into()));
            }
        }
        Snapshot {
            registers: self.save_registers(),
            pages,
        }
    }

    /// Goes back to `snapshot`, which is of this machine or of one with the same configuration.
    pub fn restore(&mut self, snapshot: &Snapshot) {
        let zero = [0; PAGE_SIZE as usize];
        let mut now = [0; PAGE_SIZE as usize];
        let mut saved = snapshot.pages.iter().peekable();
        for at in (0..self.ram().len()).step_by(PAGE_SIZE as usize) {
            let wanted: &[u8] = match saved.next_if(|p| p.0 == at) {
                Some((_, bytes)) => bytes,
                None => &zero,
            };
            if self.ram().read(at, &mut now) && now[..] != *wanted {
                self.world.engine.write_ram(at, wanted);
            }
        }
        self.restore_registers(&snapshot.registers);
    }

    /// Marks the present moment for [`rewind`](Self::rewind): from now on a page is copied before
    /// it first changes, which costs what changes and not what there is. Marks nest; each is to be
    /// [forgotten](Self::unmark) when nobody goes back to it any more.
    #[must_use]
    pub fn mark(&mut self) -> Mark {
        let moment = self.world.engine.moments();
        self.world.engine.begin_undo();
        Mark {
            moment,
            registers: self.save_registers(),
        }
    }

    /// Goes back to the newest [`mark`](Self::mark), which stays.
    pub fn rewind(&mut self, mark: &Mark) {
        self.world.engine.rewind_ram();
        self.restore_registers(&mark.registers);
    }

    /// Forgets the newest mark, and stays where it is.
    pub fn unmark(&mut self) {
        self.world.engine.end_undo();
    }
}

/// A marked moment of one machine.
#[derive(Clone)]
pub struct Mark {
    pub(super) moment: usize,
    pub(super) registers: Registers,
}

impl std::fmt::Debug for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mark").finish_non_exhaustive()
    }
}
