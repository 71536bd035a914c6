//! Translated code that is not what memory holds any more.

use super::Engine;
use super::hooks::PROBE_BASE;
use crate::arch::PAGE_SIZE;

impl Engine {
    /// Drops what Unicorn translated of `size` bytes at the linear address `start`.
    pub(super) fn remove_translation(&mut self, start: u64, size: u32) {
        // Needs the fetch grant, which the translation had.
        let _ = self
            .unicorn
            .ctl_remove_cache(start, start.wrapping_add(u64::from(size.max(1))));
    }

    /// After an instruction that may have written to code unwatched: no such entry stays in the
    /// TLB, and no code in the frame.
    pub(super) fn settle_code_writes(&mut self) {
        let frames = std::mem::take(&mut self.state_mut().written_code);
        if frames.is_empty() {
            return;
        }
        for frame in frames {
            self.stale_code.push((frame, PAGE_SIZE));
        }
        self.flush_tlb();
    }

    /// Drops translated code over which the host wrote.
    pub(super) fn drop_stale_code(&mut self) {
        if self.stale_code.is_empty() {
            return;
        }
        for (at, len) in std::mem::take(&mut self.stale_code) {
            let at = PROBE_BASE + at;
            self.state_mut().probing = true;
            let _ = self
                .unicorn
                .ctl_remove_cache(at, at + len.clamp(1, PAGE_SIZE));
            self.state_mut().probing = false;
        }
    }
}
