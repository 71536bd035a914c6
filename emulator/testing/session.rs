//! A case that is running: one boundary after another, with somebody who takes notes.

use iced_x86::{Decoder, DecoderOptions, Instruction};

use super::build::{self, Made};
use super::case::{Case, Rights, Until};
use super::context::Mode;
use super::error::TestError;
use super::layout;
use super::mapper::Mapper;
use super::observed::{Observed, Root};
use super::place::Place;
use super::register::Register;
use super::tape::Tape;
use crate::arch::{CpuState, Vector, VirtAddr};
use crate::machine::{Machine, Mark, StopReason, Until as MachineUntil};
use crate::schedule::{Stimulus, resolve};
use crate::trace::{Event, EventKind, Source};

/// How a run ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// What was interrupted goes on.
    Returned,
    /// The place was reached.
    Reached(Place),
    /// The stub was called.
    Called(String),
    /// An event for which there is no handler.
    Stray(Vector),
    /// The machine stopped.
    Stopped(StopReason),
    /// As many instructions as were allowed.
    Limit,
}

/// A running case.
pub struct Session {
    pub(super) case: Case,
    pub(super) machine: Machine,
    mapper: Mapper,
    lazy: Vec<(u64, u64, Rights)>,
    pub(super) tape: Tape,
    pub(super) seen: Observed,
    /// The place of [`Until::Place`].
    until: Option<VirtAddr>,
    /// The last delivery of the set-up.
    before: u64,
    /// The moment at which the case's own events arrive.
    pub(super) mark: Option<Mark>,
    /// Instructions that may still retire.
    pub(super) left: u64,
    /// What closures could not do.
    pub(super) trouble: Option<String>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("case", &self.case.name)
            .field("machine", &self.machine)
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn new(case: &Case) -> Result<Self, TestError> {
        let Made {
            machine,
            mapper,
            lazy,
        } = build::make(case)?;
        let mut session = Self {
            case: case.clone(),
            machine,
            mapper,
            lazy,
            tape: Tape::default(),
            seen: Observed::default(),
            until: None,
            before: u64::MAX,
            mark: None,
            left: case.limit,
            trouble: None,
        };
        session.machine.add_sink(Box::new(session.tape.clone()));
        session.set_up()?;
        Ok(session)
    }

    /// SYSCALL, and the handlers that are entered first.
    fn set_up(&mut self) -> Result<(), TestError> {
        let case = self.case.clone();
        if case.context.mode == Mode::SyscallGap {
            self.step();
            if self.machine.cpu().regs.cpl != 0 {
                return Err(TestError::setup(
                    "context",
                    "SYSCALL did not enter the kernel",
                ));
            }
        }
        for (vector, at) in &case.context.inside {
            self.enter(*vector)?;
            if let Some(place) = at {
                let at = case.program.resolve("context", place)?;
                self.run_to(at, place)?;
            }
        }
        if let Until::Place(place) = &case.until {
            self.until = Some(case.program.resolve("until", place)?);
        }
        if let Until::Call(name) = &case.until
            && !case.program.stubs().iter().any(|s| s.0 == *name)
        {
            return Err(TestError::setup(
                format!("until call {name}"),
                "it is no stub: the code defines it, or never refers to it",
            ));
        }
        for injection in &case.injections {
            let resolved = resolve(injection.clone(), &case.program)
                .map_err(|e| TestError::setup("inject", e.to_string()))?;
            self.machine.inject(resolved);
        }
        self.before = self.machine.cpu().activations.last_serial();
        self.left = case.limit;
        self.seen = Observed::default();
        self.mark = Some(self.machine.mark());
        Ok(())
    }

    /// Delivers an event of the set-up.
    fn enter(&mut self, vector: Vector) -> Result<(), TestError> {
        let serial = self.machine.cpu().activations.last_serial();
        let event = match vector {
            Vector::NMI => Stimulus::Nmi,
            Vector::MC => Stimulus::MachineCheck,
            v if v.0 < 32 => super::Raise::exception(v).events()[0],
            v => Stimulus::Irq(v),
        };
        self.machine.raise(event, Source::Schedule);
        let stop = self.machine.advance(MachineUntil::Boundary);
        let delivered = self.machine.cpu().activations.innermost();
        if stop != StopReason::Until
            || self.machine.cpu().activations.last_serial() == serial
            || delivered.is_none_or(|d| d.id.vector != vector)
        {
            return Err(TestError::setup(
                "context",
                format!(
                    "{} cannot be delivered there",
                    vector
                        .mnemonic()
                        .map_or_else(|| format!("{:#x}", vector.0), str::to_owned)
                ),
            ));
        }
        Ok(())
    }

