//! KTAP version 1 (Linux, Documentation/dev-tools/ktap.rst).

use std::fmt::Write as _;

use super::outcome::{Outcome, Report};
use super::report::{details, summary};

/// A number sign in a description would begin a directive.
fn plain(text: &str) -> String {
    text.replace('#', "\\#").replace('\n', " ")
}

pub(super) fn render(report: &Report) -> String {
    let mut out = format!("KTAP version 1\n1..{}\n", report.results.len());
    for (n, r) in report.results.iter().enumerate() {
        let ok = match r.outcome {
            Outcome::NotRun => "ok",
            ref o if o.is_good() => "ok",
            _ => "not ok",
        };
        if let Some(text) = details(&r.outcome) {
            for line in text.lines() {
                let _ = writeln!(out, "# {line}");
            }
        }
        let skip = if r.outcome == Outcome::NotRun {
            " # SKIP interrupted"
        } else {
            ""
        };
        let (file, name) = (plain(&r.file), plain(&r.name));
        let _ = writeln!(out, "{ok} {} {file}: {name}{skip}", n + 1);
    }
    let _ = writeln!(out, "# {}", summary(report));
    out
}
