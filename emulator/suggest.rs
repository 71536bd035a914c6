//! Near misses: which known word was probably meant.

/// Longest word, in characters, that is compared; longer ones are never suggested.
const MAX_CHARS: usize = 96;

/// Optimal string alignment distance: insertions, deletions, substitutions and swaps of
/// neighbours, each costing 1. `None` when it is above `limit`, or a word is too long.
fn distance(a: &str, b: &str, limit: usize) -> Option<usize> {
    let a: Vec<char> = a.chars().take(MAX_CHARS + 1).collect();
    let b: Vec<char> = b.chars().take(MAX_CHARS + 1).collect();
    if a.len() > MAX_CHARS || b.len() > MAX_CHARS || a.len().abs_diff(b.len()) > limit {
        return None;
    }
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &ca) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, &cb) in b.iter().enumerate() {
            let mut cost = (last[j] + usize::from(ca != cb))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && ca == b[j - 1] && a[i - 1] == cb {
                cost = cost.min(before[j - 1] + 1);
            }
            row[j + 1] = cost;
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().filter(|&d| d <= limit)
}

/// Collects candidates and keeps the nearest to one wanted word.
///
/// Of equally near ones the first in byte order wins, so the answer does not depend on the
/// order in which candidates are offered.
pub(crate) struct Nearest<'w> {
    wanted: &'w str,
    folded: String,
    limit: usize,
    best: Option<(usize, String)>,
}

impl<'w> Nearest<'w> {
    /// Looks for words near `wanted`: at most a third of its characters may differ.
    pub(crate) fn to(wanted: &'w str) -> Self {
        let chars = wanted.chars().take(MAX_CHARS + 1).count();
        Self {
            wanted,
            folded: wanted.to_ascii_lowercase(),
            limit: (chars / 3).clamp(1, 3),
            best: None,
        }
    }

    /// Considers `candidate`.
    pub(crate) fn offer(&mut self, candidate: &str) {
        if candidate == self.wanted {
            return;
        }
        let Some(d) = distance(&self.folded, &candidate.to_ascii_lowercase(), self.limit) else {
            return;
        };
        let better = match &self.best {
            None => true,
            Some((best, word)) => (d, candidate) < (*best, word.as_str()),
        };
        if better {
            self.best = Some((d, candidate.to_owned()));
        }
    }

    /// The nearest word offered, if one was near enough.
    pub(crate) fn into_best(self) -> Option<String> {
        self.best.map(|(_, word)| word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edits() {
        assert_eq!(distance("kitten", "sitting", 9), Some(3));
        assert_eq!(distance("ab", "ba", 9), Some(1));
        assert_eq!(distance("", "abc", 9), Some(3));
        assert_eq!(distance("same", "same", 0), Some(0));
        assert_eq!(distance("kitten", "sitting", 2), None);
        assert_eq!(distance(&"x".repeat(5000), "x", 9), None);
    }

    #[test]
    fn nearest_is_near_and_order_free() {
        for words in [["nmi_entry", "nmi_exit"], ["nmi_exit", "nmi_entry"]] {
            let mut n = Nearest::to("nmi_enrty");
            words.iter().for_each(|w| n.offer(w));
            assert_eq!(n.into_best().as_deref(), Some("nmi_entry"));
        }
        let mut n = Nearest::to("walk");
        n.offer("console");
        assert_eq!(n.into_best(), None);
    }
}
