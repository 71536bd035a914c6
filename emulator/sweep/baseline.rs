//! The undisturbed run: its boundaries, and what it needs of memory.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use super::error::SweepError;
use super::liveness::Liveness;
use super::plan::{Bound, MAX_BOUNDARIES, Plan};
use crate::arch::Vector;
use crate::check::RuleId;
use crate::load::Image;
use crate::machine::{Machine, StopReason, Until};
use crate::schedule::StimulusKind;
use crate::system::InterruptShadow;
use crate::trace::{Boundary, Event, EventClass, EventKind, EventSink};

/// One boundary of the window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Its name.
    pub at: Boundary,
    /// The next instruction.
    pub rip: u64,
    /// Which kinds of events would be taken here: bits by [`StimulusKind`].
    takes: u8,
    /// The number of the boundary at which the innermost unresumed delivery is resumed.
    resumed: u32,
}

/// Nothing is unresumed, or stays so.
const NEVER: u32 = u32::MAX;

impl Place {
    /// The number of the boundary at which the innermost delivery that is unresumed here is resumed.
    #[must_use]
    pub const fn resumed(&self) -> Option<usize> {
        if self.resumed == NEVER {
            None
        } else {
            Some(self.resumed as usize)
        }
    }

    /// Whether an event of this kind would be taken here.
    #[must_use]
    pub const fn takes(&self, kind: StimulusKind) -> bool {
        self.takes & 1 << kind as u8 != 0
    }
}

/// The undisturbed run.
#[derive(Debug)]
pub struct Baseline {
    /// The boundaries of the window, and after them those at which an event that was raised in it
    /// may still be taken. Their index is their number.
    pub places: Vec<Place>,
    /// How many of them are in the window.
    pub window: usize,
    /// Who accesses what, by number of boundary.
    pub live: Liveness,
    /// How it ended, or [`StopReason::Until`] where it was followed no further.
    pub stop: StopReason,
    /// Retired instructions at its end.
    pub end: Boundary,
    /// What the checks find in it: rules, and where.
    pub findings: Vec<(RuleId, u64)>,
}

/// Reads (`true`) and writes of CR2, in order.
#[derive(Clone, Default)]
struct Cr2Uses(Rc<RefCell<Vec<bool>>>);

