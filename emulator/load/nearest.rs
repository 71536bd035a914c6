//! The most similar name, for "did you mean".

/// Names longer than this are not compared.
const LONGEST: usize = 64;

/// The candidate with the smallest edit distance to `wanted`, if it is near enough to be a slip:
/// at most a third of the length, case aside. The first of equals wins.
#[must_use]
pub fn nearest<'a>(wanted: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    if wanted.is_empty() || wanted.len() > LONGEST {
        return None;
    }
    let cutoff = (wanted.len() / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    for c in candidates {
        if c.is_empty() || c.len().abs_diff(wanted.len()) > cutoff {
            continue;
        }
        let d = distance(wanted.as_bytes(), c.to_lowercase().as_bytes());
        if d <= cutoff && best.is_none_or(|(b, _)| d < b) {
            best = Some((d, c));
        }
    }
    best.map(|(_, c)| c)
}

/// Levenshtein distance over bytes, with a swap of neighbours as one step.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, &y) in b.iter().enumerate() {
            let mut d = (last[j] + usize::from(x != y))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y {
                d = d.min(before[j - 1] + 1);
            }
            row.push(d);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, d) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("abc", "abcd", 1),
            ("kitten", "sitting", 3),
            ("", "xyz", 3),
        ] {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), d, "{a} {b}");
        }
    }

    #[test]
    fn only_slips_are_suggested() {
        let names = ["nmi_entry", "page_fault", "double_fault"];
        assert_eq!(nearest("nmi_enrty", names.into_iter()), Some("nmi_entry"));
        assert_eq!(nearest("NMI_Entry", names.into_iter()), Some("nmi_entry"));
        assert_eq!(nearest("keyboard", names.into_iter()), None);
        assert_eq!(nearest("", names.into_iter()), None);
    }
}
