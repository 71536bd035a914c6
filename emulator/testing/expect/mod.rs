//! What a test can expect of a run. One concern a file.

mod calls;
mod defects;
mod end;
mod findings;
mod frame;
mod golden;
mod limits;
mod restored;
mod state;
mod writes;

use super::case::Until;
use super::defect::DefectKind;
use super::error::TestError;
use super::failure::Problem;
use super::place::Place;
use super::register::Register;
use super::run::Run;
use super::{Case, observed, survive, tape};
use crate::arch::Vector;
use crate::check::{RuleId, Severity};
use crate::printable::grouped;
use crate::sweep::Shot;

pub(crate) use calls::ARGUMENTS;
pub use end::EndWanted;
pub use frame::FrameWanted;
pub use restored::Restored;

/// Something that must hold.
#[derive(Clone, PartialEq, Debug)]
pub enum Expectation {
    /// What every handler owes: no [`DefectKind`] at all, [`Restored`], and no finding of
    /// severity error.
    Sound,
    /// No mistake of this kind was seen.
    No(DefectKind),
    /// How the run ends; without one, as [`Until`] has it.
    Ends(EndWanted),
    /// The interrupted context is exactly as it was when it is resumed.
    Restored(Restored),
    /// What delivery pushed.
    Frame(FrameWanted),
    /// These functions are entered with RSP + 8 a multiple of 16; none named: all that CALL enters.
    Aligned(Vec<Place>),
    /// Calls of a stub: how many, and its arguments (System V ABI, 3.2.3), by number from 0.
    Calls {
        /// The stub.
        name: String,
        /// How often; `None`: at least once.
        times: Option<usize>,
        /// Argument and value.
        arguments: Vec<(usize, u64)>,
    },
    /// Nothing is stored outside the stacks and these ranges.
    WritesWithin(Vec<(Place, u64)>),
    /// No finding of this severity or worse.
    NoFindings(Severity),
    /// A finding of this rule, at this place if one is named.
    Finding(RuleId, Option<Place>),
    /// Whether NMIs are blocked before the delivery, and after the return.
    Nmi {
        /// Before.
        before: Option<bool>,
        /// After.
        after: Option<bool>,
    },
    /// At most so many instructions of the code under test.
    Instructions(u64),
    /// At most so many bytes of any stack of the harness, the frame included. On another one it fails.
    StackDepth(u64),
    /// A register at the end.
    Register(Register, u64),
    /// Bytes at the end.
    Memory(Place, Vec<u8>),
    /// The guest's console has said this line.
    Console(String),
    /// The trace is this text.
    Golden(String),
    /// When this arrives at any boundary of the handler, [`Sound`](Self::Sound) holds, and all else
    /// that is expected but for what another event changes by itself: [`Calls`](Self::Calls),
    /// [`Instructions`](Self::Instructions), [`StackDepth`](Self::StackDepth), [`Nmi`](Self::Nmi) and
    /// [`Golden`](Self::Golden).
    Survives(Shot),
}

impl Expectation {
    /// Nothing but the stacks and these ranges is stored to.
    #[must_use]
    pub fn writes_within(ranges: &[(&str, u64)]) -> Self {
        Self::WritesWithin(ranges.iter().map(|r| (r.0.into(), r.1)).collect())
    }

    /// An NMI at any boundary.
    #[must_use]
    pub fn survives_nmi() -> Self {
        Self::Survives(Shot::nmi())
    }

    /// A page fault at any boundary, with an NMI pending: IRET from the fault's handler lets it in.
    #[must_use]
    pub fn survives_fault_with_nmi_pending() -> Self {
        #[expect(
            clippy::expect_used,
            reason = "the text is a constant, and a test reads it"
        )]
        let shot = FAULT_AND_NMI.parse().expect("a shot");
        Self::Survives(shot)
    }

    pub(crate) const fn is_about_the_end(&self) -> bool {
        matches!(self, Self::Ends(_))
    }

    pub(super) fn default_end(case: &Case) -> Self {
        Self::Ends(match &case.until {
            Until::Return => EndWanted::Returned,
            Until::Place(place) => EndWanted::Reached(place.clone()),
            Until::Call(name) => EndWanted::Called(name.clone()),
            Until::Stop => EndWanted::Stopped,
        })
    }
}

