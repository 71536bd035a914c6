//! How one cell is made: an undisturbed run, the sweep, the runs that represent it.

use std::sync::atomic::AtomicBool;

use super::cell::{BURST, Burst, Cell, PERIOD, Run, SweepSum, WINDOW, WINDOW_END, Worst};
use super::census::Counter;
use super::counts::{Counted, count};
use super::error::MatrixError;
use super::nmi_cost::nmi_cost;
use super::plan::MatrixPlan;
use super::subject::Subject;
use crate::arch::VirtAddr;
use crate::check::{CheckConfig, Level, RuleId};
use crate::machine::{StopReason, Until};
use crate::schedule::{Injection, ResolvedInjection, ScheduleError, Stimulus, Trigger, resolve};
use crate::sweep::{Bound, Class, Key, Plan, Shot, Sweep, SweepError, Tally, Verdict};
use crate::trace::Boundary;

fn run_of(counted: Counted, insns: u64) -> Run {
    let stop = counted.stop;
    Run {
        end: stop.name().to_owned(),
        text: stop.to_string(),
        success: matches!(stop, StopReason::GuestExit { success: true, .. }),
        said: counted.said,
        insns,
        counts: counted.counts,
    }
}

/// What the sweep of a cell is asked to do.
fn sweep_plan(plan: &MatrixPlan, window: VirtAddr, end: VirtAddr, body: Option<VirtAddr>) -> Plan {
    let mut sweep = Plan {
        levels: vec![vec![Shot::nmi()]; plan.depth.max(1)],
        from: Some(Bound::Address(window)),
        to: Some(Bound::Address(end)),
        patience: plan.patience.max(1),
        checks: CheckConfig {
            nmi_body: body,
            ..CheckConfig::default()
        },
        ..Plan::default()
    };
    // What only the undisturbed run can show.
    sweep.policy.set(RuleId::UnreachableStimulus, Level::Allow);
    sweep
}

/// The worst class, and of these the one with the shortest schedule.
fn worst(tally: &Tally) -> Option<(&Key, &Class)> {
    let verdict = tally.worst()?;
    let classes = tally.classes.iter().filter(|(k, _)| k.verdict == verdict);
    classes.min_by_key(|(k, c)| (c.order.len(), &c.order, *k))
}

/// Makes one cell; `None`: it was interrupted.
pub(super) fn cell(
    subject: &Subject,
    names: (&str, &str),
    plan: &MatrixPlan,
    interrupt: &AtomicBool,
) -> Result<Option<Cell>, MatrixError> {
    let (window, end) = (subject.symbol(WINDOW)?, subject.symbol(WINDOW_END)?);
    let body = subject.nmi_body();
    let at = body.map(|(_, at)| at);
    let (undisturbed, begin) = undisturbed(subject, window, at)?;
    let counter = Counter::default();
    let sweep_plan = Plan {
        oracle: Some(counter.oracle()),
        ..sweep_plan(plan, window, end, at)
    };
    let make = || subject.machine();
    let sweep =
        Sweep::new(&make, &subject.image, &sweep_plan).map_err(|error| subject.failed(error))?;
    let parts: Vec<usize> = (0..sweep.parts()).collect();
    let (mut tally, mut done) = (Tally::default(), 0);
    sweep
        .explore(&parts, 1, interrupt, &mut |_, part| {
            tally.merge(part.clone());
            done += 1;
            Ok(())
        })
        .map_err(|error| subject.failed(error))?;
    if done != parts.len() {
        return Ok(None);
    }
    // As the sweep's commands have it.
    let mut command = subject.command.clone();
    command.extend(["--time".to_owned(), "frozen".to_owned()]);
    command.extend(body.map(|(name, _)| format!("--nmi-body={name}")));
    let replay = |schedule: &[String], nmis: u64| -> Result<(Vec<String>, Run), MatrixError> {
        let more = plan.patience.saturating_mul(nmis);
        let most = undisturbed.insns.saturating_add(more);
        let run = replay(subject, schedule, at, most)?;
        let mut words = command.clone();
        if run.end == (StopReason::Limit { max_insns: 0 }).name() {
            words.extend(["--max-insns".to_owned(), most.to_string()]);
        }
        for option in schedule {
            words.extend(option.split(' ').map(str::to_owned));
        }
        Ok((words, run))
    };
    let worst = match worst(&tally) {
        None => None,
        Some((key, class)) => {
            let (command, run) = replay(&class.schedule, 2)?;
            Some(Worst {
                verdict: key.verdict,
                what: key.what.clone(),
                schedule: class.schedule.clone(),
                command,
                run,
            })
        }
    };
    let (burst_command, burst) = replay(&burst(begin), BURST)?;
    let counts = tally.counts();
    Ok(Some(Cell {
        pages: names.0.to_owned(),
        nmi: names.1.to_owned(),
        command: subject.command.clone(),
        undisturbed,
        sweep: SweepSum {
            boundaries: sweep.baseline().window as u64,
            cases: tally.cases,
            runs: tally.runs,
            insns: tally.insns,
            verdicts: Verdict::ALL
                .into_iter()
                .filter(|&v| counts[v as usize] != 0)
                .map(|v| (v.name().to_owned(), counts[v as usize]))
                .collect(),
            census: counter.census(),
        },
        worst,
        burst: Burst {
            command: burst_command,
            run: burst,
        },
        nmi_cost: nmi_cost(subject, (window, end), plan.patience)?,
    }))
}

