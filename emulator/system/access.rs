//! Linear-address accesses by microcode: canonical check, translation, all pages
//! checked before any byte moves (SDM vol. 3, 4.7; vol. 1, 3.3.7.1).

use std::ops::Range;

use super::tlb::TlbView;
use super::{Bus, Cpu};
use crate::arch::bits::{cr4, rflags};
use crate::arch::paging::{PageWalk, PagingContext, PhysMemory, walk};
use crate::arch::{Access, AccessKind, Exception, Hex, PAGE_SIZE, PhysAddr, VirtAddr};
use crate::trace::{EventClass, EventKind, Invalidation, Walk, WalkOutcome, WalkStep};

/// The page walk's view of physical memory.
pub struct BusMemory<'a>(pub &'a mut dyn Bus);

impl PhysMemory for BusMemory<'_> {
    fn read_u64(&mut self, at: PhysAddr) -> u64 {
        let mut bytes = [0; 8];
        self.0.entry_read(at, &mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn write_u64(&mut self, at: PhysAddr, value: u64) {
        self.0.phys_write(at, &value.to_le_bytes());
    }
}

impl Cpu {
    /// The paging state at this moment.
    #[inline(always)]
    #[must_use]
    pub fn paging_context(&self) -> PagingContext {
        let r = &self.regs;
        PagingContext {
            cr0: r.cr0,
            cr3: r.cr3,
            cr4: r.cr4,
            efer: r.msr.efer,
            ac: r.rflags & rflags::AC != 0,
            pkru: r.pkru,
            maxphyaddr: self.model.maxphyaddr,
            features: self.model.features,
            knobs: self.model.knobs,
        }
    }

    /// What natively running code may do without asking again.
    #[must_use]
    pub fn tlb_view(&self) -> TlbView<'_> {
        TlbView {
            cache: &self.tlb,
            context: self.paging_context(),
        }
    }

    /// Translates one byte's address, by a cached translation if there is one, else by a walk.
    /// Sets A and D; a fetch marks the translation as fetched.
    ///
    /// # Errors
    /// #GP(0) if `at` is not canonical or in the wrong half; #PF, which also drops what is cached
    /// for `at`.
    pub fn translate(
        &mut self,
        bus: &mut dyn Bus,
        at: VirtAddr,
        access: Access,
    ) -> Result<PhysAddr, Exception> {
        self.check_address(at, 1, access, false)?;
        self.translate_canonical(bus, at, access)
    }

    /// The common case, a cached translation that serves as it is, without the walk's state.
    #[inline]
    fn translate_canonical(
        &mut self,
        bus: &mut dyn Bus,
        at: VirtAddr,
        access: Access,
    ) -> Result<PhysAddr, Exception> {
        let context = self.paging_context();
        if context.paging()
            && let Some(t) = self.tlb.get(context.pcid(), at)
            && (access.kind != AccessKind::Write || t.dirty)
            && (access.kind != AccessKind::Fetch || t.fetched)
            && context.denial(t.rights, t.key, access).is_none()
        {
            return Ok(t.phys(at));
        }
        self.translate_slowly(bus, at, access)
    }

    #[cold]
    #[inline(never)]
    fn translate_slowly(
        &mut self,
        bus: &mut dyn Bus,
        at: VirtAddr,
        access: Access,
    ) -> Result<PhysAddr, Exception> {
        let context = self.paging_context();
        if !context.paging() {
            return Ok(PhysAddr(at.0 & 0xffff_ffff));
        }
        let pcid = context.pcid();
        if let Some(t) = self.tlb.get(pcid, at) {
            if let Some(code) = context.denial(t.rights, t.key, access) {
                return Err(self.page_fault(bus, pcid, at, code));
            }
            let phys = t.phys(at);
            match access.kind {
                AccessKind::Read => return Ok(phys),
                AccessKind::Fetch => {
                    self.tlb.set_fetched(pcid, at);
                    return Ok(phys);
                }
                AccessKind::Write if t.dirty => return Ok(phys),
                // The first write through it sets D.
                AccessKind::Write => {}
            }
        }
        let found = walk(&context, &mut BusMemory(bus), at, access);
        if bus.wants(EventClass::WALK) {
            bus.emit(EventKind::Walk(walk_event(at, access, &found)));
        }
        let t = match found.outcome {
            Ok(t) => t,
            Err(code) => return Err(self.page_fault(bus, pcid, at, code)),
        };
        let inserted = self
            .tlb
            .insert(pcid, at, &t, access.kind == AccessKind::Fetch);
        if inserted.stale || inserted.full {
            bus.flush_engine_tlb();
        }
        if inserted.full && bus.wants(EventClass::TLB) {
            bus.emit(EventKind::TlbInvalidated(Invalidation::Capacity));
        }
        Ok(t.phys)
    }

    /// #PF; what is cached for the address goes (SDM vol. 3, 4.10.4.1).
    fn page_fault(&mut self, bus: &mut dyn Bus, pcid: u16, at: VirtAddr, code: u32) -> Exception {
        if self.tlb.drop_address(pcid, at) {
            bus.flush_engine_tlb();
        }
        Exception::pf(code, at)
    }

    /// Checks an access of `len` bytes without making it. The address in a #PF is the first
    /// byte of the access that lies in the faulting page.
    ///
    /// # Errors
    /// #SS(0) if `stack`, else #GP(0), if any byte's address is not canonical or in the half that
    /// CR4.LASS keeps from it; #PF.
    pub fn probe(
        &mut self,
        bus: &mut dyn Bus,
        at: VirtAddr,
        len: u64,
        access: Access,
        stack: bool,
    ) -> Result<(), Exception> {
        self.check_address(at, len, access, stack)?;
        for (piece, _) in pieces(at, len) {
            self.translate(bus, piece, access)?;
        }
        Ok(())
    }

    /// Reads `buf.len()` bytes.
    ///
    /// # Errors
    /// As [`probe`](Self::probe); then nothing has been read.
    pub fn read(
        &mut self,
        bus: &mut dyn Bus,
        at: VirtAddr,
        buf: &mut [u8],
        access: Access,
        stack: bool,
    ) -> Result<(), Exception> {
        let len = buf.len() as u64;
        self.transfer(bus, at, len, access, stack, |bus, phys, part| {
            bus.phys_read(phys, &mut buf[part]);
        })
    }

    /// Writes `data`.
    ///
    /// # Errors
    /// As [`probe`](Self::probe); then nothing has been written (SDM vol. 3, 8.1.1 leaves
    /// more open; processors check all pages first).
    pub fn write(
        &mut self,
        bus: &mut dyn Bus,
        at: VirtAddr,
        data: &[u8],
        access: Access,
        stack: bool,
    ) -> Result<(), Exception> {
        let len = data.len() as u64;
        self.transfer(bus, at, len, access, stack, |bus, phys, part| {
            bus.phys_write(phys, &data[part]);
        })
    }

    /// Checks all of an access, and hands each of its pages to `with`: where it lies, and which of
    /// the bytes.
    #[inline]
    fn transfer(
        &mut self,
        bus: &mut dyn Bus,
        at: VirtAddr,
        len: u64,
        access: Access,
        stack: bool,
        mut with: impl FnMut(&mut dyn Bus, PhysAddr, Range<usize>),
    ) -> Result<(), Exception> {
        if in_one_page(at, len) {
            let phys = self.place(bus, at, access, stack)?;
            with(bus, phys, 0..len as usize);
            return Ok(());
        }
        let places = self.places(bus, at, len, access, stack)?;
        let mut from = 0;
        for (i, (piece, n)) in pieces(at, len).enumerate() {
            let phys = match places.get(i) {
                Some(&phys) => phys,
                None => self.translate(bus, piece, access)?,
            };
            with(bus, phys, from..from + n);
            from += n;
        }
        Ok(())
    }

    /// Whether linear-address-space separation forbids `access` to `at`.
    #[inline]
    pub(super) fn is_separated(&self, at: VirtAddr, access: Access) -> bool {
        self.regs.cr4 & cr4::LASS != 0 && self.paging_context().separation_denies(at, access)
    }

    /// The place of an access within one page.
    #[inline]
    fn place(
        &mut self,
        bus: &mut dyn Bus,
        at: VirtAddr,
        access: Access,
        stack: bool,
    ) -> Result<PhysAddr, Exception> {
        // A page is canonical as a whole, or not at all.
        self.check_address(at, 1, access, stack)?;
        self.translate_canonical(bus, at, access)
    }

    /// Checks all of an access; the places of its first two pages.
    fn places(
        &mut self,
        bus: &mut dyn Bus,
        at: VirtAddr,
        len: u64,
        access: Access,
        stack: bool,
    ) -> Result<[PhysAddr; 2], Exception> {
        self.check_address(at, len, access, stack)?;
        let mut places = [PhysAddr(0); 2];
        for (i, (piece, _)) in pieces(at, len).enumerate() {
            let phys = self.translate(bus, piece, access)?;
            if let Some(place) = places.get_mut(i) {
                *place = phys;
            }
        }
        Ok(places)
    }

    /// #SS(0) or #GP(0) if a byte of the access has a non-canonical address, or one in the half
    /// that CR4.LASS keeps from it. Accesses are shorter than the hole, so the ends speak for all.
    #[inline]
    fn check_address(
        &self,
        at: VirtAddr,
        len: u64,
        access: Access,
        stack: bool,
    ) -> Result<(), Exception> {
        let la57 = self.regs.la57();
        let last = VirtAddr(at.0.wrapping_add(len.saturating_sub(1)));
        let canonical = at.is_canonical(la57) && last.is_canonical(la57);
        if canonical && !self.is_separated(at, access) && !self.is_separated(last, access) {
            Ok(())
        } else if stack {
            Err(Exception::ss(0))
        } else {
            Err(Exception::gp(0))
        }
    }
}

