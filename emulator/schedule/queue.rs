//! A schedule during a run: what is due at a boundary, and where the machine must stop for it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::injection::{Injection, Stimulus};
use super::resolve::{ResolvedInjection, ResolvedOrigin, ResolvedTrigger};
use crate::arch::{Vector, VirtAddr};
use crate::trace::Boundary;

/// What the schedule must know of a boundary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BoundaryContext {
    /// Its name.
    pub at: Boundary,
    /// The next instruction.
    pub rip: VirtAddr,
    /// Whether that is IRET, IRETD or IRETQ.
    pub next_is_iret: bool,
    /// The vector whose delivery led to this boundary; `None` after an instruction.
    pub just_delivered: Option<Vector>,
    /// No NMI is pending, so one more would not be lost.
    pub nmi_can_be_latched: bool,
}

/// Counts arrivals at something down to the one that matters.
///
/// Boundaries belong to the same arrival while no instruction retires and nothing is delivered:
/// REP iterations, and a boundary that is looked at again. Control that comes back, by IRET or by
/// a loop, arrives anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Arrivals {
    /// Arrivals until it fires.
    left: u32,
    /// The last boundary here.
    here: Option<Boundary>,
}

impl Arrivals {
    const fn nth(nth: u32) -> Self {
        Self {
            left: nth,
            here: None,
        }
    }

    /// Counts the boundary if it is an arrival; whether it is the one that matters.
    fn arrive(&mut self, ctx: &BoundaryContext) -> bool {
        let same = self.here.is_some_and(|here| {
            here == ctx.at || (here.icount == ctx.at.icount && ctx.just_delivered.is_none())
        });
        self.here = Some(ctx.at);
        if same {
            return false;
        }
        self.left = self.left.saturating_sub(1);
        self.left == 0
    }
}

/// How far one injection has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Progress {
    At(VirtAddr, Arrivals),
    Icount(Boundary),
    After(Vector, Arrivals),
    BeforeIret(Arrivals),
    EveryFrom { period: u64, start: VirtAddr },
    Every { period: u64, next: u64 },
    StormFrom { count: u32, start: VirtAddr },
    Storm { left: u32, from: u64 },
    Done,
}

impl Progress {
    const fn start(when: ResolvedTrigger) -> Self {
        match when {
            ResolvedTrigger::At { address, nth } => Self::At(address, Arrivals::nth(nth)),
            ResolvedTrigger::Icount(at) => Self::Icount(at),
            ResolvedTrigger::After { vector, nth } => Self::After(vector, Arrivals::nth(nth)),
            ResolvedTrigger::BeforeIret { nth } => Self::BeforeIret(Arrivals::nth(nth)),
            ResolvedTrigger::Every { period, from } => match from {
                ResolvedOrigin::Icount(next) => Self::Every { period, next },
                ResolvedOrigin::Address(start) => Self::EveryFrom { period, start },
            },
            ResolvedTrigger::Storm { count, from } => match from {
                ResolvedOrigin::Icount(from) => Self::Storm { left: count, from },
                ResolvedOrigin::Address(start) => Self::StormFrom { count, start },
            },
        }
    }

    /// The address where the machine must stop.
    const fn address(&self) -> Option<VirtAddr> {
        match self {
            Self::At(address, _) => Some(*address),
            Self::EveryFrom { start, .. } | Self::StormFrom { start, .. } => Some(*start),
            _ => None,
        }
    }

    /// The first boundary after `now` that may be due by its name alone.
    fn next_after(&self, now: Boundary) -> Option<Boundary> {
        let first = match *self {
            Self::Icount(at) => at,
            Self::Every { next, .. } => Boundary {
                // One that was passed without a look is due at the next instruction.
                icount: next.max(now.icount.checked_add(1)?),
                sub: 0,
            },
            Self::Storm { from, .. } => Boundary {
                icount: from,
                sub: 0,
            },
            _ => return None,
        };
        (first > now).then_some(first)
    }

    /// Whether it is due; counts, and steps on if it is.
    fn is_due(&mut self, ctx: &BoundaryContext, nmi_is_due: bool) -> bool {
        match self {
            Self::EveryFrom { period, start } if ctx.rip == *start => {
                *self = Self::Every {
                    period: *period,
                    next: ctx.at.icount,
                };
            }
            Self::StormFrom { count, start } if ctx.rip == *start => {
                *self = Self::Storm {
                    left: *count,
                    from: ctx.at.icount,
                };
            }
            _ => {}
        }
        match self {
            Self::At(address, arrivals) => {
                let due = ctx.rip == *address && arrivals.arrive(ctx);
                self.done_if(due)
            }
            Self::Icount(at) => {
                let due = *at == ctx.at;
                self.done_if(due)
            }
            Self::After(vector, arrivals) => {
                let due = ctx.just_delivered == Some(*vector) && arrivals.arrive(ctx);
                self.done_if(due)
            }
            Self::BeforeIret(arrivals) => {
                let due = ctx.next_is_iret && arrivals.arrive(ctx);
                self.done_if(due)
            }
            Self::Every { period, next } => {
                let Some(late) = ctx.at.icount.checked_sub(*next) else {
                    return false;
                };
                // A period is never 0 where it comes from text; the type does not say so.
                let periods = (late / (*period).max(1)).saturating_add(1);
                match periods
                    .checked_mul((*period).max(1))
                    .and_then(|step| next.checked_add(step))
                {
                    Some(after) => *next = after,
                    None => *self = Self::Done,
                }
                true
            }
            Self::Storm { left, from } => {
                let due = ctx.at.icount >= *from && ctx.nmi_can_be_latched && !nmi_is_due;
                if due {
                    *left = left.saturating_sub(1);
                    if *left == 0 {
                        *self = Self::Done;
                    }
                }
                due
            }
            Self::EveryFrom { .. } | Self::StormFrom { .. } | Self::Done => false,
        }
    }

