//! CPU models: what CPUID says, and where vendors differ (reference 0.3).

use serde::{Deserialize, Serialize};

/// Whose rules hold where they differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vendor {
    /// Intel.
    Intel,
    /// AMD.
    Amd,
}

/// The vendor knobs. [`Knobs::of`] gives each vendor's defaults.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Knobs {
    /// IRET unblocks NMIs when it starts, so even if it faults (Intel); else on success (AMD).
    pub iret_fault_unblocks_nmi: bool,
    /// The STI shadow holds NMIs too. A run takes the "may" of the manual as yes.
    pub sti_shadow_blocks_nmi: bool,
    /// The MOV SS shadow holds NMIs.
    pub movss_shadow_blocks_nmi: bool,
    /// SYSRET with a non-canonical RCX raises #GP at CPL 0 (Intel).
    pub sysret_checks_rcx: bool,
    /// Loading FS or GS with a null selector clears the base (Intel).
    pub null_seg_load_clears_base: bool,
    /// Bit 8 is reserved in PML5E and PML4E (AMD).
    pub nonleaf_bit8_reserved: bool,
    /// A walk that faults still sets A in the levels above.
    pub set_a_on_failed_walk: bool,
    /// A delivery checks all pushes of its frame before it makes the first; else it makes each
    /// before it checks the next, and what it made stays. The manuals promise neither.
    pub frame_writes_atomic: bool,
    /// A stack pointer that a delivery takes from the TSS must be canonical itself; else only the
    /// addresses at which it pushes: 2^47 differs, from which the first push goes to 2^47 - 8.
    pub tss_rsp_checked: bool,
    /// A delivery's pushes are implicit supervisor-mode accesses, for which RFLAGS.AC does not
    /// count; else explicit ones of the new CPL. The manuals list only system structures as
    /// implicit (SDM vol. 3, "Access Rights").
    pub frame_pushes_implicit: bool,
}

impl Knobs {
    /// The defaults of `vendor`.
    #[must_use]
    pub const fn of(vendor: Vendor) -> Self {
        let intel = matches!(vendor, Vendor::Intel);
        Self {
            iret_fault_unblocks_nmi: intel,
            sti_shadow_blocks_nmi: true,
            movss_shadow_blocks_nmi: true,
            sysret_checks_rcx: intel,
            null_seg_load_clears_base: intel,
            nonleaf_bit8_reserved: !intel,
            set_a_on_failed_walk: false,
            frame_writes_atomic: true,
            tss_rsp_checked: true,
            frame_pushes_implicit: false,
        }
    }
}

/// Optional CPU features that the rules know; each is advertised in CPUID when set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the manuals' names")]
pub struct Features {
    pub nx: bool,
    pub page_1gb: bool,
    pub la57: bool,
    pub smep: bool,
    pub smap: bool,
    #[serde(default)]
    pub lass: bool,
    pub pku: bool,
    pub pcid: bool,
    pub invpcid: bool,
    pub pge: bool,
    pub fsgsbase: bool,
    pub umip: bool,
    pub x2apic: bool,
    pub rdtscp: bool,
    pub rdrand: bool,
    pub rdseed: bool,
    pub syscall: bool,
}

/// One CPU model.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CpuModel {
    /// Whose rules.
    pub vendor: Vendor,
    /// MAXPHYADDR, 32 to 52.
    pub maxphyaddr: u8,
    /// Features.
    pub features: Features,
    /// Knobs.
    pub knobs: Knobs,
}

impl CpuModel {
    /// The default model of `vendor`: everything that is modelled, MAXPHYADDR 46 (Intel) or 48 (AMD).
    #[must_use]
    pub const fn of(vendor: Vendor) -> Self {
        Self {
            vendor,
            maxphyaddr: match vendor {
                Vendor::Intel => 46,
                Vendor::Amd => 48,
            },
            features: Features {
                nx: true,
                page_1gb: true,
                la57: true,
                smep: true,
                smap: true,
                // Intel's alone.
                lass: matches!(vendor, Vendor::Intel),
                pku: true,
                pcid: true,
                invpcid: true,
                pge: true,
                fsgsbase: true,
                umip: true,
                x2apic: true,
                rdtscp: true,
                rdrand: true,
                rdseed: true,
                syscall: true,
            },
            knobs: Knobs::of(vendor),
        }
    }
}