/// Declares typed reads and writes.
macro_rules! typed {
    ($($read:ident $write:ident $int:ident $words:literal;)*) => {
        impl Cpu {
            $(
                #[doc = concat!("Reads ", $words, ".")]
                ///
                /// # Errors
                /// As [`probe`](Self::probe).
                pub fn $read(
                    &mut self,
                    bus: &mut dyn Bus,
                    at: VirtAddr,
                    access: Access,
                    stack: bool,
                ) -> Result<$int, Exception> {
                    let mut bytes = [0; size_of::<$int>()];
                    self.read(bus, at, &mut bytes, access, stack)?;
                    Ok($int::from_le_bytes(bytes))
                }

                #[doc = concat!("Writes ", $words, ".")]
                ///
                /// # Errors
                /// As [`probe`](Self::probe).
                pub fn $write(
                    &mut self,
                    bus: &mut dyn Bus,
                    at: VirtAddr,
                    value: $int,
                    access: Access,
                    stack: bool,
                ) -> Result<(), Exception> {
                    self.write(bus, at, &value.to_le_bytes(), access, stack)
                }
            )*
        }
    };
}

typed! {
    read_u16 write_u16 u16 "a word";
    read_u32 write_u32 u32 "a doubleword";
    read_u64 write_u64 u64 "a quadword";
}

