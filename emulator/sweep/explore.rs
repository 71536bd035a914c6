//! One machine that goes along the undisturbed run, and forks at its boundaries.

use super::baseline::{Baseline, go_to_window};
use super::error::SweepError;
use super::fork::{Fork, Moments};
use super::judge::Judge;
use super::plan::{Plan, ResolvedShot};
use super::tally::{Case, Tally};
use super::verdict::{Outcome, Verdict};
use crate::load::Image;
use crate::machine::{Machine, StopReason, Until};
use crate::schedule::StimulusKind;
use crate::trace::{Boundary, Source};

/// Boundaries that may lie between two of the undisturbed run's instructions.
const MAX_STEPS: u32 = 1 << 24;

/// The injections of a case, as they are added one by one.
#[derive(Clone, Debug)]
struct Chain {
    shots: Vec<String>,
    order: Vec<(u64, u32)>,
    schedule: Vec<String>,
    /// Boundaries at which those before the last one are the same case.
    times: u64,
}

impl Chain {
    const NONE: Self = Self {
        shots: Vec::new(),
        order: Vec::new(),
        schedule: Vec::new(),
        times: 1,
    };

    /// `places`: at how many boundaries the injection before it is the same case.
    fn with(&self, shot: &ResolvedShot, at: Boundary, places: usize) -> Self {
        let mut new = self.clone();
        new.times = new.times.saturating_mul(places as u64);
        new.shots.push(shot.source.name().to_owned());
        new.order.push((at.icount, at.sub));
        new.schedule
            .extend(shot.source.injections(at).iter().map(ToString::to_string));
        new
    }

    fn case<'a>(&'a self, rips: &'a [u64]) -> Case<'a> {
        Case {
            shots: &self.shots,
            order: &self.order,
            schedule: &self.schedule,
            rips,
            times: self.times,
        }
    }
}

/// A machine at some boundary of the undisturbed run.
pub(super) struct Explorer<'a> {
    machine: Machine,
    judge: Judge<'a>,
    plan: &'a Plan,
    levels: &'a [Vec<ResolvedShot>],
    baseline: &'a Baseline,
    /// The number of the boundary at which the machine is.
    here: usize,
    max_insns: u64,
    tally: Tally,
    moments: Moments,
}

impl<'a> Explorer<'a> {
    /// From a fresh machine; `levels` are the plan's, for this image.
    pub(super) fn new(
        mut machine: Machine,
        image: &'a Image,
        plan: &'a Plan,
        levels: &'a [Vec<ResolvedShot>],
        baseline: &'a Baseline,
    ) -> Result<Self, SweepError> {
        machine.enable_checks(plan.checks.clone());
        go_to_window(&mut machine, plan)?;
        let max_insns = machine.config().max_insns;
        Ok(Self {
            machine,
            judge: Judge {
                image,
                plan,
                baseline,
            },
            plan,
            levels,
            baseline,
            here: 0,
            max_insns,
            tally: Tally::default(),
            moments: Moments::default(),
        })
    }

    /// Goes on to boundary `number` of the undisturbed run.
    fn go_to(&mut self, number: usize) -> Result<(), SweepError> {
        let Some(place) = self.baseline.places.get(number) else {
            return Ok(());
        };
        self.machine.set_max_insns(self.max_insns);
        let ahead = place
            .at
            .icount
            .saturating_sub(self.machine.boundary().icount);
        if ahead > 2 {
            self.machine.advance(Until::Icount(place.at.icount - 1));
        }
        if !self.step_to(place.at) {
            return Err(SweepError::NotRepeated {
                boundary: place.at.to_string(),
            });
        }
        self.here = number;
        Ok(())
    }

    /// Steps on to this boundary.
    fn step_to(&mut self, at: Boundary) -> bool {
        let mut steps = 0u32;
        while self.machine.boundary() != at {
            let stop = self.machine.advance(Until::Boundary);
            steps += 1;
            if stop != StopReason::Until || self.machine.boundary() > at || steps > MAX_STEPS {
                return false;
            }
        }
        true
    }

