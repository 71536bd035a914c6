//! The events of a run, kept so that a fork can be forgotten.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use crate::trace::{Event, EventClass, EventSink};

/// Events that are kept.
pub(super) const MOST: usize = 1 << 18;

/// A list of events whose clones are the same list.
#[derive(Clone, Debug, Default)]
pub(super) struct Tape(Rc<RefCell<Events>>);

#[derive(Debug, Default)]
struct Events {
    kept: Vec<Event>,
    /// Those since the last [`Tape::settle`].
    fresh: Vec<Event>,
    /// Events after the ones that are kept.
    left_out: u64,
}

/// A place on a tape, to go back to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    kept: usize,
    left_out: u64,
}

impl Tape {
    /// Puts the fresh events to the others, as far as there is room.
    pub(super) fn settle(&self) {
        let events = &mut *self.0.borrow_mut();
        let room = MOST.saturating_sub(events.kept.len());
        let more = events.fresh.len().saturating_sub(room) as u64;
        events.left_out = events.left_out.saturating_add(more);
        events.kept.extend(events.fresh.drain(..).take(room));
    }

    /// The events since the last [`settle`](Self::settle), all of them.
    pub(super) fn fresh(&self) -> Vec<Event> {
        self.0.borrow().fresh.clone()
    }

    /// The events that are kept.
    pub(super) fn kept(&self) -> Vec<Event> {
        self.settle();
        self.0.borrow().kept.clone()
    }

    /// How many events are not kept.
    pub(super) fn left_out(&self) -> u64 {
        self.settle();
        self.0.borrow().left_out
    }

    pub(super) fn position(&self) -> Position {
        self.settle();
        let events = self.0.borrow();
        Position {
            kept: events.kept.len(),
            left_out: events.left_out,
        }
    }

    /// Forgets what came after `position`.
    pub(super) fn go_back(&self, position: Position) {
        let events = &mut *self.0.borrow_mut();
        events.kept.truncate(position.kept);
        events.fresh.clear();
        events.left_out = position.left_out;
    }
}

impl EventSink for Tape {
    fn classes(&self) -> EventClass {
        EventClass::all() - EventClass::INSN - EventClass::MEM - EventClass::WALK
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.0.borrow_mut().fresh.push(event.clone());
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}
