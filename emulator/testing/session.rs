//! A case that is running: one boundary after another, with somebody who takes notes.

use iced_x86::{Decoder, DecoderOptions, Instruction};

use super::arrange::Rights;
use super::case::{Case, Until};
use super::layout;
use super::mapper::{Mapper, pages};
use super::observed::{Observed, Root};
use super::place::Place;
use super::tape::Tape;
use crate::arch::{CpuState, Vector, VirtAddr};
use crate::machine::{Machine, Mark, StopReason, Until as MachineUntil};
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
    pub(super) mapper: Mapper,
    pub(super) lazy: Vec<(u64, u64, Rights)>,
    pub(super) tape: Tape,
    pub(super) seen: Observed,
    /// The place of [`Until::Place`].
    pub(super) until: Option<VirtAddr>,
    /// The last delivery of the set-up.
    pub(super) before: u64,
    /// The moment at which the case's own events arrive.
    pub(super) mark: Option<Mark>,
    /// Instructions that may still retire.
    pub(super) left: u64,
    /// What closures could not do: of what part, and why not.
    pub(super) trouble: Option<(&'static str, &'static str)>,
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
            .find(|(from, size, _)| pages(*from, *size).any(|p| p == page));
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
