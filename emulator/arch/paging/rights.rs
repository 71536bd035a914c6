//! Who may do what through a translation (SDM vol. 3, 4.6), and the error code
//! of what he may not (4.7).

use serde::{Deserialize, Serialize};

use super::PagingContext;
use crate::arch::bits::{pf, pte};
use crate::arch::{Access, AccessKind};

/// The rights that all levels of a translation grant together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rights {
    /// U/S is 1 at every level: a user-mode address.
    pub user: bool,
    /// R/W is 1 at every level.
    pub writable: bool,
    /// XD is 0 at every level.
    pub executable: bool,
}

impl Rights {
    /// What no level has restricted yet.
    pub const ALL: Self = Self {
        user: true,
        writable: true,
        executable: true,
    };

    /// These rights, restricted by one more `entry`.
    #[must_use]
    pub const fn and(self, entry: u64) -> Self {
        Self {
            user: self.user && entry & pte::U != 0,
            writable: self.writable && entry & pte::W != 0,
            executable: self.executable && entry & pte::XD == 0,
        }
    }
}

impl PagingContext {
    /// The bits of a #PF error code that tell the access: W/R, U/S, I/D.
    #[inline]
    #[must_use]
    pub const fn access_code(&self, access: Access) -> u32 {
        let w = match access.kind {
            AccessKind::Write => pf::W,
            _ => 0,
        };
        let u = if access.user { pf::U } else { 0 };
        let id = match access.kind {
            AccessKind::Fetch if self.nxe() || self.smep() => pf::ID,
            _ => 0,
        };
        w | u | id
    }

    /// Whether the protection key `key` of a user-mode page forbids the data `access`.
    #[inline(always)]
    #[must_use]
    const fn key_denies(&self, rights: Rights, key: u8, access: Access) -> bool {
        if !self.pke() || !rights.user || matches!(access.kind, AccessKind::Fetch) {
            return false;
        }
        let pair = self.pkru >> (2 * (key & 15) as u32);
        let (ad, wd) = (pair & 1 != 0, pair & 2 != 0);
        let write = matches!(access.kind, AccessKind::Write);
        ad || (write && wd && (access.user || self.wp()))
    }

    /// The error code if `access` is forbidden by `rights` or `key`; `None` if it is allowed.
    #[inline(always)]
    #[must_use]
    pub const fn denial(&self, rights: Rights, key: u8, access: Access) -> Option<u32> {
        let Rights {
            user: u,
            writable: w,
            executable: x,
        } = rights;
        let smap_ok = !u || !self.smap() || (!access.implicit && self.ac);
        let allowed = match (access.user, access.kind) {
            (true, AccessKind::Read) => u,
            (true, AccessKind::Write) => u && w,
            (true, AccessKind::Fetch) => u && x,
            (false, AccessKind::Read) => smap_ok,
            (false, AccessKind::Write) => smap_ok && (w || !self.wp()),
            (false, AccessKind::Fetch) => x && (!u || !self.smep()),
        };
        let key = self.key_denies(rights, key, access);
        if allowed && !key {
            return None;
        }
        let pk = if key { pf::PK } else { 0 };
        Some(self.access_code(access) | pf::P | pk)
    }
}
