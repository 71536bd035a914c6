//! A run that has ended, to look at.

use super::error::TestError;
use super::expect::{self, Expectation};
use super::failure::{Failure, Problem};
use super::observed::{Observed, Root};
use super::register::Register;
use super::session::{End, Session};
use super::stub::Call;
use crate::arch::Vector;
use crate::check::Findings;
use crate::trace::Event;

/// A run that has ended.
#[derive(Debug)]
pub struct Run {
    pub(super) session: Session,
    pub(super) end: End,
}

impl Run {
    pub(super) const fn new(session: Session, end: End) -> Self {
        Self { session, end }
    }

    /// How it ended.
    #[must_use]
    pub const fn end(&self) -> &End {
        &self.end
    }

    /// The machine where it ended, and what was noted.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// What was noted.
    #[must_use]
    pub const fn seen(&self) -> &Observed {
        &self.session.seen
    }

    /// The delivery under test, if it came about.
    #[must_use]
    pub const fn root(&self) -> Option<&Root> {
        self.session.seen.root.as_ref()
    }

    /// The calls of a stub, in order: of all calls, the first 65,536 are kept.
    #[must_use]
    pub fn calls(&self, name: &str) -> Vec<&Call> {
        let calls = self.session.seen.calls.iter();
        calls.filter(|c| c.name == name).collect()
    }

    /// All events, those of the set-up too: the first 262,144.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.session.tape.kept()
    }

    /// What the rules of [`crate::check`] have found.
    #[must_use]
    pub fn findings(&self) -> Findings {
        self.session.machine.findings().cloned().unwrap_or_default()
    }

    /// A register where it ended.
    #[must_use]
    pub fn register(&self, register: Register) -> u64 {
        self.session.register(register)
    }

    /// The quadword at a linear address.
    #[must_use]
    pub fn quad(&self, at: u64) -> Option<u64> {
        self.session.quad(at)
    }

    /// The events as a text trace has them, as goldens are compared.
    #[must_use]
    pub fn trace(&self) -> String {
        let mut text = super::failure::rendered(&self.session, &self.events()).join("\n");
        text.push('\n');
        text
    }

    /// The error of the test that has ended the run, if one has.
    pub(super) fn trouble(&self) -> Result<(), TestError> {
        match self.session.trouble {
            Some((what, problem)) => Err(TestError::setup(what, problem)),
            None => Ok(()),
        }
    }

    /// What does not hold of one expectation; nothing, if it holds.
    ///
    /// # Errors
    /// A place in it that is not there.
    pub fn check(&mut self, expected: &Expectation) -> Result<Vec<Problem>, TestError> {
        expect::check(self, expected)
    }

    /// Looks at all of them, and at how the run ended; `None`: everything holds.
    ///
    /// # Errors
    /// A place in them that is not there.
    pub fn check_all(
        &mut self,
        expected: &[Expectation],
    ) -> Result<Option<Box<Failure>>, TestError> {
        self.trouble()?;
        let mut problems = Vec::new();
        let mut all = expected.iter().collect::<Vec<_>>();
        let default = Expectation::default_end(&self.session.case);
        if !expected.iter().any(Expectation::is_about_the_end) {
            all.push(&default);
        }
        if !self.session.case.injections.is_empty() {
            let notes = self.session.machine.notes().into_iter();
            let missed = notes.filter(|n| n.ends_with("was never due"));
            problems.extend(missed.map(|n| Problem::new("inject", n)));
        }
        for e in all {
            // What fails undisturbed fails at every boundary too.
            if !problems.is_empty() && matches!(e, Expectation::Survives(_)) {
                continue;
            }
            for problem in self.check(e)? {
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
            }
        }
        if problems.is_empty() {
            return Ok(None);
        }
        let end = self.end.describe();
        Ok(Some(Box::new(Failure::new(&self.session, problems, end))))
    }

    /// Panics if one of these does not hold.
    ///
    /// # Panics
    /// With the failure's message.
    #[track_caller]
    pub fn assert(&mut self, expected: &[Expectation]) {
        match self.check_all(expected) {
            Ok(None) => {}
            Ok(Some(failure)) => panic!("{failure}"),
            Err(e) => panic!("{e}"),
        }
    }
}

/// `#PF`, or `vector 0x20`.
pub(super) fn named(vector: Vector) -> String {
    let number = || format!("vector {:#x}", vector.0);
    vector.mnemonic().map_or_else(number, str::to_owned)
}

impl End {
    /// In words.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Returned => "what was interrupted goes on".to_owned(),
            Self::Reached(place) => format!("{place} was reached"),
            Self::Called(name) => format!("{name} was called"),
            Self::Stray(vector) => {
                format!("an event for which there is no handler: {}", named(*vector))
            }
            Self::Stopped(stop) => stop.to_string(),
            Self::Limit => "the limit on instructions".to_owned(),
            Self::TooDeep => format!(
                "more than {} events are open at once, and this one is not followed any more",
                crate::printable::grouped(crate::system::activation::CAPACITY as u64)
            ),
        }
    }
}
