//! Numbers on the command line.

pub use iretrace::printable::grouped;

/// Splits a number from its suffix: `64M` gives 64 and `M`. Digits may be grouped with `_`, and
/// are hex after `0x`.
fn split(text: &str) -> Result<(u64, &str), String> {
    let bad = |what: &str| format!("{what}; write for example 4096, 1_000_000, 0x1000 or 64M");
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None => (text, 10),
    };
    let end = digits
        .find(|c: char| !(c.is_digit(radix) || c == '_'))
        .unwrap_or(digits.len());
    let (digits, suffix) = digits.split_at(end);
    let plain: String = digits.chars().filter(|&c| c != '_').collect();
    if plain.is_empty() || digits.starts_with('_') {
        return Err(bad("no number"));
    }
    let value = u64::from_str_radix(&plain, radix).map_err(|_| bad("more than 64 bits"))?;
    Ok((value, suffix))
}

fn scaled(text: &str, suffixes: &[(&str, u64)], known: &str) -> Result<u64, String> {
    let (value, suffix) = split(text)?;
    let factor = suffixes
        .iter()
        .find(|(s, _)| s.eq_ignore_ascii_case(suffix))
        .map(|(_, factor)| *factor)
        .ok_or_else(|| {
            let shown: String = suffix.chars().take(40).collect();
            format!("unknown suffix {shown:?}; known are {known}")
        })?;
    value
        .checked_mul(factor)
        .ok_or_else(|| "more than 64 bits".to_owned())
}

/// A number of bytes; K, M and G are powers of 1024.
pub fn size(text: &str) -> Result<u64, String> {
    const SUFFIXES: [(&str, u64); 7] = [
        ("", 1),
        ("K", 1 << 10),
        ("KiB", 1 << 10),
        ("M", 1 << 20),
        ("MiB", 1 << 20),
        ("G", 1 << 30),
        ("GiB", 1 << 30),
    ];
    scaled(text, &SUFFIXES, "K, M and G (powers of 1024)")
}

/// A number of instructions; k, M and G are powers of 1000.
pub fn count(text: &str) -> Result<u64, String> {
    const SUFFIXES: [(&str, u64); 4] = [
        ("", 1),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
    ];
    scaled(text, &SUFFIXES, "k, M and G (powers of 1000)")
}

/// A [`count`], or `none` for no limit, which is [`u64::MAX`].
pub fn limit(text: &str) -> Result<u64, String> {
    match text {
        "none" => Ok(u64::MAX),
        _ => count(text),
    }
}

/// A number without suffix.
pub fn plain(text: &str) -> Result<u64, String> {
    scaled(text, &[("", 1)], "none here")
}

/// A number of 32 bits without suffix.
pub fn plain32(text: &str) -> Result<u32, String> {
    u32::try_from(plain(text)?).map_err(|_| "more than 32 bits".to_owned())
}

/// `64M`, `4K`, or the plain number: what [`size`] reads back.
pub fn shown_size(bytes: u64) -> String {
    for (shift, suffix) in [(30, "G"), (20, "M"), (10, "K")] {
        if bytes != 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{suffix}", bytes >> shift);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_scale() {
        for (text, n) in [
            ("64M", 64 << 20),
            ("64MiB", 64 << 20),
            ("4k", 4096),
            ("1_000", 1000),
            ("0x1000", 4096),
            ("0x10M", 16 << 20),
            ("0", 0),
        ] {
            assert_eq!(size(text), Ok(n), "{text}");
        }
        assert_eq!(count("10M"), Ok(10_000_000));
        assert_eq!(count("1_000k"), Ok(1_000_000));
        assert_eq!(limit("none"), Ok(u64::MAX));
    }

    #[test]
    fn nonsense_is_refused_with_a_mend() {
        for text in [
            "",
            "M",
            "-1",
            "+1",
            "_1",
            "0x",
            "1.5M",
            "1X",
            "64 M",
            "ÄM",
            "18446744073709551616",
            "17179869184G",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
        assert!(plain("1k").is_err());
        assert!(plain32("0x100000000").is_err());
    }

    #[test]
    fn numbers_are_shown_so_that_they_read_back() {
        for n in [0, 1, 4096, 4097, 64 << 20, (64 << 20) + 1024, 3 << 30] {
            assert_eq!(size(&shown_size(n)), Ok(n), "{n}");
        }
    }
}
