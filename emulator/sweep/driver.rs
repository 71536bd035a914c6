//! The whole sweep: parts of the window, on several threads, with what is done kept.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};

use super::baseline::Baseline;
use super::error::SweepError;
use super::explore::Explorer;
use super::plan::{Plan, ResolvedShot, Shot};
use super::tally::Tally;
use crate::load::Image;
use crate::machine::Machine;
use crate::schedule::ResolveError;

/// Makes the machine of a sweep, loaded and with its schedule, at reset.
pub type MakeMachine<'a> = dyn Fn() -> Result<Machine, SweepError> + Sync + 'a;

/// Boundaries of one part of a sweep of one level.
pub const PART: usize = 64;

/// Boundaries of one part of a sweep of so many levels. Each level makes a boundary's cases as many
/// times more as a handler has boundaries; a part must stay small enough to be lost by a kill.
#[must_use]
pub const fn part_size(levels: usize) -> usize {
    match levels {
        0 | 1 => PART,
        2 => 4,
        _ => 1,
    }
}

/// A sweep over one image.
pub struct Sweep<'a> {
    make: &'a MakeMachine<'a>,
    image: &'a Image,
    plan: &'a Plan,
    levels: Vec<Vec<ResolvedShot>>,
    baseline: Baseline,
    shown: Image,
}

impl std::fmt::Debug for Sweep<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sweep")
            .field("window", &self.baseline.window)
            .finish_non_exhaustive()
    }
}

/// What a sweep is told while it runs: a part, by number, and its result.
pub type OnPart<'a> = dyn FnMut(usize, &Tally) -> Result<(), SweepError> + 'a;

impl<'a> Sweep<'a> {
    /// Finds the places that the plan's events name, and follows the undisturbed run.
    ///
    /// # Errors
    /// Where there is no such place, no machine, or no window.
    pub fn new(
        make: &'a MakeMachine<'a>,
        image: &'a Image,
        plan: &'a Plan,
    ) -> Result<Self, SweepError> {
        let resolved = |shots: &Vec<Shot>| -> Result<Vec<_>, _> {
            shots.iter().map(|s| s.resolve(&image.symbols)).collect()
        };
        let levels = plan
            .levels
            .iter()
            .map(resolved)
            .collect::<Result<_, ResolveError>>()?;
        let mut machine = make()?;
        let baseline = Baseline::follow(&mut machine, plan)?;
        let shown = image.as_in(|at, bytes| machine.ram().read(at.0, bytes));
        Ok(Self {
            shown,
            make,
            image,
            plan,
            levels,
            baseline,
        })
    }

    /// What is injected, level by level.
    #[must_use]
    pub fn levels(&self) -> &[Vec<ResolvedShot>] {
        &self.levels
    }

    /// The undisturbed run.
    #[must_use]
    pub const fn baseline(&self) -> &Baseline {
        &self.baseline
    }

    /// The image as it is in RAM where the undisturbed run was left: a kernel patches its own code.
    /// Reports disassemble this.
    #[must_use]
    pub const fn shown(&self) -> &Image {
        &self.shown
    }

    /// Boundaries of each part but the last.
    #[must_use]
    pub const fn part_size(&self) -> usize {
        part_size(self.plan.levels.len())
    }

    /// How many parts there are.
    #[must_use]
    pub const fn parts(&self) -> usize {
        self.baseline.window.div_ceil(self.part_size())
    }

    /// The boundaries of a part.
    #[must_use]
    pub fn part(&self, number: usize) -> Range<usize> {
        let size = self.part_size();
        let from = number.saturating_mul(size).min(self.baseline.window);
        from..(from + size).min(self.baseline.window)
    }

    /// Explores `parts` (rising numbers) on `jobs` threads. `on_part` is told of each as it ends, in any order.
    /// Ends early when `interrupt` is set; parts that are not complete count for nothing.
    ///
    /// # Errors
    /// The first of any thread, or what `on_part` says.
    pub fn explore(
        &self,
        parts: &[usize],
        jobs: usize,
        interrupt: &AtomicBool,
        on_part: &mut OnPart<'_>,
    ) -> Result<(), SweepError> {
        let next = AtomicUsize::new(0);
        let failed: Mutex<Option<SweepError>> = Mutex::new(None);
        let halt = AtomicBool::new(false);
        let (send, receive) = mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..jobs.clamp(1, parts.len().max(1)) {
                let send = send.clone();
                let (next, failed, halt) = (&next, &failed, &halt);
                scope.spawn(move || {
                    if let Err(e) = self.work(parts, next, halt, interrupt, &send) {
                        halt.store(true, Ordering::Relaxed);
                        if let Ok(mut failed) = failed.lock() {
                            failed.get_or_insert(e);
                        }
                    }
                });
            }
            drop(send);
            for (number, tally) in receive {
                if let Err(e) = on_part(number, &tally) {
                    halt.store(true, Ordering::Relaxed);
                    if let Ok(mut failed) = failed.lock() {
                        failed.get_or_insert(e);
                    }
                }
            }
        });
        match failed.into_inner() {
            Ok(Some(e)) => Err(e),
            _ => Ok(()),
        }
    }

    fn work(
        &self,
        parts: &[usize],
        next: &AtomicUsize,
        halt: &AtomicBool,
        interrupt: &AtomicBool,
        send: &mpsc::Sender<(usize, Tally)>,
    ) -> Result<(), SweepError> {
        let mut explorer = Explorer::new(
            (self.make)()?,
            self.image,
            self.plan,
            &self.levels,
            &self.baseline,
        )?;
        let stop = || interrupt.load(Ordering::Relaxed) || halt.load(Ordering::Relaxed);
        while let Some(&number) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
            match explorer.explore(self.part(number), &stop)? {
                Some(tally) => {
                    if send.send((number, tally)).is_err() {
                        break;
                    }
                }
                None => break,
            }
        }
        Ok(())
    }

    /// Explores everything on one thread.
    ///
    /// # Errors
    /// As [`explore`](Self::explore).
    pub fn all(&self) -> Result<Tally, SweepError> {
        let parts: Vec<usize> = (0..self.parts()).collect();
        let mut sum = Tally::default();
        self.explore(&parts, 1, &AtomicBool::new(false), &mut |_, tally| {
            sum.merge(tally.clone());
            Ok(())
        })?;
        Ok(sum)
    }
}
