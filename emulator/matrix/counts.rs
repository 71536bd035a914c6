//! What happened in one run, counted: from its events, and from what the checks find in it.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::arch::{EventType, Vector, VirtAddr};
use crate::check::{CheckConfig, RuleId};
use crate::machine::{Machine, StopReason, Until};
use crate::printable::printable;
use crate::trace::{Event, EventClass, EventKind, EventSink, UnblockedBy};

/// What happened in one run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Page faults that were delivered.
    pub faults: u64,
    /// NMIs that arrived at the processor.
    pub nmis_raised: u64,
    /// NMIs that were delivered.
    pub nmis_delivered: u64,
    /// NMIs that arrived while one was pending: the two are one (SDM vol. 3, 6.7.1). What one
    /// handler does for both is not lost.
    pub nmis_merged: u64,
    /// NMIs that nobody served: still pending when the run ended, since NMIs stayed blocked; or
    /// delivered after the last time that an NMI's work began (the symbol `nmi_body`, else
    /// `nmi_touch`; the rule `nmi-unserved` says so of the sweep's runs).
    pub nmis_lost: u64,
    /// Times that an IRET unblocked NMIs which did not return from the NMI that had blocked them.
    pub early_unblocks: u64,
    /// NMIs that were delivered while another had not been resumed (findings of `nmi-reentered`;
    /// at most 50 are kept).
    pub reentries: u64,
    /// Deliveries that could not be resumed any more, since their frame was overwritten (findings
    /// of `frame-lost`; at most 50 are kept).
    pub frames_lost: u64,
}

/// A column of reports: heading, meaning, value.
#[derive(Clone, Copy, Debug)]
pub struct CountColumn {
    /// Above it.
    pub heading: &'static str,
    /// What one of them is called, and several are, where there is no heading.
    pub names: [&'static str; 2],
    /// What is counted.
    pub meaning: &'static str,
    /// The count.
    pub of: fn(&Counts) -> u64,
}

const fn column(
    heading: &'static str,
    names: [&'static str; 2],
    meaning: &'static str,
    of: fn(&Counts) -> u64,
) -> CountColumn {
    CountColumn {
        heading,
        names,
        meaning,
        of,
    }
}

/// The columns that reports show, in their order.
pub const COUNT_COLUMNS: [CountColumn; 7] = [
    column(
        "faults",
        ["fault", "faults"],
        "page faults that were delivered",
        |c| c.faults,
    ),
    column("NMIs", ["NMI", "NMIs"], "NMIs that were delivered", |c| {
        c.nmis_delivered
    }),
    column(
        "merged",
        ["merged", "merged"],
        "NMIs that arrived while one was pending: the processor makes one of the two",
        |c| c.nmis_merged,
    ),
    column(
        "lost",
        ["lost", "lost"],
        "NMIs that nobody served: pending when the run ended, or delivered after the last time that \
         the handler's work began",
        |c| c.nmis_lost,
    ),
    column(
        "early",
        ["early unblock", "early unblocks"],
        "early unblocks: an IRET that did not return from the NMI let NMIs in again",
        |c| c.early_unblocks,
    ),
    column(
        "re-entered",
        ["re-entry", "re-entries"],
        "NMIs that were delivered while another was not finished",
        |c| c.reentries,
    ),
    column(
        "frames lost",
        ["frame lost", "frames lost"],
        "deliveries whose return frame was overwritten, so that they can never be resumed",
        |c| c.frames_lost,
    ),
];

/// What is seen of a run.
#[derive(Clone, Debug, Default)]
struct Seen {
    counts: Counts,
    /// The last line on the guest's console.
    said: String,
}

/// Counts events; its clones count together.
#[derive(Clone, Debug, Default)]
struct Counter(Rc<RefCell<Seen>>);

impl EventSink for Counter {
    fn classes(&self) -> EventClass {
        EventClass::NMI
            .union(EventClass::FAULT)
            .union(EventClass::CONSOLE)
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        let mut seen = self.0.borrow_mut();
        let c = &mut seen.counts;
        match &event.kind {
            EventKind::Delivered(d) if d.kind == EventType::Nmi => c.nmis_delivered += 1,
            EventKind::Delivered(d) if d.id.vector == Vector::PF => c.faults += 1,
            EventKind::NmiRaised { .. } => c.nmis_raised += 1,
            EventKind::NmiMerged => c.nmis_merged += 1,
            EventKind::NmiUnblocked { by, .. } if *by != UnblockedBy::NmiReturn => {
                c.early_unblocks += 1;
            }
            EventKind::Console { text, .. } => seen.said = printable(text, LONGEST),
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Characters of a console's line that are kept.
const LONGEST: usize = 200;

/// A run, counted.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    pub(super) stop: StopReason,
    pub(super) counts: Counts,
    /// The last line on the guest's console.
    pub(super) said: String,
}

/// Runs a machine to its end, and counts.
pub(super) fn count(machine: &mut Machine, nmi_body: Option<VirtAddr>) -> Counted {
    machine.enable_checks(CheckConfig {
        nmi_body,
        ..CheckConfig::default()
    });
    let counter = Counter::default();
    machine.add_sink(Box::new(counter.clone()));
    // NMIs that were delivered before the work last began.
    let mut served = 0;
    let stop = match nmi_body {
        None => machine.advance(Until::Never),
        Some(body) => loop {
            let stop = machine.advance(Until::Address(body));
            if stop != StopReason::Until {
                break stop;
            }
            served = counter.0.borrow().counts.nmis_delivered;
            let stop = machine.advance(Until::Boundary);
            if stop != StopReason::Until {
                break stop;
            }
        },
    };
    machine.end_checks(&stop);
    let Seen { mut counts, said } = counter.0.take();
    let unserved = match nmi_body {
        None => 0,
        Some(_) => counts.nmis_delivered - served,
    };
    counts.nmis_lost = unserved + u64::from(machine.cpu().nmi.pending);
    let found = |rule| machine.checks().map_or(0, |c| c.of(rule).count() as u64);
    counts.reentries = found(RuleId::NmiReentered);
    counts.frames_lost = found(RuleId::FrameLost);
    Counted { stop, counts, said }
}
