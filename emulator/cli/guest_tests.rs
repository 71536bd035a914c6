//! Results of tests that the guest prints, counted.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use iretrace::testing::guest::GuestTests;
use iretrace::trace::{Event, EventClass, EventKind, EventSink};

use super::exit_code::ExitCode;
use super::talk;

/// A sink that counts; clones count together.
#[derive(Clone, Debug, Default)]
pub struct CountedTests(Rc<RefCell<GuestTests>>);

impl CountedTests {
    /// Says how many there were, and the exit code that this means.
    pub fn say(&self) -> ExitCode {
        let mut tests = self.0.borrow_mut();
        tests.end();
        if tests.is_empty() {
            return ExitCode::Success;
        }
        talk::summary(&tests.summary());
        if tests.failed == 0 {
            ExitCode::Success
        } else {
            ExitCode::GuestFailure
        }
    }
}

impl EventSink for CountedTests {
    fn classes(&self) -> EventClass {
        EventClass::CONSOLE
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        if let EventKind::Console { text, .. } = &event.kind {
            self.0.borrow_mut().line(text);
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}
