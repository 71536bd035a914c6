//! Where a case leaves the undisturbed run, and where it may come back to it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::baseline::Baseline;
use crate::machine::{Machine, Mark, Moment, StopReason, Until};

/// The number of the undisturbed run's end.
pub(super) const END: usize = usize::MAX;

/// Deliveries around a fork whose return is waited for.
const MAX_TARGETS: usize = 8;

/// A moment of the undisturbed run at which an event is taken.
pub(super) struct Fork {
    pub(super) mark: Mark,
    /// The number of the boundary.
    pub(super) number: usize,
    /// What the checks had found.
    pub(super) findings: usize,
    /// The delivery of the first event that was raised here.
    pub(super) serial: Cell<Option<u64>>,
    /// Later moments of the undisturbed run, at which the deliveries are resumed that are unresumed here,
    /// the innermost first: its number, the delivery, and the state.
    pub(super) targets: Vec<(usize, u64, Rc<Moment>)>,
    /// The end of the undisturbed run, if it has one.
    pub(super) end: Option<Rc<Moment>>,
}

/// Moments of the undisturbed run, by number, as they are needed.
pub(super) type Moments = BTreeMap<usize, Rc<Moment>>;

impl Fork {
    /// The present moment of `machine`, which is boundary `number` of the undisturbed run.
    pub(super) fn new(
        machine: &mut Machine,
        baseline: &Baseline,
        number: usize,
        known: &mut Moments,
    ) -> Self {
        machine.take_signals();
        machine.show_checks();
        let findings = machine.findings().map_or(0, |f| f.len());
        let mut fork = Self {
            mark: machine.mark(),
            number,
            findings,
            serial: Cell::new(None),
            targets: Vec::new(),
            end: None,
        };
        fork.find_targets(machine, baseline, known);
        fork
    }

    /// Inside a handler, an event may change how that goes on, and no more: as with an NMI that
    /// is told to be served again.
    fn find_targets(&mut self, machine: &mut Machine, baseline: &Baseline, known: &mut Moments) {
        known.retain(|&number, _| number > self.number);
        let mut open: Vec<u64> = machine
            .cpu()
            .activations
            .open()
            .map(|a| a.id.serial)
            .collect();
        let mut here = self.number;
        while let (Some(serial), Some(next)) = (open.pop(), baseline.places[here].resumed()) {
            if self.targets.len() >= MAX_TARGETS || next >= baseline.places.len() {
                break;
            }
            here = next;
            let at = baseline.places[next].at;
            let moment = self.moment(machine, known, next, |machine| {
                while machine.boundary() != at {
                    if machine.advance(Until::Boundary) != StopReason::Until {
                        return false;
                    }
                }
                true
            });
            let Some(moment) = moment else { break };
            self.targets.push((next, serial, moment));
        }
        if baseline.stop != StopReason::Until {
            self.end = self.moment(machine, known, END, |machine| {
                machine.advance(Until::Never) == baseline.stop
            });
        }
        machine.rewind(&self.mark);
    }

    /// The moment `number` of the undisturbed run, if it is known, or if `go` leads there.
    fn moment(
        &self,
        machine: &mut Machine,
        known: &mut Moments,
        number: usize,
        go: impl FnOnce(&mut Machine) -> bool,
    ) -> Option<Rc<Moment>> {
        if let Some(moment) = known.get(&number) {
            return Some(Rc::clone(moment));
        }
        let moment = go(machine).then(|| Rc::new(machine.moment(&self.mark)))?;
        known.insert(number, Rc::clone(&moment));
        Some(moment)
    }

    /// The deliveries around it that are waited for, the innermost first.
    pub(super) fn around(&self) -> Vec<u64> {
        self.targets.iter().map(|t| t.1).collect()
    }
}