    fn run_to(&mut self, at: VirtAddr, place: &Place) -> Result<(), TestError> {
        for _ in 0..self.case.limit {
            if self.machine.cpu().regs.rip == at.0 {
                return Ok(());
            }
            if let Some(end) = self.step() {
                return Err(TestError::setup(
                    "context",
                    format!("the handler never comes to {place}: {end:?}"),
                ));
            }
        }
        Err(TestError::setup(
            "context",
            format!("the handler never comes to {place}"),
        ))
    }

    /// The machine.
    #[must_use]
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The machine, to change.
    pub const fn machine_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// What has been noted so far.
    #[must_use]
    pub const fn seen(&self) -> &Observed {
        &self.seen
    }

    /// A register's value.
    #[must_use]
    pub fn register(&self, register: Register) -> u64 {
        register.get(&self.machine.cpu().regs)
    }

    /// Sets a register.
    pub fn set_register(&mut self, register: Register, value: u64) {
        register.set(&mut self.machine.cpu_mut().regs, value);
    }

    /// Reads memory through the page tables. `false`: not all of it is mapped.
    pub fn read(&self, at: u64, bytes: &mut [u8]) -> bool {
        self.machine.peek_linear(VirtAddr(at), bytes)
    }

    /// The quadword at `at`; `None` where nothing is mapped.
    #[must_use]
    pub fn quad(&self, at: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(at, &mut bytes).then(|| u64::from_le_bytes(bytes))
    }

    /// Writes memory through the page tables, whatever the rights. `false`: not all is mapped.
    pub fn write(&mut self, at: u64, bytes: &[u8]) -> bool {
        build::poke(&mut self.machine, at, bytes)
    }

    /// Gives pages rights; those without a frame get one. `false`: there is no RAM for more.
    pub fn map(&mut self, at: u64, size: u64, rights: Rights) -> bool {
        let done = self
            .mapper
            .provide(&mut self.machine, at, size.min(1 << 30), rights);
        self.forget_translations();
        if done.is_err() {
            self.trouble = Some("there is no RAM for more pages".to_owned());
        }
        done.is_ok()
    }

    /// Makes pages not present.
    pub fn unmap(&mut self, at: u64, size: u64) {
        // Tables that are not there need none.
        let _ = self
            .mapper
            .withdraw(&mut self.machine, at, size.min(1 << 30));
        self.forget_translations();
    }

    /// As INVLPG would, after a change from outside.
    fn forget_translations(&mut self) {
        self.machine.cpu_mut().tlb.forget();
    }

    /// Raises what the case raises, and runs to an end.
    pub fn play(&mut self) -> End {
        for event in self.case.raise.events().to_vec() {
            self.machine.raise(event, Source::Schedule);
        }
        self.go_on()
    }

    /// Runs to an end.
    pub fn go_on(&mut self) -> End {
        loop {
            if let Some(end) = self.step() {
                let stop = match &end {
                    End::Stopped(stop) => stop.clone(),
                    _ => StopReason::Until,
                };
                self.machine.end_checks(&stop);
                return end;
            }
        }
    }

    /// The instruction at RIP.
    pub(super) fn instruction(&self) -> Option<Instruction> {
        self.instruction_at(self.machine.cpu().regs.rip)
    }

    /// The instruction at `rip`.
    pub(super) fn instruction_at(&self, rip: u64) -> Option<Instruction> {
        let mut bytes = [0; 15];
        let in_page = ((0x1000 - rip % 0x1000) as usize).min(15);
        let len = if self.read(rip, &mut bytes) {
            15
        } else if self.read(rip, &mut bytes[..in_page]) {
            in_page
        } else {
            return None;
        };
        let insn = Decoder::with_ip(64, &bytes[..len], rip, DecoderOptions::NONE).decode();
        (!insn.is_invalid()).then_some(insn)
    }

    /// Whether an address belongs to the code under test, and not to the harness.
    pub(super) fn is_own(&self, rip: u64) -> bool {
        self.case
            .program
            .stub_at(rip & !(layout::STUB_SIZE - 1))
            .is_none()
            && !(layout::STRAY..layout::QUIET + 0x1000).contains(&rip)
    }

