//! A case that is running: one boundary after another, with somebody who takes notes.

use iced_x86::{Decoder, DecoderOptions, Instruction};

use super::arrange::Rights;
use super::case::{Case, Until};
use super::layout;
use super::mapper::{Mapper, bounds};
use super::observed::{Observed, Root, keep};
use super::place::Place;
use super::tape::Tape;
use crate::arch::{CpuState, Vector, VirtAddr};
use crate::machine::{Machine, Mark, StopReason, Until as MachineUntil};
use crate::schedule::Stimulus;
use crate::trace::{Event, EventKind, Return, Source};

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
    /// More events are open at once than are followed, so that the one under test is forgotten.
    TooDeep,
}

/// What a run may still do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    /// Instructions that may retire.
    instructions: u64,
    /// Boundaries to which no instruction has retired: deliveries, iterations of REP.
    others: u64,
}

impl Left {
    /// Boundaries without an instruction, for each instruction that is allowed.
    const OTHERS: u64 = 16;

    pub(super) const fn new(limit: u64) -> Self {
        Self {
            instructions: limit,
            others: limit.saturating_mul(Self::OTHERS),
        }
    }

    const fn pass(&mut self, retired: bool) {
        if retired {
            self.instructions = self.instructions.saturating_sub(1);
        } else {
            self.others = self.others.saturating_sub(1);
        }
    }

    const fn is_over(self) -> bool {
        self.instructions == 0 || self.others == 0
    }
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
    /// The moment before the delivery under test.
    pub(super) mark: Option<Mark>,
    /// What it may still do.
    pub(super) left: Left,
    /// What the case raises.
    pub(super) raised: Vec<Stimulus>,
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
        for &event in &self.raised {
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
        let forgotten = self.machine.cpu().activations.forgotten();
        let insn = if self.seen.root.is_some() {
            let insn = self.instruction();
            self.before_instruction(&before, insn.as_ref());
            insn
        } else {
            None
        };
        self.tape.settle();
        let stop = self.machine.advance(MachineUntil::Boundary);
        let events = self.tape.fresh();
        let retired = self.machine.boundary().icount != at.icount;
        self.left.pass(retired);
        if let Some(insn) = &insn {
            if retired || is_iteration(insn, &events) {
                self.note_writes(&before, insn);
            }
            if retired {
                self.after_instruction(&before, insn);
            }
        }
        for event in &events {
            self.event(event, &before, blocked);
        }
        if retired && self.seen.root.is_none() {
            self.mark_again();
        }
        self.seen.boundaries += 1;
        self.seen.last_rip = before.rip;
        if self.is_root_forgotten(forgotten) {
            return Some(End::TooDeep);
        }
        if stop != StopReason::Until {
            self.note_return();
            return Some(End::Stopped(stop));
        }
        self.arrive(events.iter().any(|e| resumes(&e.kind)))
    }

    /// Whether the delivery under test is forgotten, and not resumed: another one, beyond those that
    /// can be open, has pushed it out. So many were `forgotten` before this boundary.
    fn is_root_forgotten(&self, forgotten: u64) -> bool {
        let activations = &self.machine.cpu().activations;
        activations.forgotten() != forgotten
            && self.seen.resumed.is_none()
            && self
                .seen
                .root
                .as_ref()
                .is_some_and(|r| !activations.is_unresumed(r.delivery.id.serial))
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
                keep(
                    &mut self.seen.deliveries,
                    &mut self.seen.left_out.deliveries,
                    d.clone(),
                );
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
        let found = self.lazy.iter().find(|(from, size, _)| {
            let (first, last) = bounds(*from, *size);
            (first..=last).contains(&page)
        });
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
            self.seen.resumed_fpu = self.is_fpu_kept();
        }
    }

    /// Whether x87 and SSE registers are those of the mark.
    fn is_fpu_kept(&mut self) -> bool {
        let Some(mark) = &self.mark else { return true };
        let differs = self.machine.differences(mark);
        !differs
            .registers
            .iter()
            .any(|r| r == "x87 or SSE registers")
    }

    /// The interrupted code has gone on: the mark is where it is now.
    fn mark_again(&mut self) {
        if self.mark.take().is_some() {
            self.machine.unmark();
            self.mark = Some(self.machine.mark());
        }
    }

    /// The machine has come to a boundary: whether this is the end. `resumed`: a delivery has been
    /// resumed there.
    fn arrive(&mut self, resumed: bool) -> Option<End> {
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
        if let Some(end) = self.called(rip, resumed) {
            return Some(end);
        }
        (self.left.is_over() || self.trouble.is_some()).then_some(End::Limit)
    }

    fn stray(&self, rip: u64) -> Option<End> {
        let offset = rip.wrapping_sub(layout::STRAY);
        (offset < 0x1000).then_some(End::Stray(Vector((offset / 16) as u8)))
    }
}

/// Whether `insn`, which has not retired, has done an iteration: REP, and no event in between.
fn is_iteration(insn: &Instruction, events: &[Event]) -> bool {
    let delivered = |e: &Event| matches!(e.kind, EventKind::Delivered(_));
    (insn.has_rep_prefix() || insn.has_repne_prefix())
        && insn.is_string_instruction()
        && !events.iter().any(delivered)
}

/// Whether it is the resumption of a delivery.
const fn resumes(event: &EventKind) -> bool {
    matches!(
        event,
        EventKind::Resumed { .. }
            | EventKind::Iret(Return {
                resumes: Some(_),
                ..
            })
    )
}
