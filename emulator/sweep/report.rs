//! The result of a sweep, as it is shown and written.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::baseline::Baseline;
use super::code::Code;
use super::driver::PART;
use super::tally::{Counts, Tally};
use super::verdict::Verdict;
use crate::arch::VirtAddr;
use crate::load::Image;

/// Version of the JSON form.
pub const REPORT_VERSION: u32 = 1;

/// Everything that a sweep has shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// The image.
    pub image: String,
    /// The command that makes it again.
    pub command: Vec<String>,
    /// Whether the whole window was explored.
    pub complete: bool,
    /// Parts of the window, each of [`PART`] boundaries or less.
    pub parts: u64,
    /// Those that were explored.
    pub explored_parts: u64,
    /// The explored boundaries of the window, by number, from 1 on: the first and the last of each
    /// stretch.
    pub explored: Vec<[u64; 2]>,
    /// Boundaries of the window.
    pub boundaries: u64,
    /// The window's first and last boundary, as `icount.sub`.
    pub window: [String; 2],
    /// How the undisturbed run ends.
    pub undisturbed: String,
    /// What the checks find in the undisturbed run: rule and place. It does not count below.
    pub undisturbed_findings: Vec<(String, String)>,
    /// Cases: injections at a boundary, at all levels.
    pub cases: u64,
    /// Cases that had to be run.
    pub runs: u64,
    /// Instructions that they retired.
    pub insns: u64,
    /// Cases by verdict.
    pub verdicts: BTreeMap<String, u64>,
    /// Classes of cases, the worst first.
    pub classes: Vec<ClassReport>,
    /// The code, with what came of injections before each instruction.
    pub listing: Vec<Line>,
    /// The columns of the listing.
    pub columns: Vec<Column>,
}

/// One kind of injection, at one level.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Column {
    /// 1: in the undisturbed run.
    pub level: u8,
    /// What was injected.
    pub shot: String,
}

/// A class of cases that ended alike.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClassReport {
    /// The verdict.
    pub verdict: Verdict,
    /// In words.
    pub what: String,
    /// The kinds of injections, first to last.
    pub shots: Vec<String>,
    /// Cases.
    pub count: u64,
    /// Where the last injection was, as symbolic ranges with their counts.
    pub ranges: Vec<RangeReport>,
    /// Where it went wrong, with the shortest schedule.
    pub place: Option<String>,
    /// The shortest schedule that shows it, as options of `iretrace run`.
    pub schedule: Vec<String>,
}

/// Instructions in a row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RangeReport {
    /// The first.
    pub from: String,
    /// The last.
    pub to: String,
    /// Instructions.
    pub instructions: u64,
    /// Cases.
    pub count: u64,
}

/// One instruction of the listing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Its address.
    pub rip: VirtAddr,
    /// The symbol that begins here, if one does.
    pub label: Option<String>,
    /// Symbol and offset.
    pub place: String,
    /// Its bytes, in hex.
    pub bytes: String,
    /// Disassembly.
    pub text: String,
    /// By column: cases by verdict, in the order of [`Verdict::ALL`]; all zero: none.
    pub counts: Vec<Counts>,
}

impl Line {
    /// The worst verdict of a column; `None`: nothing was injected.
    #[must_use]
    pub fn worst(&self, column: usize) -> Option<Verdict> {
        let counts = self.counts.get(column)?;
        Verdict::ALL
            .into_iter()
            .rev()
            .find(|&v| counts[v as usize] != 0)
    }
}

/// Instructions that follow one another in memory become ranges.
fn ranges(code: &Code, places: &BTreeMap<u64, u64>) -> Vec<RangeReport> {
    let mut out: Vec<(u64, u64, u64, u64)> = Vec::new();
    for (&rip, &count) in places {
        match out.last_mut() {
            Some((_, last, n, sum)) if last.wrapping_add(code.length(*last)) == rip => {
                (*last, *n, *sum) = (rip, *n + 1, sum.saturating_add(count));
            }
            _ => out.push((rip, rip, 1, count)),
        }
    }
    out.into_iter()
        .map(|(from, to, instructions, count)| RangeReport {
            from: code.place(from),
            to: code.place(to),
            instructions,
            count,
        })
        .collect()
}

impl Report {
    /// From the sum of all cases.
    #[must_use]
    pub fn new(
        image: &Image,
        baseline: &Baseline,
        tally: &Tally,
        command: Vec<String>,
        complete: bool,
    ) -> Self {
        let mut code = Code::default();
        code.add(image, tally.rips());
        let explored = if complete { 0..usize::MAX } else { 0..0 };
        Self::outline(image, baseline, command).filled(tally, &code, &|n| explored.contains(&n))
    }