/// The schedule of [`Cell::burst`], from this boundary on.
fn burst(begin: Boundary) -> Vec<String> {
    let at = |n| Boundary {
        icount: begin.icount.saturating_add(n * PERIOD),
        sub: 0,
    };
    (0..BURST)
        .map(|n| {
            Injection {
                what: Stimulus::Nmi,
                when: Trigger::Icount(at(n)),
            }
            .to_string()
        })
        .collect()
}

/// The run into which nothing is injected, and where it came to the window.
fn undisturbed(
    subject: &Subject,
    window: VirtAddr,
    body: Option<VirtAddr>,
) -> Result<(Run, Boundary), MatrixError> {
    let failed = |e| subject.failed(e);
    let mut machine = subject.machine().map_err(failed)?;
    machine.set_max_insns(MOST);
    let stop = machine.advance(Until::Address(window));
    if stop != StopReason::Until {
        return Err(MatrixError::NoWindow {
            definitions: subject.definitions(),
            symbol: WINDOW,
            stop: stop.to_string(),
        });
    }
    let begin = machine.boundary();
    let mut machine = subject.machine().map_err(failed)?;
    machine.set_max_insns(MOST);
    let counted = count(&mut machine, body);
    let run = run_of(counted, machine.boundary().icount);
    Ok((run, begin))
}

/// Instructions of an undisturbed run of a cell: beyond that it is too long to be swept.
const MOST: u64 = 100_000_000;

/// A run with this schedule, from reset to its end.
fn replay(
    subject: &Subject,
    schedule: &[String],
    body: Option<VirtAddr>,
    most: u64,
) -> Result<Run, MatrixError> {
    let mut machine = subject.machine().map_err(|e| subject.failed(e))?;
    machine.set_max_insns(most);
    let resolved = schedule.iter().map(|o| resolved(subject, o));
    machine.set_schedule(resolved.collect::<Result<_, _>>()?);
    let counted = count(&mut machine, body);
    Ok(run_of(counted, machine.boundary().icount))
}

/// An option of a schedule that a sweep has written.
fn resolved(subject: &Subject, option: &str) -> Result<ResolvedInjection, MatrixError> {
    let failed = |why: String| {
        subject.failed(SweepError::Shot {
            text: option.to_owned(),
            why,
        })
    };
    let injection: Injection = option
        .parse()
        .map_err(|e: ScheduleError| failed(e.to_string()))?;
    resolve(injection, &subject.image.symbols).map_err(|e| failed(e.to_string()))
}
