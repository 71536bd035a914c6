//! One case: code, a machine to put it in, what is interrupted, what arrives, what is expected.

use std::fmt;
use std::sync::Arc;

use super::arrange::Arrange;
use super::arrange::Gate;
use super::code::Program;
use super::context::Context;
use super::error::TestError;
use super::expect::Expectation;
use super::failure::Failure;
use super::place::Place;
use super::raise::Raise;
use super::register::Register;
use super::run::Run;
use super::session::Session;
use super::stub::{Call, Stub};
use crate::arch::{CpuModel, Vector, Vendor};
use crate::schedule::Injection;
use crate::trace::Delivery;

/// Where a run ends, if nothing else ends it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Until {
    /// When what was interrupted is resumed.
    #[default]
    Return,
    /// At the first arrival at a place.
    Place(Place),
    /// When this stub is called.
    Call(String),
    /// When the machine stops: the debug-exit port, HLT for ever, a triple fault.
    Stop,
}

/// What a test may do when a stub is called.
pub type OnCall = dyn Fn(&mut Session, &Call) + Send + Sync;
/// What a test may do when a #PF has been delivered.
pub type OnFault = dyn Fn(&mut Session, &Delivery) + Send + Sync;

/// Instructions after which a run ends, unless a case says otherwise.
pub const DEFAULT_LIMIT: u64 = 100_000;

/// Everything about one test; a description, which can be run any number of times.
///
/// Unless it says otherwise: the CPU is Intel's; GDT, TSS with RSP0 and seven IST stacks, page
/// tables and an IDT are there (see [`layout`](super::layout)); code and data have the rights of
/// their segments, EFER.NXE, EFER.SCE, CR0.WP are set; kernel code is interrupted; and
/// vectors without a handler end the run.
#[derive(Clone)]
pub struct Case {
    pub(super) program: Program,
    pub(super) name: String,
    pub(super) cpu: CpuModel,
    pub(super) gates: Vec<Gate>,
    pub(super) quiet: Vec<Vector>,
    pub(super) stacks: Vec<(u8, Place)>,
    pub(super) machine: Vec<(Register, u64)>,
    pub(super) syscall: Option<Place>,
    pub(super) memory: Vec<Arrange>,
    pub(super) identity: bool,
    pub(super) context: Context,
    pub(super) raise: Raise,
    pub(super) injections: Vec<Injection>,
    pub(super) stub: Vec<(String, Stub)>,
    pub(super) on_call: Vec<(String, Arc<OnCall>)>,
    pub(super) on_fault: Option<Arc<OnFault>>,
    pub(super) until: Until,
    pub(super) limit: u64,
    pub(super) nmi_body: Option<Place>,
    pub(super) expected: Vec<Expectation>,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case")
            .field("name", &self.name)
            .field("context", &self.context)
            .field("raise", &self.raise)
            .finish_non_exhaustive()
    }
}

impl Case {
    /// Kernel code is interrupted by nothing, and nothing is expected.
    #[must_use]
    pub fn new(program: &Program) -> Self {
        Self {
            program: program.clone(),
            name: String::new(),
            cpu: CpuModel::of(Vendor::Intel),
            gates: Vec::new(),
            quiet: Vec::new(),
            stacks: Vec::new(),
            machine: Vec::new(),
            syscall: None,
            memory: Vec::new(),
            identity: false,
            context: Context::default(),
            raise: Raise::nothing(),
            injections: Vec::new(),
            stub: Vec::new(),
            on_call: Vec::new(),
            on_fault: None,
            until: Until::default(),
            limit: DEFAULT_LIMIT,
            nmi_body: None,
            expected: Vec::new(),
        }
    }

    /// Its name, for messages.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.to_owned();
        self
    }

    /// What is interrupted.
    #[must_use]
    pub fn context(mut self, context: Context) -> Self {
        self.context = context;
        self
    }

    /// What arrives there.
    #[must_use]
    pub fn raise(mut self, raise: Raise) -> Self {
        self.raise = raise;
        self
    }

    /// Something more that arrives, at a place or time of its own; see [`crate::schedule`].
    #[must_use]
    pub fn inject(mut self, injection: Injection) -> Self {
        self.injections.push(injection);
        self
    }

    /// What a stub does.
    #[must_use]
    pub fn stub(mut self, name: &str, stub: Stub) -> Self {
        self.stub.push((name.to_owned(), stub));
        self
    }

    /// Calls this when the stub is entered; it may change the machine.
    #[must_use]
    pub fn on_call(
        mut self,
        name: &str,
        act: impl Fn(&mut Session, &Call) + Send + Sync + 'static,
    ) -> Self {
        self.on_call.push((name.to_owned(), Arc::new(act)));
        self
    }

    /// Calls this when a #PF has been delivered, before the handler's first instruction; it may map
    /// the page.
    #[must_use]
    pub fn on_fault(
        mut self,
        act: impl Fn(&mut Session, &Delivery) + Send + Sync + 'static,
    ) -> Self {
        self.on_fault = Some(Arc::new(act));
        self
    }

    /// Where the run ends.
    #[must_use]
    pub fn until(mut self, until: Until) -> Self {
        self.until = until;
        self
    }

    /// Instructions after which the run ends, and has failed.
    #[must_use]
    pub const fn limit(mut self, instructions: u64) -> Self {
        self.limit = instructions;
        self
    }

    /// Where the work of an NMI begins, for the rule `nmi-unserved`.
    #[must_use]
    pub fn nmi_body(mut self, place: impl Into<Place>) -> Self {
        self.nmi_body = Some(place.into());
        self
    }

    /// Expects something of the run.
    #[must_use]
    pub fn expect(mut self, expectation: Expectation) -> Self {
        self.expected.push(expectation);
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The code.
    #[must_use]
    pub const fn program(&self) -> &Program {
        &self.program
    }

    /// What is expected.
    #[must_use]
    pub fn expectations(&self) -> &[Expectation] {
        &self.expected
    }

    /// A machine at the interrupted context; nothing has arrived yet.
    ///
    /// # Errors
    /// A place that is not there, a set-up that does not fit.
    pub fn start(&self) -> Result<Session, TestError> {
        Session::new(self)
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn run(&self) -> Result<Run, TestError> {
        let mut session = self.start()?;
        let end = session.play();
        Ok(Run::new(session, end))
    }

    /// Runs it, and looks at what is expected: with nothing said, [`Expectation::Sound`].
    ///
    /// # Errors
    /// As [`start`](Self::start), for the test; the inner one is the code's.
    pub fn check(&self) -> Result<Result<Run, Box<Failure>>, TestError> {
        let mut run = self.run()?;
        let sound = [Expectation::Sound];
        let expected = if self.expected.is_empty() {
            &sound[..]
        } else {
            &self.expected
        };
        Ok(match run.check_all(expected)? {
            Some(failure) => Err(failure),
            None => Ok(run),
        })
    }

    /// Runs it, and panics if what is expected does not hold.
    ///
    /// # Panics
    /// With the failure's message, or with what is wrong with the test.
    #[track_caller]
    pub fn assert(&self) -> Run {
        match self.check() {
            Ok(Ok(run)) => run,
            Ok(Err(failure)) => panic!("{failure}"),
            Err(e) => panic!("{e}"),
        }
    }
}