    /// What is known before the first case: the window and its code.
    #[must_use]
    pub fn outline(image: &Image, baseline: &Baseline, command: Vec<String>) -> Self {
        let named = |at: Option<&super::Place>| at.map(|p| p.at.to_string()).unwrap_or_default();
        let window = &baseline.places[..baseline.window];
        let mut code = Code::default();
        let findings = baseline.findings.iter();
        code.add(image, findings.clone().map(|f| f.1));
        let undisturbed_findings = findings
            .map(|(rule, rip)| (rule.name().to_owned(), code.place(*rip)))
            .collect();
        let mut code = Code::default();
        code.add(image, window.iter().map(|p| p.rip));
        Self {
            version: REPORT_VERSION,
            image: image.name.clone(),
            command,
            complete: false,
            parts: baseline.window.div_ceil(PART) as u64,
            explored_parts: 0,
            explored: Vec::new(),
            boundaries: baseline.window as u64,
            window: [named(window.first()), named(window.last())],
            undisturbed: baseline.stop.to_string(),
            undisturbed_findings,
            cases: 0,
            runs: 0,
            insns: 0,
            verdicts: BTreeMap::new(),
            classes: Vec::new(),
            listing: code.lines().cloned().collect(),
            columns: Vec::new(),
        }
    }

    /// This outline, filled with the sum of the cases of the parts that were `explored`. `code`
    /// has what [`Tally::rips`] says, beside the window's code.
    #[must_use]
    pub fn filled(&self, tally: &Tally, code: &Code, explored: &dyn Fn(usize) -> bool) -> Self {
        let mut code = code.clone();
        code.extend(self.listing.iter().cloned());
        let mut columns: Vec<Column> = Vec::new();
        for spot in tally.spots.keys() {
            let column = Column {
                level: spot.level,
                shot: spot.shot.clone(),
            };
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        columns.sort();
        let mut rips: BTreeSet<u64> = tally.spots.keys().map(|s| s.rip).collect();
        rips.extend(self.listing.iter().map(|l| l.rip.0));
        let mut lines: BTreeMap<u64, Line> = code
            .lines()
            .filter(|l| rips.contains(&l.rip.0))
            .map(|l| (l.rip.0, l.clone()))
            .collect();
        for line in lines.values_mut() {
            line.counts = vec![Counts::default(); columns.len()];
        }
        for (spot, counts) in &tally.spots {
            let column = columns
                .iter()
                .position(|c| c.level == spot.level && c.shot == spot.shot);
            if let (Some(line), Some(column)) = (lines.get_mut(&spot.rip), column) {
                line.counts[column] = *counts;
            }
        }
        let mut classes: Vec<ClassReport> = tally
            .classes
            .iter()
            .map(|(key, class)| ClassReport {
                verdict: key.verdict,
                what: key.what.clone(),
                shots: key.shots.clone(),
                count: class.count,
                ranges: ranges(&code, &class.places),
                place: class.rip.map(|rip| code.place(rip)),
                schedule: class.schedule.clone(),
            })
            .collect();
        classes.sort_by(|a, b| {
            (b.verdict, a.shots.len(), &a.shots, &a.what).cmp(&(
                a.verdict,
                b.shots.len(),
                &b.shots,
                &b.what,
            ))
        });
        let sums = tally.counts();
        let mut report = Self {
            cases: tally.cases,
            runs: tally.runs,
            insns: tally.insns,
            verdicts: Verdict::ALL
                .into_iter()
                .filter(|&v| sums[v as usize] != 0)
                .map(|v| (v.name().to_owned(), sums[v as usize]))
                .collect(),
            classes,
            listing: lines.into_values().collect(),
            columns,
            ..self.clone()
        };
        report.cover(explored);
        report
    }

    /// Notes which parts were explored.
    fn cover(&mut self, explored: &dyn Fn(usize) -> bool) {
        self.explored.clear();
        self.explored_parts = 0;
        for part in 0..self.parts {
            if !usize::try_from(part).is_ok_and(explored) {
                continue;
            }
            self.explored_parts += 1;
            let size = PART as u64;
            let first = part.saturating_mul(size).saturating_add(1);
            let last = first.saturating_add(size - 1).min(self.boundaries);
            match self.explored.last_mut() {
                Some(stretch) if stretch[1].saturating_add(1) == first => stretch[1] = last,
                _ => self.explored.push([first, last]),
            }
        }
        self.complete = self.explored_parts == self.parts;
    }

    /// Whether something is bad.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        self.classes.iter().any(|c| c.verdict.is_bad())
    }

    /// Whether something was not decided.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        self.classes.iter().any(|c| c.verdict.is_undecided())
    }
}
