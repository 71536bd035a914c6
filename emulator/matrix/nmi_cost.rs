//! What one NMI costs.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::error::MatrixError;
use super::subject::Subject;
use crate::arch::VirtAddr;
use crate::machine::{Machine, StopReason, Until};
use crate::schedule::{Stimulus, StimulusKind};
use crate::trace::{Event, EventClass, EventKind, EventSink, Source};

/// Instructions from an NMI's delivery to the interrupted instruction, if it is the only one that is
/// injected; over the boundaries of the window at which it is taken and resumed, of which the first
/// 10,000 are tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NmiCost {
    /// The fewest: nothing is missing.
    pub least: u64,
    /// The most: what is not mapped has to be.
    pub most: u64,
    /// Writes of CR3 in the one that takes the most: each costs cached translations.
    pub cr3_writes: u64,
}

/// Counts writes of CR3.
#[derive(Clone, Default)]
struct Cr3Writes(Rc<Cell<u64>>);

impl EventSink for Cr3Writes {
    fn classes(&self) -> EventClass {
        EventClass::REG
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        if matches!(&event.kind, EventKind::ControlWrite { register, .. } if register == "cr3") {
            self.0.set(self.0.get() + 1);
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Raises one NMI and follows it until it is resumed; `None`: it is not, or in another place.
fn one(machine: &mut Machine, patience: u64) -> Option<u64> {
    let begin = machine.boundary().icount;
    let rip = machine.cpu().regs.rip;
    machine.set_max_insns(begin.saturating_add(patience));
    let before = machine.cpu().activations.last_serial();
    machine.raise(Stimulus::Nmi, Source::Host);
    if machine.advance(Until::Boundary) != StopReason::Until {
        return None;
    }
    let serial = machine.cpu().activations.innermost()?.id.serial;
    if serial <= before || machine.advance(Until::Resumed(serial)) != StopReason::Until {
        return None;
    }
    (machine.cpu().regs.rip == rip).then(|| machine.boundary().icount - begin)
}

/// Boundaries that are tried.
pub(super) const MOST: usize = 10_000;

/// Measures an NMI at each boundary from `window` to `end`; `None`: none is resumed.
pub(super) fn nmi_cost(
    subject: &Subject,
    (window, end): (VirtAddr, VirtAddr),
    patience: u64,
) -> Result<Option<NmiCost>, MatrixError> {
    let mut machine = subject.machine().map_err(|e| subject.failed(e))?;
    let cr3 = Cr3Writes::default();
    machine.add_sink(Box::new(cr3.clone()));
    let limit = machine.config().max_insns;
    let mut stop = machine.advance(Until::Address(window));
    let mut cost: Option<NmiCost> = None;
    for _ in 0..MOST {
        if stop != StopReason::Until || machine.cpu().regs.rip == end.0 {
            break;
        }
        if machine.would_take(StimulusKind::Nmi) {
            let before = cr3.0.get();
            let here = machine.mark();
            let insns = one(&mut machine, patience);
            machine.rewind(&here);
            machine.unmark();
            machine.set_max_insns(limit);
            if let Some(insns) = insns {
                let cr3_writes = cr3.0.get() - before;
                let known = cost.get_or_insert(NmiCost {
                    least: insns,
                    most: insns,
                    cr3_writes,
                });
                known.least = known.least.min(insns);
                if insns > known.most {
                    (known.most, known.cr3_writes) = (insns, cr3_writes);
                }
            }
        }
        stop = machine.advance(Until::Boundary);
    }
    Ok(cost)
}
