//! The model of cached translations: a translation is used until something invalidates it,
//! and never made up (SDM vol. 3, 4.10).

use serde::{Deserialize, Serialize};

use super::page_hash::PageMap;
use crate::arch::paging::{PagingContext, Rights, Translation};
use crate::arch::{Access, AccessKind, PAGE_SIZE, PhysAddr, VirtAddr};

/// How many translations are kept; one more, and all are dropped.
pub const CAPACITY: usize = 16384;

/// One cached translation, of a page of any size.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CachedTranslation {
    /// Physical base of the page.
    pub frame: PhysAddr,
    /// 4096, 2 MiB or 1 GiB.
    pub page_size: u64,
    /// The rights of all levels together.
    pub rights: Rights,
    /// The protection key.
    pub key: u8,
    /// Survives MOV to CR3.
    pub global: bool,
    /// D is known to be set: writes need no walk.
    pub dirty: bool,
    /// An instruction has been fetched through it.
    pub fetched: bool,
}

impl CachedTranslation {
    fn of(t: &Translation, fetched: bool) -> Self {
        Self {
            frame: PhysAddr(t.phys.0 & !(t.page_size - 1)),
            page_size: t.page_size,
            rights: t.rights,
            key: t.key,
            global: t.global,
            dirty: t.dirty,
            fetched,
        }
    }

    /// The physical address of `at`, a byte of this page.
    #[must_use]
    pub const fn phys(&self, at: VirtAddr) -> PhysAddr {
        PhysAddr(self.frame.0 | (at.0 & (self.page_size - 1)))
    }

    /// Whether everything that this translation allows, `other` allows too, of the same memory.
    fn is_subsumed_by(&self, other: &Self) -> bool {
        let keeps = |had: bool, has: bool| !had || has;
        self.frame == other.frame
            && self.page_size == other.page_size
            && self.key == other.key
            && self.rights.user == other.rights.user
            && keeps(self.rights.writable, other.rights.writable)
            && keeps(self.rights.executable, other.rights.executable)
            && keeps(self.dirty, other.dirty)
            && keeps(self.fetched, other.fetched)
    }
}

/// The page sizes, as shifts; the order of [`Bank::maps`].
const SHIFTS: [u32; 3] = [12, 21, 30];

/// Translations by page size; the key is the page number, with the PCID above bit 52.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Bank {
    maps: [PageMap<CachedTranslation>; 3],
}

/// The 52 bits of the page number and the 12 of the PCID fill the key.
const fn key(pcid: u16, at: VirtAddr, shift: u32) -> u64 {
    ((at.0 << 7) >> (7 + shift)) | (pcid as u64) << 52
}

impl Bank {
    /// By a page of the size `SHIFTS[size]`.
    #[inline]
    fn get(&self, size: usize, pcid: u16, at: VirtAddr) -> Option<&CachedTranslation> {
        let map = &self.maps[size];
        if map.is_empty() {
            return None;
        }
        map.get(&key(pcid, at, SHIFTS[size]))
    }

    fn get_mut(&mut self, size: usize, pcid: u16, at: VirtAddr) -> Option<&mut CachedTranslation> {
        self.maps[size].get_mut(&key(pcid, at, SHIFTS[size]))
    }

    fn insert(&mut self, pcid: u16, at: VirtAddr, t: CachedTranslation) {
        for (map, shift) in self.maps.iter_mut().zip(SHIFTS) {
            if t.page_size == 1 << shift {
                map.insert(key(pcid, at, shift), t);
            }
        }
    }

    /// Whether anything was dropped.
    fn drop_address(&mut self, pcid: u16, at: VirtAddr) -> bool {
        let mut dropped = false;
        for (map, shift) in self.maps.iter_mut().zip(SHIFTS) {
            dropped |= !map.is_empty() && map.remove(&key(pcid, at, shift)).is_some();
        }
        dropped
    }

    fn drop_pcid(&mut self, pcid: u16) -> bool {
        let before = self.len();
        for map in &mut self.maps {
            map.retain(|k, _| (k >> 52) as u16 != pcid);
        }
        self.len() != before
    }

    fn clear(&mut self) -> bool {
        let any = self.len() != 0;
        for map in &mut self.maps {
            map.clear();
        }
        any
    }

    fn len(&self) -> usize {
        self.maps.iter().map(PageMap::len).sum()
    }
}

/// Cached translations.
///
/// Not-present and reserved-bit translations never get in; rights are evaluated at each use;
/// a page of 2 MiB or 1 GiB is one entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TranslationCache {
    local: Bank,
    global: Bank,
}

impl TranslationCache {
    /// The translation cached for `at` under `pcid`.
    ///
    /// Where pages of several sizes are cached, the smallest one counts: then no new translation
    /// of one address takes the place of another address's, which natively running code may go on
    /// using.
    #[inline]
    #[must_use]
    pub fn get(&self, pcid: u16, at: VirtAddr) -> Option<&CachedTranslation> {
        (0..SHIFTS.len()).find_map(|size| {
            let local = self.local.get(size, pcid, at);
            local.or_else(|| self.global.get(size, 0, at))
        })
    }

    fn get_mut(&mut self, pcid: u16, at: VirtAddr) -> Option<&mut CachedTranslation> {
        for size in 0..SHIFTS.len() {
            if self.local.get(size, pcid, at).is_some() {
                return self.local.get_mut(size, pcid, at);
            }
            if self.global.get(size, 0, at).is_some() {
                return self.global.get_mut(size, 0, at);
            }
        }
        None
    }

