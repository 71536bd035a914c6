//! Everything outside memory that a page walk and a rights check depend on.

use crate::arch::bits::{cr0, cr3, cr4, efer};
use crate::arch::{Access, AccessKind, Features, Knobs, VirtAddr};

/// The registers and model facts that paging reads, taken at one moment.
///
/// Only IA-32e paging is modelled: with CR0.PG = 1 the walk is a 4-level one, or a 5-level
/// one if CR4.LA57 is set; with CR0.PG = 0 addresses are physical.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PagingContext {
    /// CR0: PG and WP.
    pub cr0: u64,
    /// CR3: the root table and, with CR4.PCIDE, the PCID.
    pub cr3: u64,
    /// CR4: LA57, PGE, PCIDE, SMEP, SMAP, PKE, LASS.
    pub cr4: u64,
    /// IA32_EFER: NXE, LMA.
    pub efer: u64,
    /// RFLAGS.AC, for SMAP.
    pub ac: bool,
    /// PKRU.
    pub pkru: u32,
    /// MAXPHYADDR.
    pub maxphyaddr: u8,
    /// The CPU's features.
    pub features: Features,
    /// The vendor's knobs.
    pub knobs: Knobs,
}

impl PagingContext {
    /// CR0.PG.
    #[must_use]
    pub const fn paging(&self) -> bool {
        self.cr0 & cr0::PG != 0
    }

    /// CR0.WP.
    #[must_use]
    pub const fn wp(&self) -> bool {
        self.cr0 & cr0::WP != 0
    }

    /// IA32_EFER.NXE.
    #[must_use]
    pub const fn nxe(&self) -> bool {
        self.efer & efer::NXE != 0
    }

    /// CR4.SMEP.
    #[must_use]
    pub const fn smep(&self) -> bool {
        self.cr4 & cr4::SMEP != 0
    }

    /// CR4.SMAP.
    #[must_use]
    pub const fn smap(&self) -> bool {
        self.cr4 & cr4::SMAP != 0
    }

    /// Whether linear-address-space separation forbids `access` to `at`, before any walk: with
    /// CR4.LASS a user-mode access to the upper half, a supervisor-mode fetch from the lower half
    /// and, with CR4.SMAP, supervisor-mode data there unless AC lets it (SDM vol. 3,
    /// "Linear-Address-Space Separation").
    #[must_use]
    pub const fn separation_denies(&self, at: VirtAddr, access: Access) -> bool {
        if self.cr4 & cr4::LASS == 0 || self.efer & efer::LMA == 0 {
            return false;
        }
        let upper = at.0 >> 63 != 0;
        match (access.user, access.kind) {
            (true, _) => upper,
            (false, AccessKind::Fetch) => !upper,
            (false, _) => !upper && self.smap() && (access.implicit || !self.ac),
        }
    }

    /// CR4.PKE.
    #[must_use]
    pub const fn pke(&self) -> bool {
        self.cr4 & cr4::PKE != 0
    }

    /// CR4.PGE.
    #[must_use]
    pub const fn pge(&self) -> bool {
        self.cr4 & cr4::PGE != 0
    }

    /// Levels of the walk: 4, or 5 with CR4.LA57.
    #[must_use]
    pub const fn levels(&self) -> u8 {
        if self.cr4 & cr4::LA57 != 0 { 5 } else { 4 }
    }

    /// Whether linear addresses have 57 bits.
    #[must_use]
    pub const fn la57(&self) -> bool {
        self.cr4 & cr4::LA57 != 0
    }

    /// The current PCID: CR3 bits 11:0 with CR4.PCIDE, else 0 (SDM vol. 3, 4.10.1).
    #[must_use]
    pub const fn pcid(&self) -> u16 {
        if self.cr4 & cr4::PCIDE != 0 {
            (self.cr3 & cr3::PCID) as u16
        } else {
            0
        }
    }
}
