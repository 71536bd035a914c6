//! Unicorn's TLB asks for a page.

use unicorn_engine_sys::{Prot, uc_engine};

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
            return (kind == AccessKind::Fetch && self.ram.contains(phys, PAGE_SIZE))
                .then_some((phys, Prot::EXEC));
        }
        let refused = Halt::Refused { page, kind };
        if let Some((linear, scratch)) = self.overlay
            && linear == page
            && kind != AccessKind::Fetch
        {
            return Some((scratch, Prot::READ | Prot::WRITE));
        }
        if kind != AccessKind::Fetch && self.denied.contains(&page) {
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
        // A write that is not watched for changed code. Unicorn watches while the same entry of
        // its TLB is executable, and after that one write only.
        let unwatched = self.has_code(grant.phys.0) && !grant.exec;
        if unwatched && kind == AccessKind::Write {
            if !self.code_writes {
                self.halt = Some(Halt::CodeWrite);
                return None;
            }
            self.written_code.push(grant.phys.0);
        }
        let mut perms = Prot(0);
        if grant.read {
            perms |= Prot::READ;
        }
        // Unicorn looks at every store through an executable entry: only code needs that.
        if grant.exec && (kind == AccessKind::Fetch || self.has_code(grant.phys.0)) {
            perms |= Prot::EXEC;
        }
        // With old contents being kept, a page must ask before its first write.
        let asked = kind == AccessKind::Write;
        if grant.write && (asked || !(self.ram.keeps_undo() || unwatched)) {
            self.ram.note_write(grant.phys.0);
            perms |= Prot::WRITE;
        }
        if self.denied.contains(&page) {
            perms = Prot::EXEC;
        }
        Some((grant.phys.0, perms))
    }
}