    fn done_if(&mut self, due: bool) -> bool {
        if due {
            *self = Self::Done;
        }
        due
    }
}

/// One injection of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    progress: Progress,
    fired: bool,
}

/// A schedule during a run. It depends on nothing but the boundaries it is shown, in their order;
/// a clone is a snapshot.
///
/// The machine calls [`ScheduleState::at_boundary`] at least at each of these boundaries, once or
/// more often: the one it starts at, [`ScheduleState::next_boundary`], those at an address of
/// [`ScheduleState::breakpoints`], those right after a delivery, and those before an IRET.
#[derive(Clone, Debug)]
pub struct ScheduleState {
    injections: Arc<[ResolvedInjection]>,
    entries: Vec<Entry>,
    generation: u64,
}

/// Equal when the same is still to come: a comparison of two runs.
impl PartialEq for ScheduleState {
    fn eq(&self, other: &Self) -> bool {
        self.injections == other.injections && self.entries == other.entries
    }
}

impl Eq for ScheduleState {}

impl Default for ScheduleState {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl ScheduleState {
    /// The schedule at the start of a run.
    #[must_use]
    pub fn new(injections: Vec<ResolvedInjection>) -> Self {
        let entries = injections
            .iter()
            .map(|i| Entry {
                progress: Progress::start(i.when),
                fired: false,
            })
            .collect();
        Self {
            injections: injections.into(),
            entries,
            generation: 0,
        }
    }

    /// Adds an injection during a run. Its arrivals and deliveries are counted from now on.
    pub fn push(&mut self, injection: ResolvedInjection) {
        self.entries.push(Entry {
            progress: Progress::start(injection.when),
            fired: false,
        });
        let mut all = self.injections.to_vec();
        all.push(injection);
        self.injections = all.into();
        self.generation += 1;
    }

    fn live(&self) -> impl Iterator<Item = &Progress> {
        self.entries
            .iter()
            .map(|e| &e.progress)
            .filter(|p| **p != Progress::Done)
    }

    /// The first boundary after `now` at which something is due by icount.
    #[must_use]
    pub fn next_boundary(&self, now: Boundary) -> Option<Boundary> {
        self.live().filter_map(|p| p.next_after(now)).min()
    }

    /// The icount of [`ScheduleState::next_boundary`]. It is that of `now` itself when a later
    /// `sub` is asked for: then the machine must show every boundary until that one.
    #[must_use]
    pub fn next_icount(&self, now: Boundary) -> Option<u64> {
        self.next_boundary(now).map(|b| b.icount)
    }

    /// The addresses at which the machine must stop, each once, in ascending order.
    pub fn breakpoints(&self) -> impl Iterator<Item = VirtAddr> + use<> {
        let set: BTreeSet<VirtAddr> = self.live().filter_map(Progress::address).collect();
        set.into_iter()
    }

    /// Changes whenever [`ScheduleState::breakpoints`] may have.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether boundaries right after a delivery matter.
    #[must_use]
    pub fn wants_deliveries(&self) -> bool {
        self.live()
            .any(|p| matches!(p, Progress::After(..) | Progress::Storm { .. }))
            // Arrivals tell a return from a delivery by them.
            || self.live().any(|p| p.address().is_some())
            || self.wants_irets()
    }

    /// Whether boundaries before an IRET matter.
    #[must_use]
    pub fn wants_irets(&self) -> bool {
        self.live().any(|p| matches!(p, Progress::BeforeIret(_)))
    }

    /// Whether nothing is to come any more.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.live().next().is_none()
    }

    /// The injections that have not raised anything yet. At the end of a run: those whose time
    /// or place never came.
    pub fn unfired(&self) -> impl Iterator<Item = &Injection> {
        self.entries
            .iter()
            .zip(self.injections.iter())
            .filter(|(e, _)| !e.fired)
            .map(|(_, i)| &i.source)
    }

    /// What is due at this boundary, in the schedule's order; storms come last.
    pub fn at_boundary(&mut self, ctx: &BoundaryContext) -> Vec<Stimulus> {
        let mut due = Vec::new();
        for storms in [false, true] {
            for (entry, injection) in self.entries.iter_mut().zip(self.injections.iter()) {
                if matches!(injection.when, ResolvedTrigger::Storm { .. }) != storms
                    || entry.progress == Progress::Done
                {
                    continue;
                }
                let address = entry.progress.address();
                // One more NMI at the same boundary would be lost.
                let nmi_is_due = storms && due.contains(&Stimulus::Nmi);
                if entry.progress.is_due(ctx, nmi_is_due) {
                    entry.fired = true;
                    due.push(injection.what);
                }
                if entry.progress.address() != address {
                    self.generation += 1;
                }
            }
        }
        due
    }
}

#[cfg(test)]
mod tests;
