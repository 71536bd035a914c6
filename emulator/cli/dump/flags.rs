//! Names of the bits of system registers (SDM vol. 1, 3.4.3; vol. 3, 2.2.1, 2.5 and 17.2).

/// Bits by rising number.
pub type Names = &'static [(u32, &'static str)];

#[rustfmt::skip]
pub const RFLAGS: Names = &[
    (0, "CF"), (2, "PF"), (4, "AF"), (6, "ZF"), (7, "SF"), (8, "TF"), (9, "IF"), (10, "DF"),
    (11, "OF"), (14, "NT"), (16, "RF"), (17, "VM"), (18, "AC"), (19, "VIF"), (20, "VIP"),
    (21, "ID"),
];

#[rustfmt::skip]
pub const CR0: Names = &[
    (0, "PE"), (1, "MP"), (2, "EM"), (3, "TS"), (4, "ET"), (5, "NE"), (16, "WP"), (18, "AM"),
    (29, "NW"), (30, "CD"), (31, "PG"),
];

#[rustfmt::skip]
pub const CR4: Names = &[
    (0, "VME"), (1, "PVI"), (2, "TSD"), (3, "DE"), (4, "PSE"), (5, "PAE"), (6, "MCE"),
    (7, "PGE"), (8, "PCE"), (9, "OSFXSR"), (10, "OSXMMEXCPT"), (11, "UMIP"), (12, "LA57"),
    (13, "VMXE"), (14, "SMXE"), (16, "FSGSBASE"), (17, "PCIDE"), (18, "OSXSAVE"), (20, "SMEP"),
    (21, "SMAP"), (22, "PKE"), (23, "CET"), (24, "PKS"), (27, "LASS"), (32, "FRED"),
];

#[rustfmt::skip]
pub const EFER: Names = &[
    (0, "SCE"), (8, "LME"), (10, "LMA"), (11, "NXE"), (12, "SVME"), (14, "FFXSR"),
];

#[rustfmt::skip]
pub const DR6: Names = &[
    (0, "B0"), (1, "B1"), (2, "B2"), (3, "B3"), (13, "BD"), (14, "BS"), (15, "BT"),
];

#[rustfmt::skip]
pub const DR7: Names = &[
    (0, "L0"), (1, "G0"), (2, "L1"), (3, "G1"), (4, "L2"), (5, "G2"), (6, "L3"), (7, "G3"),
    (8, "LE"), (9, "GE"), (13, "GD"),
];

/// The names of the bits that are set in `value`, each with a space before it.
pub fn named(value: u64, names: Names) -> String {
    names
        .iter()
        .filter(|(bit, _)| value & (1 << bit) != 0)
        .map(|(_, name)| format!(" {name}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use iretrace::arch::bits::{cr0, cr4, efer, rflags};

    #[test]
    fn names_stand_for_the_rules_bits() {
        assert_eq!(
            named(rflags::IF | rflags::ZF | rflags::AC, RFLAGS),
            " ZF IF AC"
        );
        assert_eq!(named(cr0::PG | cr0::WP | cr0::PE, CR0), " PE WP PG");
        assert_eq!(
            named(cr4::LA57 | cr4::PCIDE | cr4::FRED, CR4),
            " LA57 PCIDE FRED"
        );
        assert_eq!(named(efer::NXE | efer::LMA, EFER), " LMA NXE");
        assert_eq!(named(0, DR7), "");
    }
}
