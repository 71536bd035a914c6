//! What the timer does in its three modes: one-shot, periodic, TSC-deadline.

use super::base::Mode;
use super::chip::Lapic;
use super::clock::TscClock;
use super::errors::esr;
use super::lvt::{LvtEntry, TimerMode};
use crate::device::{Concern, DeviceContext};
use crate::trace::Source;

impl Lapic {
    /// When the timer will raise its interrupt; `None` while it is masked or stands still.
    pub(super) fn timer_deadline(&self) -> Option<u64> {
        if self.masked(LvtEntry::Timer) {
            return None;
        }
        match self.timer_mode() {
            TimerMode::OneShot | TimerMode::Periodic => self.timer.expiry(),
            TimerMode::TscDeadline => self.timer.deadline_at,
            TimerMode::Reserved => None,
        }
    }

    /// Brings the timer to the present. An expiry while the entry is masked raises nothing, later
    /// neither.
    pub(super) fn settle_timer(&mut self, ctx: &mut DeviceContext<'_>) {
        if !self.timer.is_armed() {
            return;
        }
        let expired = match self.timer_mode() {
            TimerMode::OneShot => self.timer.settle(ctx.now(), false),
            TimerMode::Periodic => self.timer.settle(ctx.now(), true),
            TimerMode::TscDeadline => self.timer.deadline_at.is_some_and(|at| at <= ctx.now()),
            TimerMode::Reserved => false,
        };
        if !expired {
            return;
        }
        if self.timer_mode() == TimerMode::TscDeadline {
            // The interrupt disarms the timer and clears the MSR ("TSC-Deadline Mode").
            self.timer.stop();
        }
        if self.masked(LvtEntry::Timer) {
            return;
        }
        let vector = self.vector(LvtEntry::Timer);
        if vector < 16 {
            self.log_error(esr::RECEIVE_ILLEGAL_VECTOR, ctx);
        } else {
            self.accept(vector, Source::Timer, ctx);
        }
    }

    /// Writes an LVT entry. The timer's first counts up to now as its old value says; a change
    /// from or to TSC-deadline mode disarms it.
    pub(super) fn write_lvt(&mut self, entry: LvtEntry, value: u32, ctx: &mut DeviceContext<'_>) {
        if entry != LvtEntry::Timer {
            self.store_lvt(entry, value);
            return;
        }
        self.settle_timer(ctx);
        let old = self.timer_mode();
        self.store_lvt(entry, value);
        let new = self.timer_mode();
        if old != new && !(old.counts() && new.counts()) {
            self.timer.stop();
        }
        if new == TimerMode::Reserved {
            let text = "LVT timer: mode 3 is reserved; the timer stands still";
            ctx.report("lapic", Concern::Violation, text);
        }
    }

    /// Writes the initial count; without effect in TSC-deadline mode.
    pub(super) fn write_initial_count(&mut self, value: u32, ctx: &mut DeviceContext<'_>) {
        self.settle_timer(ctx);
        match self.timer_mode() {
            TimerMode::OneShot | TimerMode::Periodic => self.timer.start(value, ctx.now()),
            TimerMode::TscDeadline => {}
            TimerMode::Reserved => self.timer.initial = value,
        }
    }

    pub(super) fn write_divide(&mut self, value: u32, ctx: &mut DeviceContext<'_>) {
        self.settle_timer(ctx);
        self.timer.set_divide(value, ctx.now());
    }

    pub(super) fn current_count(&mut self, ctx: &mut DeviceContext<'_>) -> u32 {
        self.settle_timer(ctx);
        if !self.timer.is_armed() {
            return 0;
        }
        self.timer.current(ctx.now())
    }

    /// Reads IA32_TSC_DEADLINE: 0 in other modes, or if the deadline is past.
    pub(super) fn read_tsc_deadline(&mut self, ctx: &mut DeviceContext<'_>) -> u64 {
        self.settle_timer(ctx);
        self.timer.tsc_deadline
    }

    /// Writes IA32_TSC_DEADLINE: ignored in other modes; 0 disarms; a deadline that is past fires
    /// at once.
    pub(super) fn write_tsc_deadline(&mut self, value: u64, ctx: &mut DeviceContext<'_>) {
        if self.mode() == Mode::Disabled || self.timer_mode() != TimerMode::TscDeadline {
            return;
        }
        self.settle_timer(ctx);
        self.timer.tsc_deadline = value;
        self.aim_deadline(ctx);
    }

    /// The TSC counts differently from now on: it was written, or adjusted. The machine must say
    /// so, for a deadline that is armed is a value of the TSC.
    pub fn set_tsc_clock(&mut self, clock: TscClock, ctx: &mut DeviceContext<'_>) {
        self.settle_timer(ctx);
        self.clock = clock;
        self.aim_deadline(ctx);
    }

    fn aim_deadline(&mut self, ctx: &mut DeviceContext<'_>) {
        self.timer.deadline_at = match self.timer.tsc_deadline {
            0 => None,
            deadline => self.clock.reaches(deadline, ctx.now()),
        };
        self.settle_timer(ctx);
    }
}
