//! What one NMI costs.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::error::MatrixError;
use super::subject::Subject;
use crate::arch::VirtAddr;
use crate::machine::{Machine, StopReason, Until};
use crate::schedule::Stimulus;
use crate::trace::{Event, EventClass, EventKind, EventSink, Source};

/// Instructions from an NMI's delivery to the interrupted instruction, at the window's first
/// boundary.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NmiCost {
    /// Of the first NMI: what it finds unmapped it has to map.
    pub cold: u64,
    /// Of the one after it.
    pub warm: Option<u64>,
    /// Writes of CR3 in the one after it, which cost cached translations.
    pub warm_cr3_writes: Option<u64>,
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

/// Measures two NMIs at the window's first boundary.
pub(super) fn nmi_cost(
    subject: &Subject,
    window: VirtAddr,
    patience: u64,
) -> Result<Option<NmiCost>, MatrixError> {
    let mut machine = subject.machine().map_err(|e| subject.failed(e))?;
    let cr3 = Cr3Writes::default();
    machine.add_sink(Box::new(cr3.clone()));
    if machine.advance(Until::Address(window)) != StopReason::Until {
        return Ok(None);
    }
    let Some(cold) = one(&mut machine, patience) else {
        return Ok(None);
    };
    let before = cr3.0.get();
    let warm = one(&mut machine, patience);
    Ok(Some(NmiCost {
        cold,
        warm,
        warm_cr3_writes: warm.map(|_| cr3.0.get() - before),
    }))
}
