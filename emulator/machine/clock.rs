//! Virtual time, and how it stands still.
//!
//! With [`TimeMode::Frozen`] time stands still from the delivery of an injected event until its interrupted
//! context is resumed, so that the interrupted code meets the same timers and the same TSC as
//! without the injection.

/// How virtual time goes on while the handler of an injected event runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TimeMode {
    /// As always.
    #[default]
    Running,
    /// Not at all.
    Frozen,
}

impl TimeMode {
    /// The word for it on the command line and in headers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Frozen => "frozen",
        }
    }
}

/// Virtual time as a function of what has retired and what passed in HLT.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Clock {
    /// What does not count.
    skipped: u64,
    /// Time stands still at this, until the delivery with this number is resumed.
    stopped: Option<(u64, u64)>,
    /// An injected event waits: the next delivery stops the clock if it is of this vector.
    waiting: Option<u8>,
}

impl Clock {
    /// Time that did not count; `None` while time stands still, or is about to.
    pub(super) fn skipped(&self) -> Option<u64> {
        (self.stopped.is_none() && self.waiting.is_none()).then_some(self.skipped)
    }

    /// Time goes on, and so much of it did not count.
    pub(super) fn with_skipped(skipped: u64) -> Self {
        Self {
            skipped,
            ..Self::default()
        }
    }

    pub(super) fn now(&self, raw: u64) -> u64 {
        match self.stopped {
            Some((at, _)) => at,
            None => raw.wrapping_sub(self.skipped),
        }
    }

    /// An event of this vector is injected.
    pub(super) fn injected(&mut self, vector: u8) {
        self.waiting = Some(vector);
    }

    /// A delivery was made at `raw`.
    pub(super) fn delivered(&mut self, raw: u64, serial: u64, vector: u8) {
        if self.waiting == Some(vector) {
            self.waiting = None;
            if self.stopped.is_none() {
                self.stopped = Some((self.now(raw), serial));
            }
        }
    }

    /// The delivery whose handler makes time stand still.
    pub(super) fn stopped_by(&self) -> Option<u64> {
        self.stopped.map(|(_, serial)| serial)
    }

    /// Time goes on from where it stood.
    pub(super) fn go_on(&mut self, raw: u64) {
        if let Some((at, _)) = self.stopped.take() {
            self.skipped = raw.wrapping_sub(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stands_still_for_the_outermost_injected_event() {
        let mut clock = Clock::default();
        assert_eq!(clock.now(100), 100);
        clock.delivered(100, 1, 14);
        assert_eq!(clock.now(101), 101, "not injected");
        clock.injected(2);
        clock.delivered(110, 2, 14);
        assert_eq!(clock.now(111), 111, "another event");
        clock.delivered(120, 3, 2);
        assert_eq!((clock.now(125), clock.stopped_by()), (120, Some(3)));
        clock.injected(14);
        clock.delivered(130, 4, 14);
        assert_eq!((clock.now(140), clock.stopped_by()), (120, Some(3)));
        clock.go_on(150);
        assert_eq!((clock.now(150), clock.now(151)), (120, 121));
        clock.injected(2);
        clock.delivered(160, 5, 2);
        clock.go_on(170);
        assert_eq!(clock.now(172), 132);
    }
}
