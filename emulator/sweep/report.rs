//! The result of a sweep, as it is shown and written.

use std::collections::{BTreeMap, BTreeSet};

use iced_x86::{Decoder, DecoderOptions, Formatter, GasFormatter};
use serde::{Deserialize, Serialize};

use super::baseline::Baseline;
use super::tally::{Counts, Tally};
use super::verdict::Verdict;
use crate::arch::VirtAddr;
use crate::load::Image;
use crate::trace::Symbols as _;

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

/// The bytes of the image at a linear address.
fn bytes_at(image: &Image, at: u64) -> Vec<u8> {
    image
        .segments
        .iter()
        .find(|s| s.contains(VirtAddr(at)))
        .map(|s| {
            let from = at.wrapping_sub(s.vaddr.0) as usize;
            let from = from.min(s.data.len());
            s.data[from..s.data.len().min(from + 15)].to_vec()
        })
        .unwrap_or_default()
}

fn place(image: &Image, at: u64) -> String {
    image
        .name(VirtAddr(at))
        .unwrap_or_else(|| VirtAddr(at).to_string())
}

fn line(image: &Image, rip: u64) -> Line {
    let bytes = bytes_at(image, rip);
    let insn = Decoder::with_ip(64, &bytes, rip, DecoderOptions::NONE).decode();
    let mut text = String::new();
    let mut formatter = GasFormatter::new();
    if insn.is_invalid() {
        text.push_str("(not in the image)");
    } else {
        formatter.format(&insn, &mut text);
    }
    let len = insn.len().min(bytes.len());
    let label = match image.symbols.name(VirtAddr(rip)) {
        Some((name, 0)) => Some(name.to_owned()),
        _ => None,
    };
    Line {
        rip: VirtAddr(rip),
        label,
        place: place(image, rip),
        bytes: bytes[..len].iter().map(|b| format!("{b:02x}")).collect(),
        text,
        counts: Vec::new(),
    }
}

/// The length of the instruction at `rip`.
fn length(image: &Image, rip: u64) -> u64 {
    let bytes = bytes_at(image, rip);
    let insn = Decoder::with_ip(64, &bytes, rip, DecoderOptions::NONE).decode();
    insn.len().max(1) as u64
}

/// Instructions that follow one another in memory become ranges.
fn ranges(image: &Image, places: &BTreeMap<u64, u64>) -> Vec<RangeReport> {
    let mut out: Vec<(u64, u64, u64, u64)> = Vec::new();
    for (&rip, &count) in places {
        match out.last_mut() {
            Some((_, last, n, sum)) if last.wrapping_add(length(image, *last)) == rip => {
                (*last, *n, *sum) = (rip, *n + 1, *sum + count);
            }
            _ => out.push((rip, rip, 1, count)),
        }
    }
    out.into_iter()
        .map(|(from, to, instructions, count)| RangeReport {
            from: place(image, from),
            to: place(image, to),
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
        rips.extend(baseline.places[..baseline.window].iter().map(|p| p.rip));
        let mut lines: BTreeMap<u64, Line> = rips
            .into_iter()
            .map(|rip| (rip, line(image, rip)))
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
                ranges: ranges(image, &class.places),
                place: class.rip.map(|rip| place(image, rip)),
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
        let named = |at: Option<&super::Place>| at.map(|p| p.at.to_string()).unwrap_or_default();
        let window = &baseline.places[..baseline.window];
        Self {
            version: REPORT_VERSION,
            image: image.name.clone(),
            command,
            complete,
            boundaries: baseline.window as u64,
            window: [named(window.first()), named(window.last())],
            undisturbed: baseline.stop.to_string(),
            undisturbed_findings: baseline
                .findings
                .iter()
                .map(|(rule, rip)| (rule.name().to_owned(), place(image, *rip)))
                .collect(),
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
        }
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
