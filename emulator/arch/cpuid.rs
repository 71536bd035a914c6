//! CPUID: deterministic leaves for each CPU model (SDM vol. 2, CPUID; APM vol. 3, appendix E).
//!
//! A feature is reported only if the microcode models it or the engine runs it natively.

use super::bits::cr4;
use super::model::{CpuModel, Vendor};

/// The four registers that CPUID returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[expect(missing_docs, reason = "register names")]
pub struct CpuidLeaf {
    pub eax: u32,
    pub ebx: u32,
    pub ecx: u32,
    pub edx: u32,
}

/// CPUID.1:EDX.APIC, that goes away while IA32_APIC_BASE disables the local APIC.
pub const APIC: u32 = 1 << 9;

/// The highest basic leaf.
pub const MAX_BASIC: u32 = 0xb;

/// The highest extended leaf.
pub const MAX_EXTENDED: u32 = 0x8000_0008;

/// AMD's extended feature leaf 2.
const EXTENDED_FEATURES_2: u32 = 0x8000_0021;

/// The processor brand string, at most 47 bytes.
const BRANDS: [(Vendor, &str); 2] = [
    (Vendor::Intel, "iretrace x86-64 CPU, Intel rules"),
    (Vendor::Amd, "iretrace x86-64 CPU, AMD rules"),
];

/// LASS in EAX of leaf 7, sub-leaf 1.
const LASS: u32 = 6;

/// Which register of a leaf.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reg {
    Eax,
    Ebx,
    Ecx,
    Edx,
}
use Reg::{Eax, Ebx, Ecx, Edx};

/// A feature bit: leaf, register, bit, and whether this CPU, with this CR4, reports it.
type Bit = (u32, Reg, u32, fn(&CpuModel, u64) -> bool);

const ALWAYS: fn(&CpuModel, u64) -> bool = |_, _| true;

