//! Where events go: sinks at once, checks and plugins at the next boundary.

use std::io;

use crate::arch::VirtAddr;
use crate::trace::{Boundary, Event, EventClass, EventKind, EventSink};

/// What every event of the present boundary says of its place.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    pub(super) at: Boundary,
    pub(super) rip: u64,
    pub(super) cpl: u8,
    pub(super) depth: u16,
}

/// The sinks, and what plugins have not seen yet.
pub(super) struct Log {
    sinks: Vec<Box<dyn EventSink>>,
    classes: Option<EventClass>,
    /// Plugins are there: keep what happens for them.
    pub(super) keep: bool,
    pub(super) kept: Vec<Event>,
    /// What the checks are made from; empty without checks.
    pub(super) checked: EventClass,
    /// What the checks have not seen yet.
    pub(super) unchecked: Vec<Event>,
    pub(super) place: Place,
    pub(super) error: Option<io::Error>,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            sinks: Vec::new(),
            classes: None,
            keep: false,
            kept: Vec::new(),
            checked: EventClass::empty(),
            unchecked: Vec::new(),
            place: Place::default(),
            error: None,
        }
    }
}

impl Log {
    pub(super) fn add(&mut self, sink: Box<dyn EventSink>) {
        let classes = self.classes.unwrap_or(EventClass::empty()) | sink.classes();
        self.classes = Some(classes);
        self.sinks.push(sink);
    }

    pub(super) fn wants(&self, class: EventClass) -> bool {
        self.classes.is_some_and(|c| c.intersects(class))
            || self.checked.intersects(class)
            || (self.keep && !class.intersects(EventClass::INSN.union(EventClass::MEM)))
    }

    /// Emits at the present boundary.
    pub(super) fn emit(&mut self, kind: EventKind) {
        let Place {
            at,
            rip,
            cpl,
            mut depth,
        } = self.place;
        if matches!(kind, EventKind::Delivered(_)) {
            depth += 1;
            self.place.depth = depth;
        }
        self.push(Event {
            at,
            rip: VirtAddr(rip),
            cpl,
            depth,
            kind,
        });
    }

    pub(super) fn push(&mut self, event: Event) {
        let class = event.kind.class();
        for sink in &mut self.sinks {
            if sink.classes().intersects(class)
                && self.error.is_none()
                && let Err(e) = sink.event(&event)
            {
                self.error = Some(e);
            }
        }
        if self.checked.intersects(class) {
            self.unchecked.push(event.clone());
        }
        if self.keep {
            self.kept.push(event);
        }
    }

    pub(super) fn finish(&mut self) -> io::Result<()> {
        let mut result = match self.error.take() {
            Some(e) => Err(e),
            None => Ok(()),
        };
        for sink in &mut self.sinks {
            let finished = sink.finish();
            if result.is_ok() {
                result = finished;
            }
        }
        result
    }
}
