//! One cell: a page-table strategy with an NMI strategy, swept.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use super::census::{Census, Counter};
use super::counts::{Counted, Counts, count};
use super::error::MatrixError;
use super::nmi_cost::{NmiCost, nmi_cost};
use super::plan::MatrixPlan;
use super::subject::Subject;
use crate::arch::VirtAddr;
use crate::check::{CheckConfig, RuleId};
use crate::machine::{StopReason, Until};
use crate::schedule::{Injection, ResolvedInjection, Stimulus, Trigger, resolve};
use crate::sweep::{Bound, Class, Key, Plan, Shot, Sweep, Tally, Verdict};
use crate::trace::Boundary;

/// Where the window that is swept begins.
pub const WINDOW: &str = "window";

/// Where it ends.
pub const WINDOW_END: &str = "window_end";

/// How one run ended, and what happened in it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Run {
    /// The short name of the end: `guest-success`.
    pub end: String,
    /// The end in words.
    pub text: String,
    /// Whether the guest reported success.
    pub success: bool,
    /// The last line on the guest's console.
    pub said: String,
    /// Instructions.
    pub insns: u64,
    /// What happened.
    pub counts: Counts,
}

/// What the sweep of a cell came to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SweepSum {
    /// Boundaries of the window.
    pub boundaries: u64,
    /// Cases: injections at a boundary, at all levels.
    pub cases: u64,
    /// Cases that had to be run.
    pub runs: u64,
    /// Instructions that these retired.
    pub insns: u64,
    /// Cases by verdict.
    pub verdicts: BTreeMap<String, u64>,
    /// Runs that show what.
    pub census: Census,
}

/// The case that represents a cell: of the worst verdict, the one with the fewest injections, and the
/// earliest of these.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Worst {
    /// The verdict.
    pub verdict: Verdict,
    /// In words.
    pub what: String,
    /// The schedule, as options.
    pub schedule: Vec<String>,
    /// The command that runs it, from reset to the end.
    pub command: Vec<String>,
    /// That run.
    pub run: Run,
}

/// A run with many NMIs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Burst {
    /// The command.
    pub command: Vec<String>,
    /// What came of it.
    pub run: Run,
}

/// One cell.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cell {
    /// The page-table strategy.
    pub pages: String,
    /// The NMI strategy.
    pub nmi: String,
    /// The command of the undisturbed run.
    pub command: Vec<String>,
    /// The undisturbed run.
    pub undisturbed: Run,
    /// What an NMI at every boundary came to.
    pub sweep: SweepSum,
    /// The worst case; none if nothing could be injected.
    pub worst: Option<Worst>,
    /// [`BURST`] NMIs, one every [`PERIOD`] instructions from the window on.
    pub burst: Burst,
    /// What one NMI costs, if one is resumed.
    pub nmi_cost: Option<NmiCost>,
}

/// NMIs of [`Cell::burst`].
pub const BURST: u64 = 32;

/// Instructions between them.
pub const PERIOD: u64 = 32;

impl Cell {
    /// Whether the program alone fails, or some NMI makes it fail.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        !self.undisturbed.success || self.worst.as_ref().is_some_and(|w| w.verdict.is_bad())
    }

    /// Whether something was not decided.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        let names = Verdict::ALL.into_iter().filter(|v| v.is_undecided());
        let verdicts = &self.sweep.verdicts;
        names.into_iter().any(|v| verdicts.contains_key(v.name()))
    }

    /// The run whose counts stand for the cell: of the worst case, or undisturbed if the program
    /// fails by itself or nothing was injected.
    #[must_use]
    pub fn representative(&self) -> &Run {
        match &self.worst {
            Some(worst) if self.undisturbed.success => &worst.run,
            _ => &self.undisturbed,
        }
    }

    /// The verdict in a few words: `fine`, `frame-lost`, `hung`, `fails alone`.
    #[must_use]
    pub fn short_verdict(&self) -> String {
        match &self.worst {
            _ if !self.undisturbed.success => "fails alone".to_owned(),
            Some(w) if w.verdict == Verdict::Finding => w.what.clone(),
            Some(w) if w.verdict.is_bad() || w.verdict.is_undecided() => w.verdict.to_string(),
            _ => "fine".to_owned(),
        }
    }

    /// The verdict in words: `fine`, `finding: frame-lost`, `fails alone: triple-fault`.
    #[must_use]
    pub fn verdict(&self) -> String {
        if !self.undisturbed.success {
            let run = &self.undisturbed;
            let why = if run.said.is_empty() {
                &run.end
            } else {
                &run.said
            };
            return format!("fails alone: {why}");
        }
        match &self.worst {
            Some(w) if w.verdict.is_bad() || w.verdict.is_undecided() => {
                if w.what.is_empty() {
                    w.verdict.to_string()
                } else {
                    format!("{}: {}", w.verdict, w.what)
                }
            }
            _ => "fine".to_owned(),
        }
    }
}

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
    sweep
        .policy
        .set(RuleId::UnreachableStimulus, crate::check::Level::Allow);
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
    machine.set_schedule(
        schedule
            .iter()
            .filter_map(|o| resolved(subject, o))
            .collect(),
    );
    let counted = count(&mut machine, body);
    Ok(run_of(counted, machine.boundary().icount))
}

/// An option of a schedule that this program has written itself.
fn resolved(subject: &Subject, option: &str) -> Option<ResolvedInjection> {
    let injection: Injection = option.parse().ok()?;
    resolve(injection, &subject.image.symbols).ok()
}
