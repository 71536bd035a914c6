//! From an injection to its verdict.
//!
//! The interrupted context is reached again when the delivery is resumed. There the machine is
//! compared with what it was when it was interrupted. What differs must not be read by the rest of
//! the undisturbed run: then that run is what follows, and need not be run again.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use super::baseline::{Baseline, name_of};
use super::liveness::Fate;
use super::plan::Plan;
use super::verdict::{Outcome, Verdict};
use crate::load::Image;
use crate::machine::{Differences, Machine, Mark, MemoryDifference, Moment, StopReason, Until};
use crate::schedule::StimulusKind;

/// A moment of the undisturbed run at which an event is taken.
pub(super) struct Fork {
    pub(super) mark: Mark,
    /// The number of the boundary.
    number: usize,
    /// What the checks had found.
    findings: usize,
    /// The delivery of the first event that was raised here.
    pub(super) serial: Cell<Option<u64>>,
    /// Later moments of the undisturbed run, at which the deliveries are resumed that are unresumed here,
    /// the innermost first: its number, the delivery, and the state.
    targets: Vec<(usize, u64, Rc<Moment>)>,
    /// The end of the undisturbed run, if it has one.
    end: Option<Rc<Moment>>,
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
        let mut moved = false;
        while let (Some(serial), Some(next)) = (open.pop(), baseline.places[here].resumed()) {
            if self.targets.len() >= MAX_TARGETS || next >= baseline.places.len() {
                break;
            }
            here = next;
            let reached = known.contains_key(&next);
            if !reached {
                moved = true;
                while machine.boundary() != baseline.places[next].at {
                    if machine.advance(Until::Boundary) != StopReason::Until {
                        open.clear();
                        break;
                    }
                }
                if machine.boundary() == baseline.places[next].at {
                    known.insert(next, Rc::new(machine.moment(&self.mark)));
                }
            }
            if let Some(moment) = known.get(&next) {
                self.targets.push((next, serial, Rc::clone(moment)));
            }
        }
        if baseline.stop != StopReason::Until {
            let reached = known.contains_key(&END);
            if !reached {
                moved = true;
                if machine.advance(Until::Never) == baseline.stop {
                    known.insert(END, Rc::new(machine.moment(&self.mark)));
                }
            }
            self.end = known.get(&END).map(Rc::clone);
        }
        if moved {
            machine.rewind(&self.mark);
        }
    }
}

/// What differences mean for the rest of the undisturbed run.
struct Seen {
    /// It uses these.
    used: Vec<String>,
    /// It never touches these again.
    left: Vec<String>,
    /// It uses what does not count.
    ignored: bool,
}

/// Who decides.
#[derive(Clone, Copy)]
pub(super) struct Judge<'a> {
    pub(super) image: &'a Image,
    pub(super) plan: &'a Plan,
    pub(super) baseline: &'a Baseline,
}

/// The number of the undisturbed run's end.
const END: usize = usize::MAX;

/// Deliveries around a fork whose return is waited for.
const MAX_TARGETS: usize = 8;

/// Names in one verdict.
const MAX_NAMES: usize = 6;

/// Instructions in which a CPU that was woken comes back to its HLT.
const BACK_TO_HLT: u32 = 256;

