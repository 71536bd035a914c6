//! Bits and numbers in words.

use super::page::Page;
use crate::arch::Vector;
use crate::arch::bits::{cr0, cr4, msr, pf, rflags};
use crate::trace::event::{HeldBy, Source};

/// RFLAGS from the high bits to the low ones (SDM vol. 1, 3.4.3). IOPL is a number.
const FLAGS: &[(u64, &str)] = &[
    (rflags::ID, "ID"),
    (rflags::VIP, "VIP"),
    (rflags::VIF, "VIF"),
    (rflags::AC, "AC"),
    (rflags::VM, "VM"),
    (rflags::RF, "RF"),
    (rflags::NT, "NT"),
    (rflags::OF, "OF"),
    (rflags::DF, "DF"),
    (rflags::IF, "IF"),
    (rflags::TF, "TF"),
    (rflags::SF, "SF"),
    (rflags::ZF, "ZF"),
    (rflags::AF, "AF"),
    (rflags::PF, "PF"),
    (rflags::CF, "CF"),
];

/// CR0 (SDM vol. 3, 2.5).
const CR0: &[(u64, &str)] = &[
    (cr0::PG, "PG"),
    (cr0::CD, "CD"),
    (cr0::NW, "NW"),
    (cr0::AM, "AM"),
    (cr0::WP, "WP"),
    (cr0::NE, "NE"),
    (cr0::ET, "ET"),
    (cr0::TS, "TS"),
    (cr0::EM, "EM"),
    (cr0::MP, "MP"),
    (cr0::PE, "PE"),
];

/// CR4 (SDM vol. 3, 2.5).
const CR4: &[(u64, &str)] = &[
    (cr4::FRED, "FRED"),
    (cr4::LASS, "LASS"),
    (cr4::PKS, "PKS"),
    (cr4::CET, "CET"),
    (cr4::PKE, "PKE"),
    (cr4::SMAP, "SMAP"),
    (cr4::SMEP, "SMEP"),
    (cr4::OSXSAVE, "OSXSAVE"),
    (cr4::PCIDE, "PCIDE"),
    (cr4::FSGSBASE, "FSGSBASE"),
    (cr4::SMXE, "SMXE"),
    (cr4::VMXE, "VMXE"),
    (cr4::LA57, "LA57"),
    (cr4::UMIP, "UMIP"),
    (cr4::OSXMMEXCPT, "OSXMMEXCPT"),
    (cr4::OSFXSR, "OSFXSR"),
    (cr4::PCE, "PCE"),
    (cr4::PGE, "PGE"),
    (cr4::MCE, "MCE"),
    (cr4::PAE, "PAE"),
    (cr4::PSE, "PSE"),
    (cr4::DE, "DE"),
    (cr4::TSD, "TSD"),
    (cr4::PVI, "PVI"),
    (cr4::VME, "VME"),
];

/// MSRs that have a name here (SDM vol. 4, 2.1).
const MSRS: &[(u32, &str)] = &[
    (msr::TSC, "IA32_TIME_STAMP_COUNTER"),
    (msr::APIC_BASE, "IA32_APIC_BASE"),
    (msr::TSC_ADJUST, "IA32_TSC_ADJUST"),
    (msr::SYSENTER_CS, "IA32_SYSENTER_CS"),
    (msr::SYSENTER_ESP, "IA32_SYSENTER_ESP"),
    (msr::SYSENTER_EIP, "IA32_SYSENTER_EIP"),
    (msr::MCG_CAP, "IA32_MCG_CAP"),
    (msr::MCG_STATUS, "IA32_MCG_STATUS"),
    (msr::MISC_ENABLE, "IA32_MISC_ENABLE"),
    (msr::PAT, "IA32_PAT"),
    (msr::TSC_DEADLINE, "IA32_TSC_DEADLINE"),
    (msr::EFER, "IA32_EFER"),
    (msr::STAR, "IA32_STAR"),
    (msr::LSTAR, "IA32_LSTAR"),
    (msr::CSTAR, "IA32_CSTAR"),
    (msr::SFMASK, "IA32_FMASK"),
    (msr::FS_BASE, "IA32_FS_BASE"),
    (msr::GS_BASE, "IA32_GS_BASE"),
    (msr::KERNEL_GS_BASE, "IA32_KERNEL_GS_BASE"),
    (msr::TSC_AUX, "IA32_TSC_AUX"),
];

