//! Translated code that is not what memory holds any more.

use super::Engine;
use super::hooks::PROBE_BASE;
use crate::arch::{CpuState, PAGE_SIZE};

impl Engine {
    /// Drops what Unicorn translated of the byte at the linear address `start`.
    pub(super) fn remove_translation(&mut self, start: u64) {
        // Needs the fetch grant, which the translation had.
        let _ = self.unicorn.ctl_remove_cache(start, start.wrapping_add(1));
    }

    /// After an instruction that stored into frames that hold code: no entry for that stays in the
    /// TLB, and no code that has changed.
    pub(super) fn settle_code_writes(&mut self) {
        let s = self.state_mut();
        if s.written_code.is_empty() {
            return;
        }
        for (slot, frame) in std::mem::take(&mut s.written_code).into_iter().enumerate() {
            let s = self.state_mut();
            let (mut old, mut new) = ([0; PAGE_SIZE as usize], [0; PAGE_SIZE as usize]);
            let known = s.ram.read(frame, &mut old)
                && s.scratch.read((slot as u64 + 1) * PAGE_SIZE, &mut new)
                && s.ram.write(frame, &new);
            debug_assert!(known, "a frame of RAM");
            if s.code.settle(frame, &old, &new) {
                self.drop_code(frame);
            }
        }
        self.ask_again();
    }

    /// Makes a frame that holds code one that holds none. The TLB must be flushed before code runs.
    pub(super) fn drop_code(&mut self, frame: u64) {
        self.state_mut().code.remove(frame);
        self.stale_code.push(frame);
    }

    /// `data` was written to `at` by the host.
    pub(super) fn host_wrote(&mut self, at: u64, len: u64) {
        let mut from = at;
        while from < at + len {
            let frame = from / PAGE_SIZE * PAGE_SIZE;
            let to = (at + len).min(frame + PAGE_SIZE);
            let s = self.state_mut();
            s.code.changed(frame);
            if s.code.contains(frame) {
                let bytes = (from - frame) as usize..(to - frame) as usize;
                let hit = s.code.is_code(frame, bytes);
                self.tlb_stale = true;
                if hit {
                    self.drop_code(frame);
                }
            }
            from = to;
        }
    }

    /// Whether the instruction at RIP is one that must not be translated: see [`super::crash`].
    pub(super) fn crashes_at(&self, regs: &CpuState) -> bool {
        let base = if regs.is_64bit() { 0 } else { regs.cs().base };
        let mut bytes = [0; 15];
        let mut known = 0;
        let s = self.state();
        for byte in &mut bytes {
            let at = base.wrapping_add(regs.rip).wrapping_add(known as u64);
            let Some(frame) = s.code_frame(at) else {
                break;
            };
            let mut one = [0];
            if !s.ram.read(frame + at % PAGE_SIZE, &mut one) {
                break;
            }
            *byte = one[0];
            known += 1;
        }
        super::crash::crashes(&bytes[..known])
    }

    /// Drops translated code over which the host wrote.
    pub(super) fn drop_stale_code(&mut self) {
        if self.tlb_stale {
            self.flush_tlb_now();
        }
        if self.stale_code.is_empty() {
            return;
        }
        for frame in std::mem::take(&mut self.stale_code) {
            let copy = self.state().code.copies().address(frame);
            for at in [Some(frame), copy].into_iter().flatten() {
                let at = PROBE_BASE + at;
                self.state_mut().probing = true;
                let _ = self.unicorn.ctl_remove_cache(at, at + PAGE_SIZE);
                self.state_mut().probing = false;
            }
        }
    }
}
