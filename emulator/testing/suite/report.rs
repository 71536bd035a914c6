//! Reports: for people, and for programs.

use std::fmt::Write as _;

use serde_json::json;

use super::ktap;
use super::outcome::{Outcome, Report, TestResult};
use super::xml;

/// How a report is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// KTAP version 1, as the Linux kernel's tests print it.
    Ktap,
    /// JUnit XML.
    Junit,
    /// JSON.
    Json,
}

/// The version of the JSON report.
const VERSION: u32 = 1;

/// The whole report as text.
#[must_use]
pub fn render(report: &Report, format: Format) -> String {
    match format {
        Format::Human => human(report),
        Format::Ktap => ktap::render(report),
        Format::Junit => xml::junit(report),
        Format::Json => json(report),
    }
}

/// The word for an outcome.
pub(super) const fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "ok",
        Outcome::Blessed => "blessed",
        Outcome::Failed { .. } => "FAILED",
        Outcome::Broken(_) => "BROKEN",
        Outcome::NotModelled(_) => "NOT MODELLED",
        Outcome::NotRun => "NOT RUN",
    }
}

/// What there is to say of a test that is not well.
pub(super) fn details(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Passed | Outcome::Blessed => None,
        Outcome::NotRun => Some("the run was interrupted before it"),
        Outcome::Failed { text, .. } => Some(text),
        Outcome::Broken(text) | Outcome::NotModelled(text) => Some(text),
    }
}

fn human(report: &Report) -> String {
    let mut out = String::new();
    let mut file = "";
    for r in &report.results {
        if r.file != file {
            file = &r.file;
            let _ = writeln!(out, "{file}");
        }
        let _ = writeln!(out, "  {:<8} {}", word(&r.outcome), r.name);
    }
    let bad: Vec<&TestResult> = report
        .results
        .iter()
        .filter(|r| !r.outcome.is_good() && r.outcome != Outcome::NotRun)
        .collect();
    for r in &bad {
        let _ = writeln!(out, "\n---- {}:{}: {} ----", r.file, r.line, r.name);
        if let Some(text) = details(&r.outcome) {
            let _ = writeln!(out, "{text}");
        }
    }
    let _ = writeln!(out, "\n{}", summary(report));
    out
}

/// `3 tests: 2 passed, 1 failed`.
#[must_use]
pub fn summary(report: &Report) -> String {
    let parts = [
        (report.count(|o| *o == Outcome::Passed), "passed"),
        (report.count(|o| *o == Outcome::Blessed), "blessed"),
        (
            report.count(|o| matches!(o, Outcome::Failed { .. })),
            "failed",
        ),
        (report.count(|o| matches!(o, Outcome::Broken(_))), "broken"),
        (
            report.count(|o| matches!(o, Outcome::NotModelled(_))),
            "not modelled",
        ),
        (report.count(|o| *o == Outcome::NotRun), "not run"),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|p| p.0 != 0)
        .map(|(n, what)| format!("{n} {what}"))
        .collect();
    let n = report.results.len();
    let s = if n == 1 { "" } else { "s" };
    format!("{n} test{s}: {}", parts.join(", "))
}

fn json(report: &Report) -> String {
    let tests: Vec<_> = report
        .results
        .iter()
        .map(|r| {
            json!({
                "file": r.file,
                "line": r.line,
                "name": r.name,
                "outcome": word(&r.outcome).to_lowercase().replace(' ', "-"),
                "instructions": r.instructions,
                "headline": match &r.outcome {
                    Outcome::Failed { headline, .. } => Some(headline.as_str()),
                    o => details(o),
                },
                "details": details(&r.outcome),
            })
        })
        .collect();
    let all = json!({
        "version": VERSION,
        "passed": report.is_good(),
        "tests": tests,
    });
    format!("{all:#}\n")
}
