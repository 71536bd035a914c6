//! Unicorn's TLB asks for a page.

use unicorn_engine_sys::{Prot, uc_engine};

use super::super::{SCRATCH, SLOTS};
use super::guard::read_flags;
use super::{Halt, HookState, PROBE_BASE};
use crate::arch::bits::rflags;
use crate::arch::{AccessKind, PAGE_SIZE, VirtAddr};

impl HookState {
    pub(super) fn on_exception(&mut self, uc: *mut uc_engine, vector: u32) {
        self.stop(uc, Halt::Exception { vector });
    }

    pub(super) fn on_fill(
        &mut self,
        uc: *mut uc_engine,
        page: u64,
        kind: AccessKind,
    ) -> Option<(u64, Prot)> {
        if self.probing {
            let phys = page.wrapping_sub(PROBE_BASE);
            let known = self.ram.contains(phys, PAGE_SIZE) || self.code.copies().contains(phys);
            return (kind == AccessKind::Fetch && known).then_some((phys, Prot::EXEC));
        }
        let refused = Halt::Refused { page, kind };
        if let Some((linear, scratch)) = self.overlay
            && linear == page
            && kind != AccessKind::Fetch
        {
            return Some((scratch, Prot::READ | Prot::WRITE));
        }
        // (A forced step has been looked at; the caller flushes the TLB after it.)
        let denied = !self.force && self.denied.contains(&page);
        if kind != AccessKind::Fetch && denied {
            self.halt = Some(refused);
            return None;
        }
        let ac = self.smap && self.cpl != 3 && read_flags(uc) & rflags::AC != 0;
        let grant = self
            .source()
            .and_then(|s| s.grant(VirtAddr(page), self.cpl, ac));
        let Some(grant) = grant.filter(|g| self.ram.contains(g.phys.0, PAGE_SIZE)) else {
            self.halt = Some(refused);
            return None;
        };
        let allowed = match kind {
            AccessKind::Read => grant.read,
            AccessKind::Write => grant.write,
            AccessKind::Fetch => grant.exec,
        };
        if !allowed {
            self.halt = Some(refused);
            return None;
        }
        let frame = grant.phys.0;
        if kind != AccessKind::Fetch
            && let Some(scratch) = self.stand_in(frame, kind == AccessKind::Write)
        {
            return Some((scratch, Prot::READ | Prot::WRITE));
        }
        let mut perms = Prot(0);
        if grant.read {
            perms |= Prot::READ;
        }
        match kind {
            AccessKind::Fetch => {
                let from = if self.looked_at {
                    Some(frame)
                } else {
                    self.code.fetch_from(frame, &self.ram)
                };
                let Some(from) = from else {
                    self.halt = Some(Halt::Unsafe);
                    return None;
                };
                self.new_code |= self.code.add(frame);
                if denied || from != frame {
                    return Some((from, Prot::EXEC));
                }
                perms |= Prot::EXEC;
            }
            AccessKind::Write => {
                if self.code.contains(frame) {
                    self.halt = Some(Halt::CodeWrite);
                    return None;
                }
                self.ram.note_write(frame);
                self.code.changed(frame);
                perms |= Prot::WRITE;
            }
            AccessKind::Read if self.code.contains(frame) => {
                let from = self.code.fetch_from(frame, &self.ram);
                if grant.exec && (self.looked_at || from == Some(frame)) {
                    perms |= Prot::EXEC;
                }
            }
            // With old contents being kept, a page must ask before its first write.
            AccessKind::Read => {
                if grant.write && !self.ram.keeps_undo() {
                    self.code.changed(frame);
                    perms |= Prot::WRITE;
                }
            }
        }
        Some((frame, perms))
    }

    /// The scratch page that stands for `frame`, which holds code and is written to by the one
    /// instruction that runs.
    ///
    /// (To the frame itself Unicorn would write with a look at changed code, and begin the instruction
    /// again when it hits its own: an unaligned read-modify-write is done in part by then.)
    fn stand_in(&mut self, frame: u64, write: bool) -> Option<u64> {
        if !self.code_writes {
            return None;
        }
        let known = self.written_code.iter().position(|&f| f == frame);
        let slot = match known {
            Some(slot) => slot,
            None => {
                let slot = self.written_code.len();
                let mut page = [0; PAGE_SIZE as usize];
                if !write
                    || !self.code.contains(frame)
                    || slot as u64 >= SLOTS
                    || !self.ram.read(frame, &mut page)
                    || !self.scratch.write((slot as u64 + 1) * PAGE_SIZE, &page)
                {
                    return None;
                }
                self.written_code.push(frame);
                slot
            }
        };
        Some(SCRATCH + (slot as u64 + 1) * PAGE_SIZE)
    }
}