/// Whether an access of at least one byte stays in its page.
const fn in_one_page(at: VirtAddr, len: u64) -> bool {
    len != 0 && len <= PAGE_SIZE - (at.0 & (PAGE_SIZE - 1))
}

/// An access cut at page ends: the first byte and the length of each piece.
fn pieces(at: VirtAddr, len: u64) -> impl Iterator<Item = (VirtAddr, usize)> {
    let mut next = at;
    let mut left = len;
    std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let n = left.min(PAGE_SIZE - (next.0 & (PAGE_SIZE - 1)));
        let piece = (next, n as usize);
        next = VirtAddr(next.0.wrapping_add(n));
        left -= n;
        Some(piece)
    })
}

fn walk_event(at: VirtAddr, access: Access, found: &PageWalk) -> Walk {
    Walk {
        address: at,
        access: access.kind,
        user: access.user,
        implicit: access.implicit,
        steps: found
            .steps()
            .iter()
            .map(|s| WalkStep {
                level: s.level,
                entry_at: s.entry_at,
                entry: Hex(s.entry),
                updated: s.updated.map(Hex),
            })
            .collect(),
        outcome: match found.outcome {
            Ok(t) => WalkOutcome::Mapped {
                phys: t.phys,
                page_size: t.page_size,
            },
            Err(error_code) => WalkOutcome::PageFault { error_code },
        },
    }
}
