//! Failures, as they are said: what is wrong and where, how the state differs, the code around, and
//! the trace that led there.

use std::fmt::{self, Write as _};

use iced_x86::{Decoder, DecoderOptions, Formatter, GasFormatter};

use super::session::Session;
use crate::arch::VirtAddr;
use crate::printable::printable;
use crate::trace::{Event, Symbols as _, TextOptions, TextRenderer};

/// Lines of trace that are shown.
const TRACE: usize = 24;

/// Characters of an expectation that are shown.
const WORDS: usize = 1000;

/// One thing that does not hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Problem {
    /// What was expected, as a directive has it.
    pub expected: String,
    /// What is wrong, and the cause where it is known.
    pub text: String,
    /// The instruction that did it.
    pub rip: Option<u64>,
    /// What differs: name, before, after.
    pub diff: Vec<(String, String, String)>,
}

impl Problem {
    /// Without a place.
    #[must_use]
    pub fn new(expected: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            expected: expected.into(),
            text: text.into(),
            ..Self::default()
        }
    }

    /// With a place.
    #[must_use]
    pub fn at(mut self, rip: u64) -> Self {
        self.rip = Some(rip);
        self
    }
}

/// Everything that is wrong with one run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The case's name.
    pub name: String,
    /// What does not hold; the first is the most likely cause.
    pub problems: Vec<Problem>,
    /// `page_fault+0x1c (pf.S:20)` for each problem that has a place.
    places: Vec<Option<String>>,
    /// Disassembly around the first problem's place.
    pub code: String,
    /// The events before the end.
    pub trace: String,
    /// How the run ended.
    pub end: String,
}

impl Failure {
    pub(super) fn new(session: &Session, problems: Vec<Problem>, end: String) -> Self {
        let program = &session.case.program;
        let places = problems
            .iter()
            .map(|p| {
                let rip = p.rip?;
                let name = program.name_of(rip);
                Some(match program.line(VirtAddr(rip)) {
                    Some(line) => format!("{name} ({line})"),
                    None => name,
                })
            })
            .collect();
        let rip = problems.iter().find_map(|p| p.rip);
        Self {
            name: session.case.name.clone(),
            places,
            code: rip.map_or_else(String::new, |rip| listing(session, rip)),
            trace: trace(session, &session.tape.kept(), session.tape.left_out()),
            end,
            problems,
        }
    }

    /// The first problem, on one line.
    #[must_use]
    pub fn headline(&self) -> String {
        self.problems
            .first()
            .map_or_else(String::new, |p| p.text.clone())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() {
            "the handler"
        } else {
            &self.name
        };
        writeln!(f, "{name} fails:")?;
        for (problem, place) in self.problems.iter().zip(&self.places) {
            writeln!(f, "  {}", problem.text)?;
            if let Some(place) = place {
                writeln!(f, "    --> {place}")?;
            }
            for (name, before, after) in &problem.diff {
                writeln!(f, "    {name:<14} {before} -> {after}")?;
            }
            writeln!(f, "    = expected: {}", printable(&problem.expected, WORDS))?;
        }
        if !self.code.is_empty() {
            write!(f, "  code:\n{}", self.code)?;
        }
        if !self.trace.is_empty() {
            write!(f, "  trace:\n{}", self.trace)?;
        }
        write!(f, "  end: {}", self.end)
    }
}

impl std::error::Error for Failure {}

/// The instructions around `rip`.
fn listing(session: &Session, rip: u64) -> String {
    let program = &session.case.program;
    let start = match program.image().symbols.name(VirtAddr(rip)) {
        Some((_, offset)) if offset <= 512 => rip - offset,
        _ => rip,
    };
    listing_from(session, start, rip)
}

/// The instructions around `rip`, as they are if one begins at `start`.
fn listing_from(session: &Session, start: u64, rip: u64) -> String {
    let program = &session.case.program;
    let end = program.image().segment_at(VirtAddr(rip));
    let end = end.map_or(u64::MAX, |s| s.vaddr.0.saturating_add(s.data.len() as u64));
    let len = (end.min(rip.saturating_add(48)).max(rip) - start) as usize;
    let mut bytes = vec![0; len];
    if !session.read(start, &mut bytes) {
        return String::new();
    }
    let mut formatter = GasFormatter::new();
    let mut lines: Vec<(u64, String)> = Vec::new();
    for insn in &mut Decoder::with_ip(64, &bytes, start, DecoderOptions::NONE) {
        if insn.is_invalid() {
            break;
        }
        let mut text = String::new();
        formatter.format(&insn, &mut text);
        let target = insn.near_branch_target();
        if target != 0
            && let Some(name) = program.name(VirtAddr(target))
        {
            let _ = write!(text, " <{name}>");
        }
        lines.push((insn.ip(), text));
    }
    let Some(here) = lines.iter().position(|l| l.0 == rip) else {
        // What is before it is no code, or overlaps it.
        return if start == rip {
            String::new()
        } else {
            listing_from(session, rip, rip)
        };
    };
    let mut out = String::new();
    for (at, text) in &lines[here.saturating_sub(5)..lines.len().min(here + 4)] {
        let mark = if *at == rip { '>' } else { ' ' };
        let _ = writeln!(out, "  {mark} {:<28} {text}", program.name_of(*at));
    }
    out
}

/// The events as text: the first lines, and the last, and how many more events are not kept.
fn trace(session: &Session, events: &[Event], more: u64) -> String {
    let lines = rendered(session, events);
    let mut out = String::new();
    let left_out = lines.len().saturating_sub(TRACE);
    let first = if left_out == 0 {
        lines.len()
    } else {
        TRACE / 2
    };
    for line in &lines[..first] {
        let _ = writeln!(out, "    {line}");
    }
    if left_out != 0 {
        let _ = writeln!(out, "    ... {left_out} lines between");
    }
    for line in &lines[first + left_out..] {
        let _ = writeln!(out, "    {line}");
    }
    if more != 0 {
        let _ = writeln!(out, "    ... {more} more events, which are not kept");
    }
    out
}

/// The events as a text trace has them.
pub(super) fn rendered(session: &Session, events: &[Event]) -> Vec<String> {
    let mut renderer = TextRenderer::new(session.case.program.clone(), TextOptions::default());
    let mut rows = Vec::new();
    for event in events {
        renderer.render(event, &mut rows);
    }
    String::from_utf8_lossy(&rows)
        .lines()
        .map(|l| l.trim_end().to_owned())
        .collect()
}
