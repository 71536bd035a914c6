//! The parts as they end, in any order, added up to what is reported.

use std::collections::BTreeMap;

use iretrace::sweep::Tally;

/// The sum so far.
#[derive(Debug, Default)]
pub struct Gather {
    /// The parts that are wanted, in order.
    wanted: Vec<usize>,
    /// Which of them are done: what is reported.
    done: Vec<bool>,
    limit: Option<u64>,
    /// With a limit parts count in their order, so that the same ones always do; these wait.
    waiting: BTreeMap<usize, Tally>,
    next: usize,
    sum: Tally,
}

impl Gather {
    /// For these parts (rising numbers).
    pub fn new(wanted: Vec<usize>, limit: Option<u64>) -> Self {
        Self {
            done: vec![false; wanted.len()],
            wanted,
            limit,
            ..Self::default()
        }
    }

    /// Takes a part.
    pub fn add(&mut self, part: usize, tally: Tally) {
        let Ok(index) = self.wanted.binary_search(&part) else {
            return;
        };
        if self.limit.is_none() {
            self.done[index] = true;
            self.sum.merge(tally);
            return;
        }
        self.waiting.insert(index, tally);
        while !self.is_full() {
            let Some(tally) = self.waiting.remove(&self.next) else {
                break;
            };
            self.sum.merge(tally);
            self.done[self.next] = true;
            self.next += 1;
        }
    }

    /// Whether the limit is reached.
    pub fn is_full(&self) -> bool {
        self.limit.is_some_and(|limit| self.sum.cases >= limit)
    }

    /// Whether a part is there.
    pub fn has(&self, part: usize) -> bool {
        let index = self.wanted.binary_search(&part);
        index.is_ok_and(|n| self.done[n] || self.waiting.contains_key(&n))
    }

    /// Whether a part counts.
    pub fn counts(&self, part: usize) -> bool {
        self.wanted.binary_search(&part).is_ok_and(|n| self.done[n])
    }

    /// The parts that are not there.
    pub fn missing(&self) -> Vec<usize> {
        let all = self.wanted.iter().copied();
        all.filter(|&part| !self.has(part)).collect()
    }

    /// The sum of those that count.
    pub const fn sum(&self) -> &Tally {
        &self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(cases: u64) -> Tally {
        Tally {
            cases,
            ..Tally::default()
        }
    }

    #[test]
    fn with_a_limit_the_same_parts_count_in_any_order() {
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
            let mut gather = Gather::new(vec![0, 1, 2, 3], Some(12));
            for n in order {
                gather.add(n, part(10));
            }
            assert!(gather.is_full());
            assert_eq!(gather.sum().cases, 20, "{order:?}");
            assert!(gather.counts(1) && !gather.counts(2));
        }
    }

    #[test]
    fn what_is_not_wanted_does_not_count() {
        let mut gather = Gather::new(vec![1, 5], None);
        gather.add(3, part(10));
        gather.add(5, part(10));
        assert_eq!((gather.sum().cases, gather.missing()), (10, vec![1]));
    }
}
