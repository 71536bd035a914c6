//! What kind of memory access is made, and on whose behalf (reference 2.3, 4.3).

use serde::{Deserialize, Serialize};

/// The three kinds the page tables tell apart. A read-modify-write is a
/// `Write` from its first byte on (#PF error code bit W).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessKind {
    /// Data read.
    Read,
    /// Data write, or read-modify-write.
    Write,
    /// Instruction fetch.
    Fetch,
}

/// One access, as the rights check sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Access {
    /// Read, write or fetch.
    pub kind: AccessKind,
    /// User-mode access: CPL 3 and not implicit.
    pub user: bool,
    /// Implicit supervisor access (IDT, GDT, LDT, TSS): AC is ignored by SMAP.
    pub implicit: bool,
}

impl Access {
    /// An ordinary access by code that runs at `cpl`.
    #[must_use]
    pub const fn explicit(kind: AccessKind, cpl: u8) -> Self {
        Self {
            kind,
            user: cpl == 3,
            implicit: false,
        }
    }

    /// An access to a system structure: supervisor whatever the CPL is.
    #[must_use]
    pub const fn implicit(kind: AccessKind) -> Self {
        Self {
            kind,
            user: false,
            implicit: true,
        }
    }
}
