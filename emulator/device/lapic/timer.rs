//! The timer's counter (SDM vol. 3, "APIC Timer"), without its LVT entry.

use serde::{Deserialize, Serialize};

/// Divide configuration register: bits 3, 1 and 0.
pub(super) const DIVIDE_BITS: u32 = 0b1011;

/// A counter is stored as the moment from which it runs, so that reading it needs no tick.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Timer {
    pub(super) initial: u32,
    divide: u32,
    countdown: Option<Countdown>,
    /// IA32_TSC_DEADLINE; 0: not armed.
    pub(super) tsc_deadline: u64,
    /// When the TSC gets there.
    pub(super) deadline_at: Option<u64>,
}

/// `count` ticks, at least 1, were left at the virtual time `from`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Countdown {
    from: u64,
    count: u32,
}

impl Timer {
    /// Whether it can come to this state.
    pub(super) fn can_be(&self) -> bool {
        let counts = |c: &Countdown| c.count != 0 && c.from >> 62 == 0;
        self.divide & !DIVIDE_BITS == 0 && self.countdown.as_ref().is_none_or(counts)
    }

    pub(super) const fn divide(&self) -> u32 {
        self.divide
    }

    /// Instructions in one tick: a power of two by the three bits, 0b111 is 1.
    const fn divisor(&self) -> u64 {
        let power = (self.divide & 3) | (self.divide >> 1 & 4);
        1 << ((power + 1) & 7)
    }

    /// Whether it counts, or waits for a moment.
    pub(super) const fn is_armed(&self) -> bool {
        self.countdown.is_some() || self.deadline_at.is_some()
    }

    /// When the count reaches 0.
    pub(super) fn expiry(&self) -> Option<u64> {
        let countdown = self.countdown?;
        // Below 2^39: a count has 32 bits, a divisor at most 2^7.
        let length = u64::from(countdown.count) * self.divisor();
        countdown.from.checked_add(length)
    }

    /// Handles an expiry up to `now`, and says whether there was one. However many periods have
    /// gone by, that is one interrupt: IRR has one bit.
    pub(super) fn settle(&mut self, now: u64, periodic: bool) -> bool {
        let Some(expiry) = self.expiry().filter(|&at| at <= now) else {
            return false;
        };
        let period = u64::from(self.initial) * self.divisor();
        self.countdown = (periodic && period != 0).then(|| Countdown {
            from: now - (now - expiry) % period,
            count: self.initial,
        });
        true
    }

    /// The current count, after [`settle`](Self::settle).
    pub(super) fn current(&self, now: u64) -> u32 {
        let Some(countdown) = self.countdown else {
            return 0;
        };
        let elapsed = now.saturating_sub(countdown.from) / self.divisor();
        u64::from(countdown.count).saturating_sub(elapsed) as u32
    }

    /// Writes the initial count: starts anew; 0 stops.
    pub(super) fn start(&mut self, count: u32, now: u64) {
        self.initial = count;
        self.countdown = (count != 0).then_some(Countdown { from: now, count });
    }

    /// Writes the divide configuration, after [`settle`](Self::settle). A count that runs goes on
    /// from its value; the part of a tick that has passed is lost.
    pub(super) fn set_divide(&mut self, value: u32, now: u64) {
        let count = self.current(now);
        self.divide = value & DIVIDE_BITS;
        self.countdown = (count != 0).then_some(Countdown { from: now, count });
    }

    /// Disarms both ways of counting; the initial count register keeps its value.
    pub(super) fn stop(&mut self) {
        self.countdown = None;
        self.tsc_deadline = 0;
        self.deadline_at = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divide_values_are_the_manuals() {
        // SDM vol. 3, figure "Divide Configuration Register".
        let table = [
            (0b0000, 2),
            (0b0001, 4),
            (0b0010, 8),
            (0b0011, 16),
            (0b1000, 32),
            (0b1001, 64),
            (0b1010, 128),
            (0b1011, 1),
        ];
        for (value, divisor) in table {
            let mut timer = Timer::default();
            timer.set_divide(value, 0);
            assert_eq!(timer.divisor(), divisor, "{value:#06b}");
            assert_eq!(timer.divide(), value);
        }
    }

    #[test]
    fn counts_down_a_tick_in_each_divisor_and_stays_at_zero() {
        let mut timer = Timer::default();
        timer.start(3, 100); // divisor 2
        let counts: Vec<u32> = (100..106).map(|now| timer.current(now)).collect();
        assert_eq!(counts, [3, 3, 2, 2, 1, 1]);
        assert_eq!(timer.expiry(), Some(106));
        assert!(!timer.settle(105, false));
        assert!(timer.settle(106, false));
        assert!(!timer.settle(200, false));
        assert_eq!(timer.current(200), 0);
        assert_eq!(timer.initial, 3);
    }

    #[test]
    fn periods_keep_their_phase_however_late_they_are_seen() {
        let mut timer = Timer::default();
        timer.set_divide(0b1011, 0);
        timer.start(10, 100);
        assert!(timer.settle(110, true));
        assert_eq!((timer.current(110), timer.expiry()), (10, Some(120)));
        assert!(timer.settle(157, true));
        assert_eq!((timer.current(157), timer.expiry()), (3, Some(160)));
    }

    #[test]
    fn a_new_divisor_takes_over_the_count() {
        let mut timer = Timer::default();
        timer.start(10, 0);
        timer.set_divide(0b1011, 8);
        assert_eq!(timer.current(8), 6);
        assert_eq!(timer.expiry(), Some(14));
    }

    #[test]
    fn the_end_of_time_is_no_overflow() {
        let mut timer = Timer::default();
        timer.set_divide(0b1010, 0);
        timer.start(u32::MAX, u64::MAX - 5);
        assert_eq!(timer.expiry(), None);
        assert!(!timer.settle(u64::MAX, true));
        assert_eq!(timer.current(u64::MAX), u32::MAX);
    }
}
