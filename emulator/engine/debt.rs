//! When single steps are cheaper than translation.

/// What translation has cost beyond its use.
///
/// Unicorn translates up to 512 instructions at a time, which takes a millisecond. Where few of
/// them run (the code changes itself, or every few instructions something stops the engine at a
/// place not seen before), single steps are cheaper. The choice shows in the time only.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Debt(u64);

impl Debt {
    /// Instructions translated in vain before steps are made.
    const HIGH: u64 = 4096;
    /// Steps that are made then.
    const STEPS: u32 = 512;
    /// What a step is worth.
    const STEP: u64 = 4;

    pub(super) fn ran(&mut self, translated: u64, retired: u64) {
        self.0 = (self.0 + translated)
            .saturating_sub(retired.saturating_mul(Self::STEP))
            .min(2 * Self::HIGH);
    }

    pub(super) fn stepped(&mut self) {
        self.0 = self.0.saturating_sub(Self::STEP);
    }

    pub(super) fn steps(self) -> u32 {
        if self.0 > Self::HIGH { Self::STEPS } else { 0 }
    }
}
