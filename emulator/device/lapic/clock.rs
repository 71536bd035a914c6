//! The time-stamp counter as a function of virtual time, for TSC-deadline mode.

use serde::{Deserialize, Serialize};

/// TSC = `now` * `rate` + `offset`, modulo 2^64: what RDTSC gives at virtual time `now`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TscClock {
    /// Ticks of the TSC in one retired instruction; 0 counts as 1.
    pub rate: u32,
    /// Sum of what WRMSR to IA32_TIME_STAMP_COUNTER and IA32_TSC_ADJUST added.
    pub offset: u64,
}

impl Default for TscClock {
    fn default() -> Self {
        Self { rate: 1, offset: 0 }
    }
}

impl TscClock {
    const fn ticks(self) -> u64 {
        if self.rate == 0 { 1 } else { self.rate as u64 }
    }

    /// The TSC at virtual time `now`.
    #[must_use]
    pub const fn at(self, now: u64) -> u64 {
        now.wrapping_mul(self.ticks()).wrapping_add(self.offset)
    }

    /// The first virtual time, from `now` on, at which the TSC is not below `target`; `None`:
    /// never in 2^64 instructions.
    #[must_use]
    pub const fn reaches(self, target: u64, now: u64) -> Option<u64> {
        let missing = target.saturating_sub(self.at(now));
        now.checked_add(missing.div_ceil(self.ticks()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reaches_the_first_instant_that_is_not_below() {
        let clock = TscClock { rate: 3, offset: 5 };
        assert_eq!(clock.at(10), 35);
        assert_eq!(clock.reaches(35, 10), Some(10));
        assert_eq!(clock.reaches(0, 10), Some(10));
        assert_eq!(clock.reaches(36, 10), Some(11));
        assert_eq!(clock.reaches(38, 10), Some(11));
        assert_eq!(clock.reaches(39, 10), Some(12));
        assert_eq!(TscClock::default().reaches(u64::MAX, 7), Some(u64::MAX));
        let back = TscClock {
            rate: 1,
            offset: 1u64.wrapping_neg(),
        };
        assert_eq!(back.reaches(u64::MAX, 1), None);
        assert_eq!(TscClock { rate: 0, offset: 0 }.reaches(9, 1), Some(9));
    }
}