#[rustfmt::skip]
const BITS: &[Bit] = &[
    (1, Ecx, 0, ALWAYS),                                          // SSE3
    (1, Ecx, 1, ALWAYS),                                          // PCLMULQDQ
    (1, Ecx, 9, ALWAYS),                                          // SSSE3
    (1, Ecx, 13, ALWAYS),                                         // CMPXCHG16B
    (1, Ecx, 17, |m, _| m.features.pcid),
    (1, Ecx, 19, ALWAYS),                                         // SSE4.1
    (1, Ecx, 20, ALWAYS),                                         // SSE4.2
    (1, Ecx, 21, |m, _| m.features.x2apic),
    (1, Ecx, 22, ALWAYS),                                         // MOVBE
    (1, Ecx, 23, ALWAYS),                                         // POPCNT
    (1, Ecx, 25, ALWAYS),                                         // AES
    (1, Ecx, 27, |_, cr4| cr4 & cr4::OSXSAVE != 0),
    (1, Ecx, 30, |m, _| m.features.rdrand),
    (1, Edx, 0, ALWAYS),                                          // FPU
    (1, Edx, 2, ALWAYS),                                          // DE
    (1, Edx, 3, ALWAYS),                                          // PSE
    (1, Edx, 4, ALWAYS),                                          // TSC
    (1, Edx, 5, ALWAYS),                                          // MSR
    (1, Edx, 6, ALWAYS),                                          // PAE
    (1, Edx, 7, ALWAYS),                                          // MCE
    (1, Edx, 8, ALWAYS),                                          // CMPXCHG8B
    (1, Edx, 9, ALWAYS),                                          // APIC
    (1, Edx, 11, ALWAYS),                                         // SYSENTER, SYSEXIT
    (1, Edx, 13, |m, _| m.features.pge),
    (1, Edx, 14, ALWAYS),                                         // MCA
    (1, Edx, 15, ALWAYS),                                         // CMOV
    (1, Edx, 16, ALWAYS),                                         // PAT
    (1, Edx, 17, ALWAYS),                                         // PSE-36
    (1, Edx, 19, ALWAYS),                                         // CLFLUSH
    (1, Edx, 23, ALWAYS),                                         // MMX
    (1, Edx, 24, ALWAYS),                                         // FXSAVE, FXRSTOR
    (1, Edx, 25, ALWAYS),                                         // SSE
    (1, Edx, 26, ALWAYS),                                         // SSE2
    (6, Eax, 2, ALWAYS),                                          // the APIC timer always runs
    (7, Ebx, 0, |m, _| m.features.fsgsbase),
    (7, Ebx, 1, ALWAYS),                                          // IA32_TSC_ADJUST
    (7, Ebx, 3, ALWAYS),                                          // BMI1
    (7, Ebx, 7, |m, _| m.features.smep),
    (7, Ebx, 8, ALWAYS),                                          // BMI2
    (7, Ebx, 10, |m, _| m.features.invpcid),
    (7, Ebx, 18, |m, _| m.features.rdseed),
    (7, Ebx, 19, ALWAYS),                                         // ADCX, ADOX
    (7, Ebx, 20, |m, _| m.features.smap),
    (7, Ebx, 23, ALWAYS),                                         // CLFLUSHOPT
    (7, Ebx, 24, ALWAYS),                                         // CLWB
    (7, Ecx, 2, |m, _| m.features.umip),
    (7, Ecx, 3, |m, _| m.features.pku),
    (7, Ecx, 4, |_, cr4| cr4 & cr4::PKE != 0),                    // OSPKE
    (7, Ecx, 16, |m, _| m.features.la57),
    (0x8000_0001, Ecx, 0, ALWAYS),                                // LAHF, SAHF
    (0x8000_0001, Ecx, 5, ALWAYS),                                // LZCNT
    (0x8000_0001, Ecx, 8, ALWAYS),                                // PREFETCHW
    (0x8000_0001, Edx, 11, |m, _| m.features.syscall),
    (0x8000_0001, Edx, 20, |m, _| m.features.nx),
    (0x8000_0001, Edx, 26, |m, _| m.features.page_1gb),
    (0x8000_0001, Edx, 27, |m, _| m.features.rdtscp),
    (0x8000_0001, Edx, 29, ALWAYS),                               // long mode
    (0x8000_0007, Edx, 8, ALWAYS),                                // invariant TSC
    (EXTENDED_FEATURES_2, Eax, 6, |m, _| null_clears_base(m)),    // NullSelectorClearsBase
];

/// Leaf 1 EDX bits that AMD repeats in 80000001h EDX.
const AMD_REPEATED: u32 = 0x0183_f3ff;

/// CPUID, given what a model has and CR4 enables.
#[must_use]
pub fn cpuid(model: &CpuModel, cr4: u64, leaf: u32, subleaf: u32) -> CpuidLeaf {
    let leaf = in_range(model, leaf);
    let Some(leaf) = leaf else {
        return CpuidLeaf::default();
    };
    let mut found = fixed(model, leaf, subleaf);
    if leaf == 7 && model.features.lass {
        match subleaf {
            // The highest sub-leaf.
            0 => found.eax = 1,
            1 => found.eax |= 1 << LASS,
            _ => {}
        }
    }
    if leaf != 7 || subleaf == 0 {
        for (_, register, bit, present) in BITS.iter().filter(|row| row.0 == leaf) {
            if present(model, cr4) {
                *found.register(*register) |= 1 << bit;
            }
        }
    }
    if leaf == 0x8000_0001 && model.vendor == Vendor::Amd {
        found.edx |= cpuid(model, cr4, 1, 0).edx & AMD_REPEATED;
    }
    found
}

impl CpuidLeaf {
    fn register(&mut self, register: Reg) -> &mut u32 {
        match register {
            Eax => &mut self.eax,
            Ebx => &mut self.ebx,
            Ecx => &mut self.ecx,
            Edx => &mut self.edx,
        }
    }
}

fn null_clears_base(model: &CpuModel) -> bool {
    model.vendor == Vendor::Amd && model.knobs.null_seg_load_clears_base
}