/// `rflags 0x246 [IF ZF PF]`
pub(super) fn rflags(page: &mut Page<'_, '_>, value: u64) {
    page.s("rflags ").hex(value).s(" [");
    let mut between = "";
    for (bit, name) in FLAGS {
        if value & bit != 0 {
            page.s(between).s(name);
            between = " ";
        }
    }
    let iopl = (value & rflags::IOPL) >> 12;
    if iopl != 0 {
        page.s(between).s("IOPL=").dec(iopl);
    }
    page.s("]");
}

/// ` (+PGE -TS)`: what changed in a control register whose bits have names.
pub(super) fn control_change(page: &mut Page<'_, '_>, register: &str, old: u64, new: u64) {
    let bits = match register {
        "cr0" => CR0,
        "cr4" => CR4,
        _ => return,
    };
    let mut before = "  (";
    for (bit, name) in bits {
        if (old ^ new) & bit != 0 {
            page.s(before)
                .s(if new & bit != 0 { "+" } else { "-" })
                .s(name);
            before = " ";
        }
    }
    if before == " " {
        page.s(")");
    }
}

/// The name of an MSR.
pub(super) fn msr_name(number: u64) -> Option<&'static str> {
    MSRS.iter()
        .find(|(n, _)| u64::from(*n) == number)
        .map(|(_, name)| *name)
}

/// Why a page fault happened: the first of reserved bit, protection key, not present, protection
/// that the error code names (SDM vol. 3, 4.7).
pub(super) const fn page_fault_reason(code: u32) -> &'static str {
    if code & pf::RSVD != 0 {
        "reserved bit set"
    } else if code & pf::PK != 0 {
        "protection key"
    } else if code & pf::P == 0 {
        "not present"
    } else {
        "protection"
    }
}

/// What a page fault's error code says of the access.
pub(super) const fn page_fault_access(code: u32) -> &'static str {
    if code & pf::ID != 0 {
        "fetch"
    } else if code & pf::W != 0 {
        "write"
    } else {
        "read"
    }
}

/// Error-code bits above those with words of their own: shadow stack, SGX (SDM vol. 3, 4.7).
const PF_OTHERS: &[(u32, &str)] = &[(1 << 6, ", shadow stack"), (1 << 15, ", SGX")];

/// `ec 0x2 (write, not present, supervisor)`, or the selector's table and index (SDM vol. 3,
/// 6.13), or the number alone.
pub(super) fn error_code(page: &mut Page<'_, '_>, vector: Vector, code: u32) {
    page.s("ec ").hex(code);
    match vector {
        Vector::PF => {
            page.s(" (").s(page_fault_access(code)).s(", ");
            page.s(page_fault_reason(code));
            page.s(if code & pf::U != 0 {
                ", user"
            } else {
                ", supervisor"
            });
            for (bit, word) in PF_OTHERS {
                if code & bit != 0 {
                    page.s(word);
                }
            }
            page.s(")");
        }
        Vector::TS | Vector::NP | Vector::SS | Vector::GP if code != 0 => {
            const EXT: u32 = 1;
            const IDT: u32 = 2;
            const TI: u32 = 4;
            page.s(" (");
            if code & IDT != 0 {
                page.s("IDT gate ").hex((code >> 3) & 0x1fff);
            } else {
                page.s(if code & TI != 0 { "LDT" } else { "GDT" });
                page.s(" selector ").hex(code & 0xfff8);
            }
            if code & EXT != 0 {
                page.s(", external");
            }
            page.s(")");
        }
        _ => {}
    }
}

/// Who raised it.
pub(super) const fn source(source: Source) -> &'static str {
    match source {
        Source::Schedule => "the schedule",
        Source::Apic => "the local APIC",
        Source::Timer => "the APIC timer",
        Source::Device => "a device",
        Source::Host => "the host program",
    }
}

/// Why an NMI waits.
pub(super) const fn held_by(held_by: HeldBy) -> &'static str {
    match held_by {
        HeldBy::Blocked => "NMIs are blocked",
        HeldBy::MovSsShadow => "in the shadow of MOV SS",
        HeldBy::StiShadow => "in the shadow of STI",
        HeldBy::Priority => "an event of higher priority goes first",
    }
}
