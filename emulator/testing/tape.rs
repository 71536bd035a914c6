//! The events of a run, kept so that a fork can be forgotten.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use crate::trace::{Event, EventClass, EventSink};

/// Events that are kept.
const MOST: usize = 1 << 18;

/// A list of events whose clones are the same list.
#[derive(Clone, Debug, Default)]
pub(super) struct Tape(Rc<RefCell<Vec<Event>>>);

impl Tape {
    pub(super) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Forgets what came after the first `len`.
    pub(super) fn truncate(&self, len: usize) {
        self.0.borrow_mut().truncate(len);
    }

    /// The events from number `from` on.
    pub(super) fn since(&self, from: usize) -> Vec<Event> {
        self.0.borrow().get(from..).unwrap_or_default().to_vec()
    }
}

impl EventSink for Tape {
    fn classes(&self) -> EventClass {
        EventClass::all() - EventClass::INSN - EventClass::MEM - EventClass::WALK
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        let mut list = self.0.borrow_mut();
        if list.len() < MOST {
            list.push(event.clone());
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}
