//! Events kept in memory, to look at while the machine owns the sink.

use std::cell::{Ref, RefCell};
use std::io;
use std::rc::Rc;

use super::event::Event;
use super::sink::EventSink;

/// A list of events whose clones are the same list.
#[derive(Clone, Debug, Default)]
pub struct SharedEvents(Rc<RefCell<Vec<Event>>>);

impl SharedEvents {
    /// The events so far.
    ///
    /// # Panics
    /// Only if an event arrives meanwhile: do not keep the result while the machine runs.
    #[must_use]
    pub fn borrow(&self) -> Ref<'_, Vec<Event>> {
        self.0.borrow()
    }

    /// Takes the events so far out.
    #[must_use]
    pub fn take(&self) -> Vec<Event> {
        self.0.take()
    }
}

impl EventSink for SharedEvents {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.0.borrow_mut().push(event.clone());
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}