    /// How many translations are cached.
    #[must_use]
    pub fn len(&self) -> usize {
        self.local.len() + self.global.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every cached translation with its PCID (0 for global ones) and linear address,
    /// ordered by them.
    #[must_use]
    pub fn entries(&self) -> Vec<(u16, VirtAddr, CachedTranslation)> {
        let mut all = Vec::with_capacity(self.len());
        for bank in [&self.local, &self.global] {
            for (map, shift) in bank.maps.iter().zip(SHIFTS) {
                for (k, t) in map {
                    // Sign-extend from bit 56, the top one of a page number that matters.
                    let at = (k << 12 >> 12 << (shift + 7)) as i64 >> 7;
                    all.push(((k >> 52) as u16, VirtAddr(at as u64), *t));
                }
            }
        }
        all.sort_unstable_by_key(|(pcid, at, t)| (*pcid, t.global, at.0, t.page_size));
        all
    }

    /// The cache with these [`entries`](Self::entries), if there can be such ones.
    pub(crate) fn of_entries(entries: &[(u16, VirtAddr, CachedTranslation)]) -> Option<Self> {
        let mut cache = Self::default();
        for &(pcid, at, t) in entries {
            let known = SHIFTS.iter().any(|&shift| t.page_size == 1 << shift);
            if !known || pcid >> 12 != 0 || t.frame.0 & (t.page_size - 1) != 0 || t.key > 15 {
                return None;
            }
            if t.global {
                cache.global.insert(pcid, at, t);
            } else {
                cache.local.insert(pcid, at, t);
            }
        }
        (cache.len() == entries.len() && cache.len() <= CAPACITY).then_some(cache)
    }

    /// Notes that an instruction is fetched through the translation of `at`.
    pub(super) fn set_fetched(&mut self, pcid: u16, at: VirtAddr) {
        if let Some(t) = self.get_mut(pcid, at) {
            t.fetched = true;
        }
    }

    /// Caches the result of a walk.
    pub(super) fn insert(
        &mut self,
        pcid: u16,
        at: VirtAddr,
        t: &Translation,
        fetch: bool,
    ) -> Inserted {
        let old = self.get(pcid, at).copied();
        let mut new = CachedTranslation::of(t, fetch);
        let mut result = Inserted::default();
        if let Some(old) = old {
            new.fetched |= old.fetched && old.frame == new.frame && new.rights.executable;
            result.stale = !old.is_subsumed_by(&new);
            // What takes its very place drops nothing else: another size's goes on serving.
            if old.page_size != new.page_size || old.global != new.global {
                self.drop_address(pcid, at);
                result.stale = true;
            }
        }
        if self.len() >= CAPACITY {
            self.forget();
            result.full = true;
        }
        if new.global {
            self.global.insert(0, at, new);
        } else {
            self.local.insert(pcid, at, new);
        }
        result
    }

    /// Drops what is cached for `at` under `pcid`, and globally. Whether anything was.
    pub(super) fn drop_address(&mut self, pcid: u16, at: VirtAddr) -> bool {
        let local = self.local.drop_address(pcid, at);
        self.global.drop_address(0, at) | local
    }

    /// Drops what is cached for `at` under `pcid`, except globally.
    pub(super) fn drop_local_address(&mut self, pcid: u16, at: VirtAddr) -> bool {
        self.local.drop_address(pcid, at)
    }

    /// Drops everything of `pcid` except global translations.
    pub(super) fn drop_pcid(&mut self, pcid: u16) -> bool {
        self.local.drop_pcid(pcid)
    }

    /// Drops everything of all PCIDs except global translations.
    pub(super) fn drop_locals(&mut self) -> bool {
        self.local.clear()
    }

    /// Drops everything. Whether there was anything.
    pub fn forget(&mut self) -> bool {
        let local = self.local.clear();
        self.global.clear() | local
    }
}

/// What [`TranslationCache::insert`] took away.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Inserted {
    /// The page had a translation that allowed something that is no longer so.
    pub stale: bool,
    /// Everything was dropped to make room.
    pub full: bool,
}

/// What natively running code may do with one 4 KiB page without asking again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The frame.
    pub phys: PhysAddr,
    /// Reads.
    pub read: bool,
    /// Writes: only where D is known to be set.
    pub write: bool,
    /// Fetches: only where an instruction has been fetched architecturally.
    pub exec: bool,
}

/// A read-only view of the cache under the current control registers.
///
/// It never walks, sets no A or D bit and makes no event: the engine's speculative
/// questions leave no trace.
#[derive(Clone, Copy, Debug)]
pub struct TlbView<'a> {
    pub(super) cache: &'a TranslationCache,
    pub(super) context: PagingContext,
}

impl TlbView<'_> {
    /// What code at `cpl`, with RFLAGS.AC = `ac`, may do with `page` through what is cached.
    /// `None`: nothing is cached.
    #[must_use]
    pub fn grant(&self, page: VirtAddr, cpl: u8, ac: bool) -> Option<Grant> {
        if !self.context.paging() {
            return Some(Grant {
                phys: PhysAddr(page.0 & 0xffff_f000),
                read: true,
                write: true,
                exec: true,
            });
        }
        let t = self.cache.get(self.context.pcid(), page)?;
        let context = PagingContext { ac, ..self.context };
        let allows = |kind| {
            let access = Access::explicit(kind, cpl);
            context.denial(t.rights, t.key, access).is_none()
                && !context.separation_denies(page, access)
        };
        Some(Grant {
            phys: PhysAddr(t.phys(page).0 & !(PAGE_SIZE - 1)),
            read: allows(AccessKind::Read),
            write: t.dirty && allows(AccessKind::Write),
            exec: t.fetched && allows(AccessKind::Fetch),
        })
    }
}
