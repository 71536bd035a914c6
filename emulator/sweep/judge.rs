//! From an injection to its verdict.
//!
//! The interrupted context is reached again when the delivery is resumed. There the machine is
//! compared with what it was when it was interrupted. What differs must not be read by the rest of
//! the undisturbed run: then that run is what follows, and need not be run again.

use super::baseline::Baseline;
use super::fork::{END, Fork};
use super::plan::Plan;
use super::verdict::{Outcome, Verdict};
use super::weigh::{Seen, listed};
use crate::arch::VirtAddr;
use crate::load::Image;
use crate::machine::{Differences, Machine, Moment, StopReason, Until};
use crate::schedule::StimulusKind;

/// Who decides.
#[derive(Clone, Copy)]
pub(super) struct Judge<'a> {
    pub(super) image: &'a Image,
    pub(super) plan: &'a Plan,
    pub(super) baseline: &'a Baseline,
}

/// Instructions in which a CPU that was woken comes back to its HLT.
const BACK_TO_HLT: u32 = 256;

/// Events that wait for a handler's end and are followed too.
const MAX_WAITING: u32 = 8;

/// Arrivals at one instruction after which a state that has not come again is not waited for.
const MAX_ARRIVALS: u32 = 64;

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
        for _ in 0..MAX_WAITING {
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
        machine.excuse_output(&fork.mark);
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
            machine.excuse_output_to(moment);
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
            return same_except(left);
        };
        match &stop {
            // Not reduced, and the undisturbed run was followed to no end.
            _ if used.is_empty() && fork.end.is_none() => same_except(left),
            StopReason::TripleFault => {
                Outcome::new(Verdict::Shutdown, format!("after {}", listed(used)))
            }
            StopReason::NotModelled { what, .. } => Outcome::new(Verdict::NotModelled, what),
            stop if *stop == self.baseline.stop
                && let Some(moment) = &fork.end =>
            {
                self.at_end(machine, fork, moment, used)
            }
            StopReason::Limit { .. } => Outcome::new(Verdict::Differs, listed(used)),
            stop if *stop == self.baseline.stop => Outcome::new(Verdict::Differs, listed(used)),
            stop => {
                let what = format!("{}; it ends otherwise: {}", listed(used), stop.name());
                Outcome::new(Verdict::Differs, what)
            }
        }
    }

    /// At the end that the undisturbed run has too: perhaps what was `used` had no effect.
    fn at_end(
        &self,
        machine: &mut Machine,
        fork: &Fork,
        moment: &Moment,
        used: Vec<String>,
    ) -> Outcome {
        let d = machine.differences_from(moment, &fork.mark);
        let last = self.weigh(machine, &d, END);
        if !last.used.is_empty() {
            let what = format!("{}, to the end: {}", listed(used), listed(last.used));
            return Outcome::new(Verdict::Differs, what);
        }
        if used.is_empty() {
            return same_except(last.left);
        }
        let mut what = listed(last.left);
        let semicolon = if what.is_empty() { "" } else { "; " };
        what = format!("{what}{semicolon}used without effect: {}", listed(used));
        Outcome::new(Verdict::SameExcept, what)
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

    /// The run ended before the interrupted context was reached.
    pub(super) fn ended(&self, machine: &mut Machine, fork: &Fork, stop: &StopReason) -> Outcome {
        let rip = machine.cpu().regs.rip;
        let hung = matches!(stop, StopReason::Limit { .. }) && self.repeats(machine);
        machine.end_checks(stop);
        let found = self.found(machine, fork);
        let rip = found.as_ref().and_then(|f| f.rip).or(Some(rip));
        let with = |text: &str| match &found {
            Some(found) => format!("{text}; {}", found.what),
            None => text.to_owned(),
        };
        let (verdict, what) = match stop {
            StopReason::NotModelled { what, .. } => (Verdict::NotModelled, what.clone()),
            StopReason::TripleFault => (Verdict::Shutdown, with("triple fault")),
            StopReason::HaltedForever => (Verdict::Hung, with("halted for ever")),
            _ if hung => (Verdict::Hung, with("the same state again and again")),
            stop => match (found, stop) {
                (Some(found), _) => return found,
                (None, StopReason::Limit { .. }) => {
                    let what = "the interrupted context was not reached in time";
                    (Verdict::Limit, what.to_owned())
                }
                (None, stop) => {
                    let what = format!("never-resumed; it ends: {}", stop.name());
                    (Verdict::Finding, what)
                }
            },
        };
        Outcome { verdict, what, rip }
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
                || machine.advance(Until::Address(VirtAddr(rip))) != StopReason::Until
            {
                break false;
            }
            let d = machine.differences(&mark);
            // As time goes on, a timer will end it.
            let timer = d.time && machine.next_deadline().is_some();
            let state = Differences {
                time: false,
                checks: false,
                output: false,
                ..d
            };
            if state.is_empty() && !timer {
                break true;
            }
            arrivals += 1;
            if arrivals >= MAX_ARRIVALS {
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

/// Nothing that differs matters; these bytes are left.
fn same_except(left: Vec<String>) -> Outcome {
    let verdict = if left.is_empty() {
        Verdict::Same
    } else {
        Verdict::SameExcept
    };
    Outcome::new(verdict, listed(left))
}