    /// All cases that begin at the boundaries `numbers` of the window.
    pub(super) fn explore(
        &mut self,
        numbers: std::ops::Range<usize>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Tally>, SweepError> {
        for number in numbers {
            if stop() {
                return Ok(None);
            }
            let mut went = false;
            for shot in self.levels.first().into_iter().flatten() {
                let lands = self.baseline.lands(number, shot.source.kind());
                // A boundary whose successor leads to the same place is the same case.
                let next = number + 1 < self.baseline.window
                    && lands != Some(number)
                    && self.baseline.lands(number + 1, shot.source.kind()) == lands;
                if next && self.plan.reduce {
                    continue;
                }
                if !went {
                    self.go_to(number)?;
                    went = true;
                }
                let first = if self.plan.reduce {
                    self.first_with(number, shot, lands)
                } else {
                    number
                };
                self.case_at(shot, number, lands, first);
            }
        }
        Ok(Some(std::mem::take(&mut self.tally)))
    }

    /// The first boundary of the window that is the same case as `number`, where an event is
    /// not taken at once.
    fn first_with(&self, number: usize, shot: &ResolvedShot, lands: Option<usize>) -> usize {
        let same =
            |&n: &usize| !self.baseline.places[n].takes(shot.source.kind()) && lands != Some(n);
        if lands == Some(number) && !number.checked_sub(1).is_some_and(|n| same(&n)) {
            return number;
        }
        (0..number).rev().take_while(same).last().unwrap_or(number)
    }

    /// Raises `shot` at the boundary `number`, where the machine is; the event is taken at `lands`. The
    /// case stands for all boundaries from `first` on.
    fn case_at(&mut self, shot: &ResolvedShot, number: usize, lands: Option<usize>, first: usize) {
        let places = &self.baseline.places;
        let chain = Chain::NONE.with(shot, places[number].at, 1);
        let rips: Vec<u64> = places[first..=number].iter().map(|p| p.rip).collect();
        let case = chain.case(&rips);
        self.tally.runs += 1;
        let Some(lands) = lands else {
            let outcome = Outcome::new(Verdict::NotTaken, "the event is never taken");
            self.tally.add(&case, &outcome);
            return;
        };
        let start = self.machine.mark();
        // Nothing that is latched meanwhile is seen by software, so it is raised where it is taken.
        if self.step_to(places[lands].at) {
            let fork = Fork::new(&mut self.machine, self.baseline, lands, &mut self.moments);
            let outcome = self.shoot(shot, &fork, &chain, rips.len());
            self.tally.add(&case, &outcome);
            self.machine.rewind(&fork.mark);
            self.machine.unmark();
        } else {
            let outcome = Outcome::new(Verdict::NotTaken, "the run ends before the event is taken");
            self.tally.add(&case, &outcome);
        }
        self.machine.rewind(&start);
        self.machine.unmark();
    }

    /// Raises `shot` here, at level `level`; follows it, and what may be raised in its handler, to
    /// the verdict. `fork` is where the first of the chain was raised, `places` at how many
    /// boundaries the last one is the same case.
    fn shoot(&mut self, shot: &ResolvedShot, fork: &Fork, chain: &Chain, places: usize) -> Outcome {
        let level = chain.shots.len();
        if level == 1 && shot.source.kind() == StimulusKind::Nmi && self.machine.cpu().nmi.pending {
            return Outcome::new(Verdict::Same, "merged with one that waits");
        }
        let before = self.machine.cpu().activations.last_serial();
        let begin = self.machine.boundary().icount;
        self.machine
            .set_max_insns(begin.saturating_add(self.plan.patience));
        for &event in &shot.events {
            self.machine.raise(event, Source::Schedule);
        }
        let stop = self.machine.advance(Until::Boundary);
        let outcome = if stop == StopReason::Until {
            let newest = self.machine.cpu().activations.innermost();
            match newest
                .map(|a| a.id.serial)
                .filter(|&serial| serial > before)
            {
                None => Outcome::new(Verdict::NotTaken, "the event is not taken"),
                Some(serial) => {
                    if level < self.levels.len() {
                        self.explore_handler(serial, fork, chain, places);
                    }
                    let first = if level == 1 {
                        serial
                    } else {
                        fork.serial.get().unwrap_or(serial)
                    };
                    if level == 1 {
                        fork.serial.set(Some(serial));
                    }
                    self.judge.follow(&mut self.machine, fork, first, serial)
                }
            }
        } else {
            self.judge.ended(&mut self.machine, fork, &stop)
        };
        let end = self.machine.boundary().icount;
        self.tally.insns += end.saturating_sub(begin);
        match &self.plan.oracle {
            Some(oracle) => oracle.ask(&mut self.machine, outcome),
            None => outcome,
        }
    }

    /// Raises the shots of the next level at every boundary of what the event that was just delivered
    /// has caused, and comes back to its handler's first. That is the handler, and beyond it what goes
    /// on in another way than undisturbed, up to where a handler around it is resumed.
    fn explore_handler(&mut self, serial: u64, fork: &Fork, chain: &Chain, places: usize) {
        let handler = self.machine.mark();
        if fork.serial.get().is_none() {
            fork.serial.set(Some(serial));
        }
        let shots = &self.levels[chain.shots.len()];
        // Boundaries at which a shot was raised that has not been taken yet.
        let mut held: Vec<Vec<(Boundary, u64)>> = vec![Vec::new(); shots.len()];
        let mut steps = 0u64;
        let mut waits_for = Some(serial);
        let mut around = fork.around().into_iter();
        loop {
            let at = self.machine.boundary();
            let rip = self.machine.cpu().regs.rip;
            let open = |serial| self.machine.cpu().activations.is_unresumed(serial);
            while let Some(serial) = waits_for
                && !open(serial)
            {
                waits_for = around.next();
            }
            let mut over = waits_for.is_none();
            if !over && !self.machine.cpu().activations.is_unresumed(serial) {
                over = self.judge.is_rejoined(&mut self.machine, fork);
            }
            for (shot, held) in shots.iter().zip(&mut held) {
                let takes = self.machine.would_take(shot.source.kind());
                if !over && !takes {
                    held.push((at, rip));
                    continue;
                }
                let waited = std::mem::take(held);
                // Where it is over, only what was raised before is left.
                if !over {
                    self.at_level((shot, chain, places), fork, &[(at, rip)]);
                }
                if !waited.is_empty() {
                    if self.plan.reduce {
                        self.at_level((shot, chain, places), fork, &waited);
                    } else {
                        for one in waited {
                            self.at_level((shot, chain, places), fork, &[one]);
                        }
                    }
                }
            }
            steps += 1;
            if over || steps > self.plan.patience {
                break;
            }
            if self.machine.advance(Until::Boundary) != StopReason::Until {
                break;
            }
        }
        self.machine.rewind(&handler);
        self.machine.unmark();
    }

    /// One case at a deeper level: `shot` after `chain`, whose last one is the same case at so many
    /// boundaries; raised at `places`, taken here (or by whatever comes after).
    fn at_level(
        &mut self,
        (shot, chain, times): (&ResolvedShot, &Chain, usize),
        fork: &Fork,
        places: &[(Boundary, u64)],
    ) {
        let Some(&(at, _)) = places.last() else {
            return;
        };
        let chain = chain.with(shot, at, times);
        let here = self.machine.mark();
        let outcome = self.shoot(shot, fork, &chain, places.len());
        self.machine.rewind(&here);
        self.machine.unmark();
        self.tally.runs += 1;
        let rips: Vec<u64> = places.iter().map(|p| p.1).collect();
        self.tally.add(&chain.case(&rips), &outcome);
    }
}
