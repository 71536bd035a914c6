//! The results of many cases, added up: as large as the code and its failures, not as their number.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::verdict::{Outcome, Verdict};

/// How many cases at one place ended in which way; by the order of [`Verdict::ALL`].
pub type Counts = [u64; Verdict::ALL.len()];

/// One instruction, at one level, for one kind of injection.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Spot {
    /// 1: in the undisturbed run; 2: in the handler of what was injected there; and so on.
    pub level: u8,
    /// What was injected last.
    pub shot: String,
    /// The instruction before which it was.
    pub rip: u64,
}

/// A class of cases that ended in the same way.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Key {
    /// The verdict.
    pub verdict: Verdict,
    /// Its words.
    pub what: String,
    /// The kinds of injections, first to last.
    pub shots: Vec<String>,
}

/// What is known of a class.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Class {
    /// Cases.
    pub count: u64,
    /// The shortest schedule, as options: `--nmi icount=858`.
    pub schedule: Vec<String>,
    /// The boundaries of that schedule, which order it among others.
    pub order: Vec<(u64, u32)>,
    /// Where it went wrong, with that schedule.
    pub rip: Option<u64>,
    /// Cases by the instruction before which the last injection was.
    pub places: BTreeMap<u64, u64>,
}

/// Classes kept; others are counted by their verdict alone.
const MAX_CLASSES: usize = 4096;

/// The sum.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Cases.
    pub cases: u64,
    /// Cases that were run, and not known from another.
    pub runs: u64,
    /// Instructions that they retired.
    pub insns: u64,
    /// By instruction.
    pub spots: BTreeMap<Spot, Counts>,
    /// By what happened.
    pub classes: BTreeMap<Key, Class>,
}

/// One case, told.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    /// Names of the shots, first to last.
    pub shots: &'a [String],
    /// Their boundaries.
    pub order: &'a [(u64, u32)],
    /// Their options.
    pub schedule: &'a [String],
    /// Before which instructions the last one may have been: one for each boundary that is the same
    /// case.
    pub rips: &'a [u64],
    /// How many boundaries, each with each, those before the last one may have been at.
    pub times: u64,
}

impl Tally {
    /// Adds a case, which stands for one at each of its boundaries, and each of those before.
    pub fn add(&mut self, case: &Case<'_>, outcome: &Outcome) {
        let count = case.times.saturating_mul(case.rips.len() as u64);
        self.cases = self.cases.saturating_add(count);
        let mut places = BTreeMap::new();
        for &rip in case.rips {
            *places.entry(rip).or_default() += case.times;
            let spot = Spot {
                level: u8::try_from(case.shots.len()).unwrap_or(u8::MAX),
                shot: case.shots.last().cloned().unwrap_or_default(),
                rip,
            };
            let n = &mut self.spots.entry(spot).or_default()[outcome.verdict as usize];
            *n = n.saturating_add(case.times);
        }
        let mut key = Key {
            verdict: outcome.verdict,
            what: outcome.what.clone(),
            shots: case.shots.to_vec(),
        };
        if self.classes.len() >= MAX_CLASSES && !self.classes.contains_key(&key) {
            key.what = "(one of too many classes)".to_owned();
        }
        let class = Class {
            count,
            schedule: case.schedule.to_vec(),
            order: case.order.to_vec(),
            rip: outcome.rip,
            places,
        };
        self.add_class(key, class);
    }

    fn add_class(&mut self, key: Key, class: Class) {
        match self.classes.get_mut(&key) {
            None => {
                self.classes.insert(key, class);
            }
            Some(known) => {
                known.count = known.count.saturating_add(class.count);
                for (rip, n) in class.places {
                    let sum = known.places.entry(rip).or_default();
                    *sum = sum.saturating_add(n);
                }
                if class.order < known.order {
                    known.schedule = class.schedule;
                    known.order = class.order;
                    known.rip = class.rip;
                }
            }
        }
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: Self) {
        self.cases = self.cases.saturating_add(other.cases);
        self.runs = self.runs.saturating_add(other.runs);
        self.insns = self.insns.saturating_add(other.insns);
        for (spot, counts) in other.spots {
            let known = self.spots.entry(spot).or_default();
            for (n, count) in known.iter_mut().zip(counts) {
                *n = n.saturating_add(count);
            }
        }
        for (key, class) in other.classes {
            self.add_class(key, class);
        }
    }

    /// The addresses of all instructions that it names; some come again.
    pub fn rips(&self) -> impl Iterator<Item = u64> {
        let places = self.classes.values().flat_map(|c| c.places.keys().copied());
        let wrong = self.classes.values().filter_map(|c| c.rip);
        self.spots.keys().map(|s| s.rip).chain(places).chain(wrong)
    }

    /// Cases by verdict.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for (key, class) in &self.classes {
            let n = &mut sum[key.verdict as usize];
            *n = n.saturating_add(class.count);
        }
        sum
    }

    /// The worst verdict.
    #[must_use]
    pub fn worst(&self) -> Option<Verdict> {
        self.classes.keys().map(|k| k.verdict).max()
    }
}

/// [`Tally`] as it is written: lists instead of maps.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TallyRecord {
    cases: u64,
    runs: u64,
    insns: u64,
    spots: Vec<(Spot, Counts)>,
    classes: Vec<(Key, Class)>,
}

impl From<&Tally> for TallyRecord {
    fn from(t: &Tally) -> Self {
        Self {
            cases: t.cases,
            runs: t.runs,
            insns: t.insns,
            spots: t.spots.clone().into_iter().collect(),
            classes: t.classes.clone().into_iter().collect(),
        }
    }
}

impl From<TallyRecord> for Tally {
    fn from(t: TallyRecord) -> Self {
        Self {
            cases: t.cases,
            runs: t.runs,
            insns: t.insns,
            spots: t.spots.into_iter().collect(),
            classes: t.classes.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(what: &str, at: u64, rip: u64, weight: usize) -> Tally {
        let mut tally = Tally::default();
        let case = Case {
            shots: &["nmi".to_owned()],
            order: &[(at, 0)],
            schedule: &[format!("--nmi icount={at}")],
            rips: &vec![rip; weight],
            times: 1,
        };
        tally.add(&case, &Outcome::new(Verdict::Finding, what));
        tally
    }

    #[test]
    fn a_sum_does_not_depend_on_its_order() {
        let parts = [
            one("a", 5, 1, 2),
            one("a", 3, 1, 1),
            one("a", 9, 2, 4),
            one("b", 1, 1, 1),
        ];
        let sum = |order: &[usize]| {
            let mut sum = Tally::default();
            order.iter().for_each(|&n| sum.merge(parts[n].clone()));
            sum
        };
        let all = sum(&[0, 1, 2, 3]);
        assert_eq!(all, sum(&[3, 1, 0, 2]));
        assert_eq!((all.cases, all.classes.len(), all.spots.len()), (8, 2, 2));
        let class = all.classes.values().next().unwrap();
        assert_eq!((class.count, class.order.as_slice()), (7, &[(3, 0)][..]));
        assert_eq!(class.places, BTreeMap::from([(1, 3), (2, 4)]));
        let record = serde_json::to_string(&TallyRecord::from(&all)).unwrap();
        let back: TallyRecord = serde_json::from_str(&record).unwrap();
        assert_eq!(Tally::from(back), all);
    }
}