/// The last extended leaf.
fn max_extended(model: &CpuModel) -> u32 {
    if null_clears_base(model) {
        EXTENDED_FEATURES_2
    } else {
        MAX_EXTENDED
    }
}

/// The leaf that is answered for `leaf`: beyond the last one, Intel answers the highest basic
/// leaf, AMD nothing.
fn in_range(model: &CpuModel, leaf: u32) -> Option<u32> {
    if leaf <= MAX_BASIC || (0x8000_0000..=max_extended(model)).contains(&leaf) {
        Some(leaf)
    } else if model.vendor == Vendor::Intel {
        Some(MAX_BASIC)
    } else {
        None
    }
}

/// What of a leaf is no feature bit.
fn fixed(model: &CpuModel, leaf: u32, subleaf: u32) -> CpuidLeaf {
    let intel = model.vendor == Vendor::Intel;
    match leaf {
        0 => vendor_leaf(model, MAX_BASIC),
        1 => CpuidLeaf {
            eax: signature(model),
            // CLFLUSH of 8 quadwords; one logical processor; APIC ID 0.
            ebx: 8 << 8 | 1 << 16,
            ..CpuidLeaf::default()
        },
        // Read once; no descriptors.
        2 if intel => CpuidLeaf {
            eax: 1,
            ..CpuidLeaf::default()
        },
        // One level: threads of a core, one of them, x2APIC ID 0.
        0xb if model.features.x2apic => CpuidLeaf {
            ebx: u32::from(subleaf < 2),
            ecx: subleaf & 0xff | [1 << 8, 2 << 8, 0][subleaf.min(2) as usize],
            ..CpuidLeaf::default()
        },
        0x8000_0000 => {
            let max = max_extended(model);
            if intel {
                CpuidLeaf {
                    eax: max,
                    ..CpuidLeaf::default()
                }
            } else {
                vendor_leaf(model, max)
            }
        }
        0x8000_0001 if !intel => CpuidLeaf {
            eax: signature(model),
            ..CpuidLeaf::default()
        },
        0x8000_0002..=0x8000_0004 => brand_leaf(model, leaf - 0x8000_0002),
        0x8000_0008 => CpuidLeaf {
            eax: u32::from(model.maxphyaddr) | if model.features.la57 { 57 } else { 48 } << 8,
            ..CpuidLeaf::default()
        },
        _ => CpuidLeaf::default(),
    }
}

/// Family, model and stepping: Ice Lake (Intel), Zen 2 (AMD).
const fn signature(model: &CpuModel) -> u32 {
    match model.vendor {
        Vendor::Intel => 0x0006_06a6,
        Vendor::Amd => 0x0083_0f10,
    }
}

fn vendor_leaf(model: &CpuModel, eax: u32) -> CpuidLeaf {
    let name = match model.vendor {
        Vendor::Intel => *b"GenuineIntel",
        Vendor::Amd => *b"AuthenticAMD",
    };
    let word = |i: usize| u32::from_le_bytes([name[i], name[i + 1], name[i + 2], name[i + 3]]);
    CpuidLeaf {
        eax,
        ebx: word(0),
        edx: word(4),
        ecx: word(8),
    }
}

/// The brand string's part `part`, 0 to 2, padded with NULs.
fn brand_leaf(model: &CpuModel, part: u32) -> CpuidLeaf {
    let mut text = [0; 48];
    for (vendor, brand) in BRANDS {
        if vendor == model.vendor {
            for (to, from) in text.iter_mut().zip(brand.bytes().take(47)) {
                *to = from;
            }
        }
    }
    let word = |i: usize| {
        let at = (part.min(2) as usize) * 16 + i * 4;
        u32::from_le_bytes([text[at], text[at + 1], text[at + 2], text[at + 3]])
    };
    CpuidLeaf {
        eax: word(0),
        ebx: word(1),
        ecx: word(2),
        edx: word(3),
    }
}
