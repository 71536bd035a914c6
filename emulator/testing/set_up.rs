//! How a running case comes to the moment at which its events arrive.

use super::build::{self, Made};
use super::case::{Case, Until};
use super::context::Mode;
use super::error::{NO_STUB, TestError};
use super::observed::Observed;
use super::place::Place;
use super::raise::Raise;
use super::run::named;
use super::session::{Left, Session};
use super::tape::Tape;
use crate::arch::{Vector, VirtAddr};
use crate::machine::{StopReason, Until as MachineUntil};
use crate::schedule::{Stimulus, resolve};
use crate::trace::Source;

impl Session {
    pub(super) fn new(case: &Case) -> Result<Self, TestError> {
        let Made {
            machine,
            mapper,
            lazy,
        } = build::make(case)?;
        let raised = case.raise.resolve("raise", &case.program)?;
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
            left: Left::new(case.limit),
            raised,
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
            && !case.program.has_stub(name)
        {
            return Err(TestError::setup(format!("until call {name}"), NO_STUB));
        }
        for injection in &case.injections {
            let resolved = resolve(injection.clone(), &case.program)
                .map_err(|e| TestError::setup("inject", e.to_string()))?;
            self.machine.inject(resolved);
        }
        self.before = self.machine.cpu().activations.last_serial();
        self.left = Left::new(case.limit);
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
            v if v.0 < 32 => Raise::exception_of(v),
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
                format!("{} cannot be delivered there", named(vector)),
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
                    format!("the handler never comes to {place}: {}", end.describe()),
                ));
            }
        }
        Err(TestError::setup(
            "context",
            format!("the handler never comes to {place}"),
        ))
    }
}