impl EventSink for Cr2Uses {
    fn classes(&self) -> EventClass {
        EventClass::FAULT.union(EventClass::REG)
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        match &event.kind {
            EventKind::Cr2Read { .. } => self.0.borrow_mut().push(true),
            EventKind::Exception {
                vector: Vector::PF, ..
            } => self.0.borrow_mut().push(false),
            EventKind::ControlWrite { register, .. } if register == "cr2" => {
                self.0.borrow_mut().push(false);
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Moves a fresh machine to the beginning of the window.
pub(super) fn go_to_window(machine: &mut Machine, plan: &Plan) -> Result<(), SweepError> {
    let until = match plan.from {
        None | Some(Bound::Icount(0)) => return Ok(()),
        Some(Bound::Icount(n)) => Until::Icount(n),
        // As with a saved state of that place.
        Some(Bound::Address(at)) if machine.cpu().regs.rip == at.0 => return Ok(()),
        Some(Bound::Address(at)) => Until::Address(at),
    };
    match machine.advance(until) {
        StopReason::Until => Ok(()),
        StopReason::NotModelled { what, .. } => Err(SweepError::NotModelled { what }),
        stop => Err(SweepError::NoWindow {
            stop: stop.to_string(),
        }),
    }
}

impl Baseline {
    /// Follows the undisturbed run of a fresh machine.
    ///
    /// # Errors
    /// Where there is no window, or one that is too long.
    pub fn follow(machine: &mut Machine, plan: &Plan) -> Result<Self, SweepError> {
        machine.enable_checks(plan.checks.clone());
        go_to_window(machine, plan)?;
        let cr2 = Cr2Uses::default();
        machine.add_sink(Box::new(cr2.clone()));
        machine.record_accesses(true);
        let mut accesses = Vec::new();
        let mut baseline = Self {
            places: Vec::new(),
            window: usize::MAX,
            live: Liveness::default(),
            stop: StopReason::Until,
            end: machine.boundary(),
            findings: Vec::new(),
        };
        let mut last = u64::MAX;
        // Unresumed deliveries, and the boundaries at which each was the innermost.
        let mut open: Vec<(u64, Vec<u32>)> = Vec::new();
        loop {
            let at = machine.boundary();
            let rip = machine.cpu().regs.rip;
            let outside = match plan.to {
                None => false,
                Some(Bound::Icount(n)) => at.icount >= n,
                Some(Bound::Address(to)) => to.0 == rip && !baseline.places.is_empty(),
            };
            if outside && baseline.window == usize::MAX {
                baseline.window = baseline.places.len();
                last = at.icount.saturating_add(plan.horizon);
            }
            if baseline.places.len() >= MAX_BOUNDARIES {
                if baseline.window == usize::MAX {
                    return Err(SweepError::TooLong {
                        max: MAX_BOUNDARIES,
                    });
                }
                break;
            }
            let takes = StimulusKind::ALL
                .into_iter()
                .filter(|&kind| machine.would_take(kind))
                .fold(0, |bits, kind| bits | 1 << kind as u8);
            // In a shadow nothing is taken, but for the next instruction's own faults.
            let shots = plan.levels.first();
            let wanted = shots.is_some_and(|l| l.iter().any(|s| takes & 1 << s.kind() as u8 != 0));
            let shadow = machine.cpu().shadow != InterruptShadow::None;
            if !shadow || wanted || baseline.places.is_empty() {
                baseline.places.push(Place {
                    at,
                    rip,
                    takes,
                    resumed: NEVER,
                });
                let time = (baseline.places.len() - 1) as u32;
                let activations = &machine.cpu().activations;
                for (_, places) in open.extract_if(.., |o| !activations.is_unresumed(o.0)) {
                    for n in places {
                        baseline.places[n as usize].resumed = time;
                    }
                }
                if let Some(serial) = activations.innermost().map(|a| a.id.serial) {
                    match open.iter_mut().find(|o| o.0 == serial) {
                        Some(known) => known.1.push(time),
                        None => open.push((serial, vec![time])),
                    }
                }
            }
            let time = (baseline.places.len() - 1) as u32;
            let stop = machine.advance(Until::Boundary);
            accesses.clear();
            machine.take_accesses(&mut accesses);
            baseline.live.note(time, &accesses);
            if machine.take_clock_use() {
                baseline.live.note_clock(time);
            }
            for read in cr2.0.take() {
                baseline.live.note_cr2(time, read);
            }
            match stop {
                StopReason::Until => {}
                StopReason::NotModelled { what, .. } => {
                    return Err(SweepError::NotModelled { what });
                }
                stop => {
                    // The guest has ended the run: nothing comes after that.
                    if matches!(stop, StopReason::GuestExit { .. }) && machine.boundary() == at {
                        baseline.places.pop();
                    }
                    baseline.stop = stop;
                    break;
                }
            }
            if machine.boundary().icount > last {
                break;
            }
        }
        machine.record_accesses(false);
        baseline.window = baseline.window.min(baseline.places.len());
        baseline.end = machine.boundary();
        let stop = baseline.stop.clone();
        machine.end_checks(&stop);
        let found = machine.findings().into_iter().flat_map(|f| f.iter());
        baseline.findings = found
            .filter(|f| plan.policy.denies(f))
            .map(|f| (f.rule, f.rip.0))
            .collect();
        Ok(baseline)
    }

    /// Where an event of this kind that is raised at boundary `number` is taken.
    #[must_use]
    pub fn lands(&self, number: usize, kind: StimulusKind) -> Option<usize> {
        (number..self.places.len()).find(|&n| self.places[n].takes(kind))
    }
}

/// What a byte of RAM is called: the symbol of the image that holds it, else its address.
#[must_use]
pub fn name_of(image: &Image, at: u64) -> String {
    let linked = image
        .segments
        .iter()
        .find(|s| at.wrapping_sub(s.paddr.0) < s.mem_size)
        .map(|s| crate::arch::VirtAddr(s.vaddr.0.wrapping_add(at - s.paddr.0)));
    match linked.and_then(|at| image.symbols.name(at)) {
        Some((name, _)) => name.to_owned(),
        None => format!("RAM {:#x}", at & !0xfff),
    }
}
