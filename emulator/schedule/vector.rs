//! Names of vectors in schedules.

use std::fmt;

use crate::arch::Vector;
use crate::suggest::Nearest;

/// The exceptions, by the names of SDM vol. 3, table 6-1; whether they push an error code. The
/// first name of a vector is the canonical one.
const VECTORS: &[(Vector, &str, bool)] = &[
    (Vector::DE, "divide-error", false),
    (Vector::DB, "debug", false),
    (Vector::NMI, "nmi", false),
    (Vector::BP, "breakpoint", false),
    (Vector::OF, "overflow", false),
    (Vector::BR, "bound-range", false),
    (Vector::UD, "invalid-opcode", false),
    (Vector::NM, "device-not-available", false),
    (Vector::DF, "double-fault", true),
    (Vector::TS, "invalid-tss", true),
    (Vector::NP, "segment-not-present", true),
    (Vector::SS, "stack-fault", true),
    (Vector::GP, "general-protection", true),
    (Vector::PF, "page-fault", true),
    (Vector::MF, "x87-fault", false),
    (Vector::AC, "alignment-check", true),
    (Vector::MC, "machine-check", false),
    (Vector::XM, "simd-fault", false),
    (Vector::VE, "virtualization", false),
    (Vector::CP, "control-protection", true),
    (Vector::HV, "hypervisor-injection", false),
    (Vector::VC, "vmm-communication", true),
    (Vector::SX, "security", true),
];

/// Whether delivery of the exception `vector` pushes an error code (SDM vol. 3, table 6-1; AMD's
/// #VC and #SX: APM vol. 2, table 8-1).
#[must_use]
pub fn pushes_error_code(vector: Vector) -> bool {
    VECTORS.iter().any(|(v, _, code)| *v == vector && *code)
}

/// Whether `vector` is an exception or NMI that has a name.
pub(super) fn is_named(vector: Vector) -> bool {
    VECTORS.iter().any(|(v, ..)| *v == vector)
}

/// The canonical word for a vector: `page-fault`, `vector-0x21`.
#[must_use]
pub fn vector_name(vector: Vector) -> impl fmt::Display {
    VectorName(vector)
}

struct VectorName(Vector);

impl fmt::Display for VectorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match VECTORS.iter().find(|(v, ..)| *v == self.0) {
            Some((_, name, _)) => f.write_str(name),
            None => write!(f, "vector-{:#x}", self.0.0),
        }
    }
}

/// Reads `page-fault`, `#PF`, `pf`, `vector-0x21`, `vector-33`, `0x21` or `33`.
#[must_use]
pub fn parse(word: &str) -> Option<Vector> {
    let number = word.strip_prefix("vector-").unwrap_or(word);
    if let Some(n) = parse_number(number) {
        return u8::try_from(n).ok().map(Vector);
    }
    VECTORS
        .iter()
        .find(|(v, name, _)| {
            let mnemonic = v.mnemonic().unwrap_or_default();
            word.eq_ignore_ascii_case(name)
                || word.eq_ignore_ascii_case(mnemonic)
                || word.eq_ignore_ascii_case(mnemonic.trim_start_matches('#'))
        })
        .map(|(v, ..)| *v)
}

/// The name nearest to `word`.
pub(super) fn nearest(word: &str) -> Option<String> {
    let mut n = Nearest::to(word);
    for (v, name, _) in VECTORS {
        n.offer(name);
        n.offer(v.mnemonic().unwrap_or_default());
    }
    n.into_best()
}

/// A number in decimal, or in hex after `0x`.
pub(super) fn parse_number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None => (text, 10),
    };
    // `from_str_radix` would also take a sign.
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vector_has_a_word_that_reads_back() {
        for n in 0..=255 {
            let v = Vector(n);
            assert_eq!(parse(&vector_name(v).to_string()), Some(v), "{n}");
            assert_eq!(is_named(v), v.mnemonic().is_some(), "{n}");
        }
    }

    #[test]
    fn other_spellings() {
        for (word, v) in [
            ("#pf", 14),
            ("#PF", 14),
            ("pf", 14),
            ("Page-Fault", 14),
            ("nmi", 2),
            ("NMI", 2),
            ("vector-0x21", 0x21),
            ("vector-33", 33),
            ("0x21", 0x21),
            ("33", 33),
            ("vector-2", 2),
        ] {
            assert_eq!(parse(word), Some(Vector(v)), "{word}");
        }
        for word in [
            "",
            "256",
            "vector-",
            "vector-0x100",
            "+5",
            "0x",
            "#",
            "page fault",
            "-1",
        ] {
            assert_eq!(parse(word), None, "{word}");
        }
        assert_eq!(nearest("page-fualt").as_deref(), Some("page-fault"));
    }

    #[test]
    fn error_codes_are_those_of_table_6_1() {
        let with: Vec<u8> = (0..=255)
            .filter(|&n| pushes_error_code(Vector(n)))
            .collect();
        assert_eq!(with, [8, 10, 11, 12, 13, 14, 17, 21, 29, 30]);
    }
}