/// A fault that nobody's page tables know of, and an NMI.
pub const FAULT_AND_NMI: &str = "PF,ec=0x0,addr=0xffff900000000000+nmi";

impl From<Vector> for EndWanted {
    fn from(vector: Vector) -> Self {
        Self::Stray(vector)
    }
}

pub(super) fn check(run: &Run, expected: &Expectation) -> Result<Vec<Problem>, TestError> {
    Ok(match expected {
        Expectation::Sound => sound(run),
        Expectation::No(kind) => defects::check(run, &[*kind]),
        Expectation::Ends(wanted) => end::check(run, wanted)?,
        Expectation::Restored(restored) => restored.check(run),
        Expectation::Frame(wanted) => wanted.check(run)?,
        Expectation::Aligned(places) => calls::aligned(run, places)?,
        Expectation::Calls {
            name,
            times,
            arguments,
        } => calls::check(run, name, *times, arguments)?,
        Expectation::WritesWithin(ranges) => writes::check(run, ranges)?,
        Expectation::NoFindings(severity) => findings::none(run, *severity, &[]),
        Expectation::Finding(rule, place) => findings::one(run, *rule, place.as_ref())?,
        Expectation::Nmi { before, after } => state::nmi(run, *before, *after),
        Expectation::Instructions(most) => limits::instructions(run, *most),
        Expectation::StackDepth(most) => limits::stack(run, *most),
        Expectation::Register(register, value) => state::register(run, *register, *value),
        Expectation::Memory(place, bytes) => state::memory(run, place, bytes)?,
        Expectation::Console(line) => state::console(run, line),
        Expectation::Golden(text) => golden::check(run, text),
        Expectation::Survives(shot) => survive::check(run, shot)?,
    })
}

/// That `n` notes of `what` are not kept, if so: then nobody can say whether `expected` holds.
fn left_out(expected: &str, what: &str, n: u64) -> Vec<Problem> {
    too_many(expected, what, n, observed::MOST)
}

/// That deliveries are not kept, if so: CR2 is compared with the fault's that was noted.
fn deliveries_left_out(run: &Run) -> Vec<Problem> {
    left_out("sound", "deliveries", run.seen().left_out.deliveries)
}

/// That `n` events are not kept, if so.
fn events_left_out(expected: &str, run: &Run) -> Vec<Problem> {
    too_many(expected, "events", run.session.tape.left_out(), tape::MOST)
}

fn too_many(expected: &str, what: &str, n: u64, most: usize) -> Vec<Problem> {
    if n == 0 {
        return Vec::new();
    }
    let text = format!(
        "the run has {} more {what} than the {} that are kept: what is expected of them cannot be \
         said; give it a shorter way",
        grouped(n),
        grouped(most as u64)
    );
    vec![Problem::new(expected, text)]
}

/// The parts of [`Expectation::Sound`], the likely cause first, and nothing said twice.
fn sound(run: &Run) -> Vec<Problem> {
    let mut problems = defects::check(run, &DefectKind::ALL);
    problems.extend(deliveries_left_out(run));
    // What follows from a frame that was missed says nothing.
    if run.seen().resumed.is_none() {
        if problems.is_empty() {
            problems.extend(findings::none(run, Severity::Error, &[]));
        }
        return problems;
    }
    let leaks = Restored::default().check(run);
    let mut known = Vec::new();
    if !leaks.is_empty() {
        known.push(RuleId::StateLeak);
    }
    if run.seen().first(&[DefectKind::WrongGs]).is_some() || !leaks.is_empty() {
        known.push(RuleId::WrongGs);
    }
    if run.seen().first(&[DefectKind::Cr2TooLate]).is_some() {
        known.push(RuleId::Cr2Clobbered);
    }
    problems.extend(leaks);
    problems.extend(findings::none(run, Severity::Error, &known));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constant_shot_is_one() {
        let Expectation::Survives(shot) = Expectation::survives_fault_with_nmi_pending() else {
            panic!("it is a sweep");
        };
        assert_eq!(shot.events().len(), 2);
    }
}
