//! Which symbol an address belongs to: overlapping extents made flat, for one binary search.

use super::symbols::Region;

/// What a symbol may cover.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Extent {
    start: u64,
    /// Last byte; for a symbol without a size, of its section.
    last: u64,
    sized: bool,
    rank: u8,
    symbol: usize,
}

impl Extent {
    /// The extent of a symbol at `start` in `region`; `None` if it lies outside, as symbols for
    /// the end of a section do.
    pub(super) fn new(
        start: u64,
        size: u64,
        region: Region,
        rank: u8,
        symbol: usize,
    ) -> Option<Self> {
        let sized = size != 0;
        let end = start.saturating_add(size.wrapping_sub(1));
        (region.start <= start && start <= region.last).then_some(Self {
            start,
            last: if sized {
                end.min(region.last)
            } else {
                region.last
            },
            sized,
            rank,
            symbol,
        })
    }
}

/// A run of addresses that one symbol names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Span {
    start: u64,
    last: u64,
    symbol: usize,
}

/// The number of the symbol that names `at`.
pub(super) fn find(spans: &[Span], at: u64) -> Option<usize> {
    let n = spans.partition_point(|s| s.start <= at).checked_sub(1)?;
    let span = &spans[n];
    (at <= span.last).then_some(span.symbol)
}

/// Spans that do not overlap, by rising address: each symbol until the next one begins, and a
/// sized one goes on after inner ones have ended.
pub(super) fn flatten(mut extents: Vec<Extent>) -> Vec<Span> {
    extents.sort_by_key(|e| (e.start, e.rank, e.symbol));
    extents.dedup_by_key(|e| e.start);
    let mut sweep = Sweep::default();
    for e in extents {
        sweep.advance(Some(e.start));
        if e.sized {
            let furthest = sweep.open.last().map_or(e.last, |o| o.furthest.max(e.last));
            sweep.open.push(Open { e, furthest });
        } else {
            let bound = sweep.open.last().map(|o| o.furthest);
            sweep.label = Some(Extent {
                last: bound.map_or(e.last, |b| b.min(e.last)),
                ..e
            });
        }
    }
    sweep.advance(None);
    sweep.spans
}

/// A sized symbol whose end is still ahead.
#[derive(Clone, Copy)]
struct Open {
    e: Extent,
    /// The last byte of it and of all around it.
    furthest: u64,
}

#[derive(Default)]
struct Sweep {
    /// Everything below has been emitted. Wider than an address: the end of the last one is 2^64.
    at: u128,
    /// The innermost last.
    open: Vec<Open>,
    /// The last symbol without a size.
    label: Option<Extent>,
    spans: Vec<Span>,
}

impl Sweep {
    /// Emits what lies below `next` (`None`: everything).
    fn advance(&mut self, next: Option<u64>) {
        let limit = next.map_or(1 << 64, u128::from);
        if let Some(label) = self.label.take() {
            self.emit(label, limit);
        }
        while let Some(&top) = self.open.last() {
            self.emit(top.e, limit);
            if u128::from(top.e.last) >= limit {
                break;
            }
            self.open.pop();
        }
        self.at = limit;
    }

    fn emit(&mut self, e: Extent, limit: u128) {
        let start = self.at.max(e.start.into());
        let end = limit.min(u128::from(e.last) + 1);
        if start < end {
            self.spans.push(Span {
                start: start as u64,
                last: (end - 1) as u64,
                symbol: e.symbol,
            });
            self.at = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn extents(region: (u64, u64), list: &[(u64, u64)]) -> Vec<Extent> {
        let region = Region {
            start: region.0,
            last: region.1,
        };
        list.iter()
            .enumerate()
            .filter_map(|(n, &(start, size))| Extent::new(start, size, region, 0, n))
            .collect()
    }

    fn at(spans: &[Span], addresses: &[u64]) -> Vec<Option<usize>> {
        addresses.iter().map(|&a| find(spans, a)).collect()
    }

    #[test]
    fn an_outer_symbol_goes_on_after_an_inner_one() {
        let s = flatten(extents((0, 0xff), &[(0x10, 0x40), (0x20, 4)]));
        assert_eq!(
            at(&s, &[0x0f, 0x10, 0x1f, 0x20, 0x23, 0x24, 0x4f, 0x50]),
            [
                None,
                Some(0),
                Some(0),
                Some(1),
                Some(1),
                Some(0),
                Some(0),
                None
            ]
        );
    }

    #[test]
    fn a_label_ends_with_the_function_around_it() {
        let s = flatten(extents((0, 0xff), &[(0x10, 0x10), (0x18, 0)]));
        assert_eq!(
            at(&s, &[0x17, 0x18, 0x1f, 0x20]),
            [Some(0), Some(1), Some(1), None]
        );
    }

    #[test]
    fn a_label_ends_with_its_section_and_the_last_address_counts() {
        let s = flatten(extents((0, u64::MAX), &[(0x10, 0), (u64::MAX, 0)]));
        assert_eq!(
            at(&s, &[0xf, 0x10, u64::MAX - 1, u64::MAX]),
            [None, Some(0), Some(0), Some(1)]
        );
        let s = flatten(extents((0x10, 0x1f), &[(0x20, 0), (0x1f, 0), (0xf, 9)]));
        assert_eq!(
            at(&s, &[0xf, 0x1e, 0x1f, 0x20]),
            [None, None, Some(1), None]
        );
    }

    proptest! {
        /// Against the rule in words: the nearest symbol at or below, unless it has ended;
        /// then the nearest sized one that has not.
        #[test]
        fn flat_is_the_rule(list in prop::collection::vec((0u64..64, 0u64..24), 0..12)) {
            let s = flatten(extents((4, 59), &list));
            // One symbol an address: the first.
            let mut firsts: Vec<(usize, u64, u64)> = Vec::new();
            for (n, &(a, size)) in list.iter().enumerate() {
                if (4..=59).contains(&a) && !firsts.iter().any(|f| f.1 == a) {
                    firsts.push((n, a, size));
                }
            }
            firsts.sort_by_key(|f| f.1);
            for probe in 0..64u64 {
                let below = firsts.iter().filter(|f| f.1 <= probe);
                let covers = |f: &&(usize, u64, u64)| f.2 != 0 && probe < f.1 + f.2 && probe <= 59;
                let inner = below.clone().rev().find(covers);
                let label = below.clone().next_back().filter(|f| {
                    let mut around = firsts.iter().filter(|o| o.1 < f.1 && o.2 != 0 && f.1 < o.1 + o.2).peekable();
                    let bounded = around.peek().is_some();
                    let within = around.any(|o| probe < o.1 + o.2);
                    f.2 == 0 && probe <= 59 && (!bounded || within)
                });
                let expected = label.or(inner).map(|f| f.0);
                prop_assert_eq!(find(&s, probe), expected, "{} in {:?}", probe, list);
            }
        }
    }
}
