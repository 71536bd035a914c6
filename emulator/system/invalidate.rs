//! What invalidates cached translations (SDM vol. 3, 4.10.4.1).

use super::{Bus, Cpu};
use crate::arch::bits::{cr0, cr3, cr4};
use crate::arch::{Hex, VirtAddr};
use crate::trace::{EventClass, EventKind, Invalidation};

impl Cpu {
    /// INVLPG: drops the page's translations of the current PCID, and global ones.
    /// A non-canonical address is a no-op (SDM vol. 2, INVLPG).
    pub fn invlpg(&mut self, bus: &mut dyn Bus, at: VirtAddr) {
        let pcid = self.paging_context().pcid();
        let dropped = at.is_canonical(self.regs.la57()) && self.tlb.drop_address(pcid, at);
        invalidated(bus, dropped, Invalidation::Invlpg { address: at });
    }

    /// INVPCID of `kind` 0 to 3; the operands have been checked.
    pub fn invpcid(&mut self, bus: &mut dyn Bus, kind: u8, pcid: u16, address: VirtAddr) {
        let dropped = match kind {
            0 => self.tlb.drop_local_address(pcid, address),
            1 => self.tlb.drop_pcid(pcid),
            2 => self.tlb.forget(),
            _ => self.tlb.drop_locals(),
        };
        let cause = Invalidation::Invpcid {
            kind,
            pcid,
            address,
        };
        invalidated(bus, dropped, cause);
    }

    /// MOV to CR3 of `value`, reserved bits already checked: loads it, and drops the
    /// non-global translations of the new PCID unless bit 63 (with CR4.PCIDE) says not to.
    pub fn load_cr3(&mut self, bus: &mut dyn Bus, value: u64) {
        let pcide = self.regs.cr4 & cr4::PCIDE != 0;
        let keep = pcide && value & cr3::NO_FLUSH != 0;
        let old = self.regs.cr3;
        self.regs.cr3 = value & !cr3::NO_FLUSH;
        let pcid = self.paging_context().pcid();
        let dropped = !keep && self.tlb.drop_pcid(pcid);
        // Another PCID's translations are other ones, dropped or not.
        let switched = pcide && (old ^ value) & cr3::PCID != 0;
        let cause = Invalidation::Cr3 { value: Hex(value) };
        if keep {
            if switched {
                bus.flush_engine_tlb();
            }
        } else {
            invalidated(bus, dropped || switched, cause);
        }
    }

    /// After a change of CR0 or CR4 from these values: drops what the change invalidates, and
    /// makes the engine ask again for what it re-interprets (WP, SMEP, SMAP, PKE, LASS).
    pub fn control_changed(&mut self, bus: &mut dyn Bus, old_cr0: u64, old_cr4: u64) {
        let (c0, c4) = (self.regs.cr0, self.regs.cr4);
        let cleared0 = old_cr0 & !c0;
        let cleared4 = old_cr4 & !c4;
        let toggled4 = old_cr4 ^ c4;
        let everything =
            cleared0 & cr0::PG != 0 || toggled4 & cr4::PGE != 0 || cleared4 & cr4::PCIDE != 0;
        let current = toggled4 & cr4::PAE != 0 || c4 & !old_cr4 & cr4::SMEP != 0;
        if everything {
            let dropped = self.tlb.forget();
            invalidated(bus, dropped, Invalidation::ControlRegister);
        } else if current {
            let pcid = self.paging_context().pcid();
            let dropped = self.tlb.drop_pcid(pcid);
            invalidated(bus, dropped, Invalidation::ControlRegister);
        }
        let rights = cr4::SMEP | cr4::SMAP | cr4::PKE | cr4::LASS;
        if (old_cr0 ^ c0) & (cr0::WP | cr0::PG) != 0 || toggled4 & rights != 0 {
            bus.flush_engine_tlb();
        }
    }
}

fn invalidated(bus: &mut dyn Bus, dropped: bool, cause: Invalidation) {
    if dropped {
        bus.flush_engine_tlb();
    }
    if bus.wants(EventClass::TLB) {
        bus.emit(EventKind::TlbInvalidated(cause));
    }
}