    /// Goes on by one delivery, instruction, or iteration of REP; the end, if it is one.
    pub fn step(&mut self) -> Option<End> {
        let before = self.machine.cpu().regs.clone();
        let blocked = self.machine.cpu().nmi.blocked;
        let at = self.machine.boundary();
        let insn = if self.seen.root.is_some() {
            let insn = self.instruction();
            self.before_instruction(&before, insn.as_ref());
            insn
        } else {
            None
        };
        let from = self.tape.len();
        let stop = self.machine.advance(MachineUntil::Boundary);
        let retired = self.machine.boundary().icount != at.icount;
        if retired {
            self.left = self.left.saturating_sub(1);
            if let Some(insn) = &insn {
                self.after_instruction(&before, insn);
            }
        }
        let events = self.tape.since(from);
        for event in &events {
            self.event(event, &before, blocked);
        }
        self.seen.boundaries += 1;
        self.seen.last_rip = before.rip;
        if stop != StopReason::Until {
            self.note_return();
            return Some(End::Stopped(stop));
        }
        self.arrive()
    }

    fn event(&mut self, event: &Event, before: &CpuState, blocked: bool) {
        match &event.kind {
            EventKind::Delivered(d) => {
                if self.seen.root.is_none() && d.id.serial > self.before {
                    self.seen.root = Some(Root {
                        delivery: d.clone(),
                        before: before.clone(),
                        nmi_blocked: blocked,
                    });
                }
                if self.seen.deliveries.len() < super::observed::MOST {
                    self.seen.deliveries.push(d.clone());
                }
                if let (Vector::PF, Some(cr2)) = (d.id.vector, d.cr2) {
                    self.seen.cr2_loaded_by = (self.seen.deliveries.len() > 1).then(|| {
                        format!(
                            "the page fault at {}",
                            self.case.program.name_of(d.pushed.rip.0)
                        )
                    });
                    self.fill(cr2.0);
                    if let Some(act) = self.case.on_fault.clone() {
                        act(self, d);
                    }
                }
            }
            EventKind::Cr2Read { value } => self.cr2_read(event, value.0),
            _ => {}
        }
    }

    /// A lazy page becomes present.
    fn fill(&mut self, at: u64) {
        let page = at & !0xfff;
        let found = self
            .lazy
            .iter()
            .find(|(from, size, _)| super::mapper::pages(*from, *size).any(|p| p == page));
        if let Some(rights) = found.map(|l| l.2) {
            self.map(page, 1, rights);
        }
    }

    /// Notes that what was interrupted is resumed.
    fn note_return(&mut self) {
        let Some(serial) = self.seen.root.as_ref().map(|r| r.delivery.id.serial) else {
            return;
        };
        if self.seen.resumed.is_none() && self.machine.is_resumed(serial) {
            self.seen.resumed = Some(self.machine.cpu().regs.clone());
            self.seen.resumed_blocked = self.machine.cpu().nmi.blocked;
        }
    }

    /// The machine has come to a boundary: whether this is the end.
    fn arrive(&mut self) -> Option<End> {
        let (rip, rsp) = {
            let regs = &self.machine.cpu().regs;
            (regs.rip, regs.rsp())
        };
        if self.before == u64::MAX {
            // Still the set-up.
            return self.stray(rip);
        }
        if self.seen.root.is_some() && self.seen.resumed.is_none() {
            self.note_return();
            if self.seen.resumed.is_none() {
                self.seen.note_stack(rsp, rip);
            }
        }
        if self.seen.resumed.is_some() && self.case.until == Until::Return {
            return Some(End::Returned);
        }
        if let Some(end) = self.stray(rip) {
            return Some(end);
        }
        if self.until == Some(VirtAddr(rip))
            && let Until::Place(place) = &self.case.until
        {
            return Some(End::Reached(place.clone()));
        }
        if let Some(end) = self.called(rip) {
            return Some(end);
        }
        (self.left == 0 || self.trouble.is_some()).then_some(End::Limit)
    }

    fn stray(&self, rip: u64) -> Option<End> {
        let offset = rip.wrapping_sub(layout::STRAY);
        (offset < 0x1000).then_some(End::Stray(Vector((offset / 16) as u8)))
    }
}
