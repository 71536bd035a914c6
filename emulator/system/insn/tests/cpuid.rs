//! SDM vol. 2, CPUID; APM vol. 3, appendix E.

use super::Rig;
use crate::arch::bits::cr4;
use crate::arch::cpuid::{CpuidLeaf, cpuid};
use crate::arch::state::gpr;
use crate::arch::{CpuModel, Features, Vendor};

const INTEL: CpuModel = CpuModel::of(Vendor::Intel);
const AMD: CpuModel = CpuModel::of(Vendor::Amd);

fn text(words: &[u32]) -> String {
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
    String::from_utf8(bytes).expect("ASCII")
}

#[test]
fn vendor_strings() {
    let v = cpuid(&INTEL, 0, 0, 0);
    assert_eq!(text(&[v.ebx, v.edx, v.ecx]), "GenuineIntel");
    let v = cpuid(&AMD, 0, 0, 0);
    assert_eq!(text(&[v.ebx, v.edx, v.ecx]), "AuthenticAMD");
    assert_eq!(cpuid(&AMD, 0, 0x8000_0000, 0).ebx, v.ebx);
}

#[test]
fn the_brand_string_ends_with_a_nul() {
    for model in [&INTEL, &AMD] {
        let words: Vec<u32> = (0x8000_0002..=0x8000_0004)
            .map(|leaf| cpuid(model, 0, leaf, 0))
            .flat_map(|l| [l.eax, l.ebx, l.ecx, l.edx])
            .collect();
        let brand = text(&words);
        assert_eq!(brand.len(), 48);
        assert!(brand.starts_with("iretrace") && brand.ends_with('\0'));
    }
}

#[test]
fn each_feature_has_its_bit() {
    type Case = (fn(&mut Features), u32, fn(&CpuidLeaf) -> u32, u32);
    let cases: &[Case] = &[
        (|f| f.pcid = false, 1, |l| l.ecx, 17),
        (|f| f.x2apic = false, 1, |l| l.ecx, 21),
        (|f| f.rdrand = false, 1, |l| l.ecx, 30),
        (|f| f.pge = false, 1, |l| l.edx, 13),
        (|f| f.fsgsbase = false, 7, |l| l.ebx, 0),
        (|f| f.smep = false, 7, |l| l.ebx, 7),
        (|f| f.invpcid = false, 7, |l| l.ebx, 10),
        (|f| f.rdseed = false, 7, |l| l.ebx, 18),
        (|f| f.smap = false, 7, |l| l.ebx, 20),
        (|f| f.umip = false, 7, |l| l.ecx, 2),
        (|f| f.pku = false, 7, |l| l.ecx, 3),
        (|f| f.la57 = false, 7, |l| l.ecx, 16),
        (|f| f.syscall = false, 0x8000_0001, |l| l.edx, 11),
        (|f| f.nx = false, 0x8000_0001, |l| l.edx, 20),
        (|f| f.page_1gb = false, 0x8000_0001, |l| l.edx, 26),
        (|f| f.rdtscp = false, 0x8000_0001, |l| l.edx, 27),
    ];
    for (clear, leaf, register, bit) in cases {
        let mut without = INTEL;
        clear(&mut without.features);
        let (with, without) = (cpuid(&INTEL, 0, *leaf, 0), cpuid(&without, 0, *leaf, 0));
        assert_eq!(
            register(&with) ^ register(&without),
            1 << bit,
            "{leaf:#x} bit {bit}"
        );
        assert_ne!(register(&with) & 1 << bit, 0);
    }
}