impl Judge<'_> {
    /// From the handler's first boundary on. `first` is the delivery at the fork, `serial` the newest.
    pub(super) fn follow(
        &self,
        machine: &mut Machine,
        fork: &Fork,
        first: u64,
        serial: u64,
    ) -> Outcome {
        for serial in [serial, first] {
            let stop = machine.advance(Until::Resumed(serial));
            if stop != StopReason::Until {
                return self.ended(machine, fork, &stop);
            }
        }
        // What waited for the handler's end.
        for _ in 0..8 {
            if !machine.has_waiting() || !machine.would_take(StimulusKind::Nmi) {
                break;
            }
            let before = machine.cpu().activations.last_serial();
            let mut stop = machine.advance(Until::Boundary);
            if stop == StopReason::Until
                && let Some(newest) = machine.cpu().activations.innermost().map(|a| a.id.serial)
                && newest > before
            {
                stop = machine.advance(Until::Resumed(newest));
            }
            if stop != StopReason::Until {
                return self.ended(machine, fork, &stop);
            }
        }
        self.resumed(machine, fork)
    }

    /// At the interrupted context.
    fn resumed(&self, machine: &mut Machine, fork: &Fork) -> Outcome {
        let mut d = machine.differences(&fork.mark);
        if d.registers.iter().any(|r| r == "halted") {
            // The event has ended an HLT: code that waits in a loop comes back to it.
            let rip = self.baseline.places[fork.number].rip;
            for _ in 0..BACK_TO_HLT {
                if machine.advance(Until::Boundary) != StopReason::Until
                    || machine.cpu().halted && machine.cpu().regs.rip == rip
                {
                    break;
                }
            }
            d = machine.differences(&fork.mark);
        }
        let mut seen = self.weigh(machine, &d, fork.number);
        let mut targets = fork.targets.iter();
        while !seen.used.is_empty()
            && let Some((number, serial, moment)) = targets.next()
        {
            let stop = machine.advance(Until::Resumed(*serial));
            if stop != StopReason::Until {
                return self.ended(machine, fork, &stop);
            }
            let d = machine.differences_from(moment, &fork.mark);
            seen = self.weigh(machine, &d, *number);
        }
        machine.show_checks();
        let mut end = None;
        if !seen.used.is_empty() || seen.ignored || !self.plan.reduce {
            // What follows is another run than the undisturbed one.
            let rest = self.baseline.end.icount.saturating_add(self.plan.patience);
            machine.set_max_insns(machine.boundary().icount.saturating_add(rest));
            end = Some(machine.advance(Until::Never));
        }
        if let Some(stop) = &end {
            machine.end_checks(stop);
        }
        if let Some(outcome) = self.found(machine, fork) {
            return outcome;
        }
        let Seen { used, left, .. } = seen;
        let Some(stop) = end else {
            return if left.is_empty() {
                Outcome::new(Verdict::Same, "")
            } else {
                Outcome::new(Verdict::SameExcept, listed(left))
            };
        };
        let otherwise = || match &stop {
            StopReason::Limit { .. } => String::new(),
            stop if *stop == self.baseline.stop => String::new(),
            stop => format!("; it ends otherwise: {}", stop.name()),
        };
        match &stop {
            // Not reduced, and not followed to an end.
            _ if used.is_empty() && fork.end.is_none() => {
                if left.is_empty() {
                    Outcome::new(Verdict::Same, "")
                } else {
                    Outcome::new(Verdict::SameExcept, listed(left))
                }
            }
            StopReason::TripleFault => {
                Outcome::new(Verdict::Shutdown, format!("after {}", listed(used)))
            }
            StopReason::NotModelled { what, .. } => Outcome::new(Verdict::NotModelled, what),
            stop if *stop == self.baseline.stop
                && let Some(moment) = &fork.end =>
            {
                let d = machine.differences_from(moment, &fork.mark);
                let last = self.weigh(machine, &d, END);
                if last.used.is_empty() {
                    if used.is_empty() && last.left.is_empty() {
                        return Outcome::new(Verdict::Same, "");
                    }
                    // Perhaps it used what differed, and came to the same end.
                    let mut what = listed(last.left);
                    if !used.is_empty() {
                        let semicolon = if what.is_empty() { "" } else { "; " };
                        what = format!("{what}{semicolon}used without effect: {}", listed(used));
                    }
                    Outcome::new(Verdict::SameExcept, what)
                } else {
                    let what = format!("{}, to the end: {}", listed(used), listed(last.used));
                    Outcome::new(Verdict::Differs, what)
                }
            }
            _ => Outcome::new(Verdict::Differs, listed(used) + &otherwise()),
        }
    }

    /// The deliveries around a fork that are waited for, the innermost first.
    pub(super) fn around(&self, fork: &Fork) -> Vec<u64> {
        fork.targets.iter().map(|t| t.1).collect()
    }

    /// Whether the machine, whose injected event has been resumed, is where the fork was.
    pub(super) fn is_rejoined(&self, machine: &mut Machine, fork: &Fork) -> bool {
        machine.cpu().regs.rip == self.baseline.places[fork.number].rip
            && !machine.has_waiting()
            && {
                let d = machine.differences(&fork.mark);
                self.weigh(machine, &d, fork.number).used.is_empty()
            }
    }

    /// What becomes of differences from boundary `number` on.
    fn weigh(&self, machine: &Machine, d: &Differences, number: usize) -> Seen {
        let time = u32::try_from(number).unwrap_or(u32::MAX);
        let live = &self.baseline.live;
        let mut seen = Seen {
            used: d.registers.clone(),
            left: Vec::new(),
            ignored: false,
        };
        if !machine.schedule_is_done() {
            seen.used.push("the rest of the schedule".to_owned());
        }
        if d.cr2 {
            match live.fate_of_cr2(time) {
                Fate::Read => seen.used.push("cr2".to_owned()),
                Fate::Untouched => seen.left.push("cr2".to_owned()),
                Fate::Overwritten => {}
            }
        }
        for (range, how) in &d.memory {
            let fate = live.fate(time, range, *how == MemoryDifference::Bytes);
            let ignored = |i: &Range<u64>| i.start <= range.start && range.end <= i.end;
            let list = match fate {
                Fate::Overwritten => continue,
                // A walk of its own may set them later, or not: nobody sees that.
                Fate::Untouched if *how == MemoryDifference::AccessedDirty => continue,
                Fate::Untouched => &mut seen.left,
                Fate::Read if self.plan.ignore.iter().any(ignored) => {
                    seen.ignored = true;
                    &mut seen.left
                }
                Fate::Read => &mut seen.used,
            };
            push_new(list, name_of(self.image, range.start));
        }
        for entry in &d.translations {
            if live.is_written(time, entry.0) {
                push_new(&mut seen.used, "cached translations".to_owned());
            }
        }
        seen
    }

    /// The run ended before the interrupted context was reached.
    pub(super) fn ended(&self, machine: &mut Machine, fork: &Fork, stop: &StopReason) -> Outcome {
        let rip = machine.cpu().regs.rip;
        let hung = match stop {
            StopReason::Limit { .. } => self.repeats(machine),
            StopReason::HaltedForever => true,
            _ => false,
        };
        machine.show_checks();
        machine.end_checks(stop);
        let found = self.found(machine, fork);
        let rules = found.as_ref().map(|f| f.what.clone());
        let with = |text: &str| match &rules {
            Some(rules) => format!("{text}; {rules}"),
            None => text.to_owned(),
        };
        let place = found.as_ref().and_then(|f| f.rip).or(Some(rip));
        let mut outcome = match stop {
            StopReason::NotModelled { what, .. } => Outcome::new(Verdict::NotModelled, what),
            StopReason::TripleFault => Outcome::new(Verdict::Shutdown, with("triple fault")),
            StopReason::HaltedForever => Outcome::new(Verdict::Hung, with("halted for ever")),
            _ if hung => Outcome::new(Verdict::Hung, with("the same state again and again")),
            _ if found.is_some() => return found.unwrap_or_else(|| unreachable!()),
            StopReason::Limit { .. } => Outcome::new(
                Verdict::Limit,
                "the interrupted context was not reached in time",
            ),
            stop => Outcome::new(
                Verdict::Finding,
                format!("never-resumed; it ends: {}", stop.name()),
            ),
        };
        outcome.rip = place;
        outcome
    }

    /// The bad findings since the fork that the undisturbed run does not have.
    fn found(&self, machine: &Machine, fork: &Fork) -> Option<Outcome> {
        let mut names: Vec<&str> = Vec::new();
        let mut rip = None;
        for f in machine.findings()?.iter().skip(fork.findings) {
            if self.plan.policy.denies(f) && !self.baseline.findings.contains(&(f.rule, f.rip.0)) {
                rip = rip.or(Some(f.rip.0));
                let name = f.rule.name();
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names.sort_unstable();
        (!names.is_empty()).then(|| Outcome {
            verdict: Verdict::Finding,
            what: names.join(", "),
            rip,
        })
    }

    /// Whether the machine comes to its present state again (Brent's algorithm, by arrivals at RIP).
    fn repeats(&self, machine: &mut Machine) -> bool {
        let begin = machine.boundary().icount;
        machine.set_max_insns(begin.saturating_add(2 * self.plan.patience));
        let rip = machine.cpu().regs.rip;
        let (mut power, mut arrivals) = (1u32, 0u32);
        let mut mark = machine.mark();
        let repeated = loop {
            if machine.advance(Until::Boundary) != StopReason::Until
                || machine.advance(Until::Address(crate::arch::VirtAddr(rip))) != StopReason::Until
            {
                break false;
            }
            if machine.differences(&mark).is_empty() {
                break true;
            }
            arrivals += 1;
            if arrivals >= 64 {
                break false;
            }
            if arrivals == power {
                power *= 2;
                machine.unmark();
                mark = machine.mark();
            }
        };
        machine.unmark();
        repeated
    }
}

fn push_new(list: &mut Vec<String>, name: String) {
    if !list.contains(&name) {
        list.push(name);
    }
}

/// Names in order, not too many of them.
fn listed(mut names: Vec<String>) -> String {
    names.sort_unstable();
    let more = names.len().saturating_sub(MAX_NAMES);
    names.truncate(MAX_NAMES);
    let mut text = names.join(", ");
    if more != 0 {
        text += &format!(" and {more} more");
    }
    text
}
