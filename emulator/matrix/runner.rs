//! All cells and all cost runs, on several threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};

use super::cell::Cell;
use super::cost::{CostRun, cost_run};
use super::error::MatrixError;
use super::plan::{CostSeries, MatrixPlan};
use super::report::MatrixReport;
use super::strategy::Strategy;
use super::subject::{Open, Subject};
use super::sweep_cell::cell;

/// A matrix of one program.
pub struct Matrix<'a> {
    /// Makes its image.
    pub open: &'a Open<'a>,
    /// The words by which a command names it: `@thread`, and the options of its image.
    pub program: Vec<String>,
    /// What is asked.
    pub plan: &'a MatrixPlan,
}

impl std::fmt::Debug for Matrix<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Matrix")
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}

/// One piece of the work.
#[derive(Clone, Copy)]
enum Job<'a> {
    Cell(&'static Strategy, &'static Strategy),
    Cost(&'static Strategy, &'a CostSeries, u64),
}

/// What a piece came to.
enum Done {
    Cell(Box<Cell>),
    Cost(Box<CostRun>),
}

/// How much is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Cells and cost runs.
    pub done: u64,
    /// Of so many.
    pub total: u64,
    /// Cases of the cells' sweeps.
    pub cases: u64,
}

impl Matrix<'_> {
    fn jobs(&self) -> Vec<Job<'_>> {
        let plan = self.plan;
        let mut jobs = Vec::new();
        // The longest first, so that all threads end at about the same time.
        for &pages in plan.pages.iter().filter(|_| plan.cells) {
            jobs.extend(plan.nmi.iter().map(|&nmi| Job::Cell(pages, nmi)));
        }
        for series in &plan.costs {
            for &pages in &plan.pages {
                let sizes = series.sizes.iter();
                jobs.extend(sizes.map(|&n| Job::Cost(pages, series, n)));
            }
        }
        jobs
    }

    fn make(&self, job: Job<'_>, interrupt: &AtomicBool) -> Result<Option<Done>, MatrixError> {
        let subject =
            |pages, nmi, define| Subject::open(self.open, &self.program, (pages, nmi), define);
        match job {
            Job::Cell(pages, nmi) => {
                let subject = subject(pages, nmi, Vec::new())?;
                let made = cell(&subject, (pages.word, nmi.word), self.plan, interrupt)?;
                Ok(made.map(|c| Done::Cell(Box::new(c))))
            }
            Job::Cost(pages, series, n) => {
                let subject = subject(pages, self.plan.cost_nmi, series.definitions(n)?)?;
                let made = cost_run(&subject, pages.word, (series.axis, n), interrupt)?;
                Ok(made.map(|c| Done::Cost(Box::new(c))))
            }
        }
    }

    /// Makes everything on `jobs` threads. The report is the same for any number of them. `on_done` is
    /// told of each piece; when `interrupt` is set, what is complete so far is the report.
    ///
    /// # Errors
    /// That of the first piece, in the report's order, that is not possible.
    pub fn run(
        &self,
        jobs: usize,
        interrupt: &AtomicBool,
        on_done: &mut dyn FnMut(Progress),
    ) -> Result<MatrixReport, MatrixError> {
        let all = self.jobs();
        let mut made: Vec<Option<Done>> = all.iter().map(|_| None).collect();
        let next = AtomicUsize::new(0);
        let halt = AtomicBool::new(false);
        let failed: Mutex<Option<(usize, MatrixError)>> = Mutex::new(None);
        let mut progress = Progress {
            total: all.len() as u64,
            ..Progress::default()
        };
        on_done(progress);
        let (send, receive) = mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..jobs.clamp(1, all.len().max(1)) {
                let send = send.clone();
                let (next, halt, failed, all) = (&next, &halt, &failed, &all);
                scope.spawn(move || {
                    while !halt.load(Ordering::Relaxed) && !interrupt.load(Ordering::Relaxed) {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(&job) = all.get(number) else { break };
                        match self.make(job, interrupt) {
                            Ok(Some(done)) => {
                                if send.send((number, done)).is_err() {
                                    break;
                                }
                            }
                            Ok(None) => break,
                            Err(e) => {
                                halt.store(true, Ordering::Relaxed);
                                if let Ok(mut failed) = failed.lock()
                                    && failed.as_ref().is_none_or(|(n, _)| *n > number)
                                {
                                    *failed = Some((number, e));
                                }
                            }
                        }
                    }
                });
            }
            drop(send);
            for (number, done) in receive {
                progress.done += 1;
                if let Done::Cell(cell) = &done {
                    progress.cases = progress.cases.saturating_add(cell.sweep.cases);
                }
                on_done(progress);
                made[number] = Some(done);
            }
        });
        if let Ok(Some((_, e))) = failed.into_inner() {
            return Err(e);
        }
        let name = self.program.first().cloned().unwrap_or_default();
        let mut report = MatrixReport::new(&name, self.plan);
        report.complete = made.iter().all(Option::is_some);
        for done in made.into_iter().flatten() {
            match done {
                Done::Cell(cell) => report.cells.push(*cell),
                Done::Cost(run) => report.costs.push(*run),
            }
        }
        Ok(report)
    }
}