#[test]
fn what_is_not_modelled_is_not_reported() {
    for model in [&INTEL, &AMD] {
        let one = cpuid(model, 0, 1, 0);
        // MONITOR, VMX, SMX, FMA, XSAVE, OSXSAVE, AVX, F16C, hypervisor.
        for bit in [3, 5, 6, 12, 26, 27, 28, 29, 31] {
            assert_eq!(one.ecx & 1 << bit, 0, "1.ECX.{bit}");
        }
        let seven = cpuid(model, 0, 7, 0);
        // AVX2, MPX, AVX512F, SHA.
        for bit in [5, 14, 16, 29] {
            assert_eq!(seven.ebx & 1 << bit, 0, "7.EBX.{bit}");
        }
        // CET_SS, RDPID; CET_IBT.
        assert_eq!(seven.ecx & (1 << 7 | 1 << 22), 0);
        assert_eq!(seven.edx, 0);
        assert_eq!(cpuid(model, 0, 0xd, 0).edx, 0);
        // SVM.
        assert_eq!(cpuid(model, 0, 0x8000_0001, 0).ecx & 4, 0);
        assert_eq!(cpuid(model, 0, 7, 1).ebx, 0);
    }
}

#[test]
fn os_bits_follow_cr4() {
    assert_eq!(cpuid(&INTEL, 0, 7, 0).ecx & 1 << 4, 0);
    assert_ne!(cpuid(&INTEL, cr4::PKE, 7, 0).ecx & 1 << 4, 0);
}

#[test]
fn address_widths() {
    assert_eq!(cpuid(&INTEL, 0, 0x8000_0008, 0).eax, 57 << 8 | 46);
    assert_eq!(cpuid(&AMD, 0, 0x8000_0008, 0).eax, 57 << 8 | 48);
    let mut narrow = INTEL;
    narrow.features.la57 = false;
    narrow.maxphyaddr = 39;
    assert_eq!(cpuid(&narrow, 0, 0x8000_0008, 0).eax, 48 << 8 | 39);
}

#[test]
fn leaves_out_of_range() {
    // Intel: as the highest basic leaf; AMD: zeros.
    let last = cpuid(&INTEL, 0, 0xb, 1);
    assert_ne!(last, CpuidLeaf::default());
    assert_eq!(cpuid(&INTEL, 0, 0x4000_0000, 1), last);
    assert_eq!(cpuid(&AMD, 0, 0x4000_0000, 1), CpuidLeaf::default());
    assert_eq!(cpuid(&AMD, 0, 0xffff_ffff, 1), CpuidLeaf::default());
}

#[test]
fn amd_says_when_null_clears_the_base() {
    assert_eq!(cpuid(&AMD, 0, 0x8000_0000, 0).eax, 0x8000_0008);
    let mut zen2 = AMD;
    zen2.knobs.null_seg_load_clears_base = true;
    assert_eq!(cpuid(&zen2, 0, 0x8000_0000, 0).eax, 0x8000_0021);
    assert_eq!(cpuid(&zen2, 0, 0x8000_0021, 0).eax, 1 << 6);
}

#[test]
fn the_instruction_clears_upper_halves_and_knows_the_apic() {
    let mut rig = Rig::new();
    rig.user();
    for i in [gpr::RAX, gpr::RBX, gpr::RCX, gpr::RDX] {
        *rig.gpr(i) = 0xdead_0000_0000_0000;
    }
    *rig.gpr(gpr::RAX) |= 1;
    rig.done(&[0x0f, 0xa2]);
    let expected = cpuid(&INTEL, rig.cpu.regs.cr4, 1, 0);
    assert_eq!(*rig.gpr(gpr::RAX), u64::from(expected.eax));
    assert_eq!(*rig.gpr(gpr::RBX), u64::from(expected.ebx));
    assert_eq!(*rig.gpr(gpr::RCX), u64::from(expected.ecx));
    // There is no APIC here (SDM vol. 3, 11.4.3).
    assert_eq!(*rig.gpr(gpr::RDX), u64::from(expected.edx & !(1 << 9)));
    rig.bus.apic_base = Some(0xfee0_0900);
    *rig.gpr(gpr::RAX) = 1;
    rig.done(&[0x0f, 0xa2]);
    assert_eq!(*rig.gpr(gpr::RDX), u64::from(expected.edx));
}
