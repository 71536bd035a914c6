//! KTAP version 1 (Linux, Documentation/dev-tools/ktap.rst).

use std::fmt::Write as _;

use super::outcome::Report;
use super::report::{details, summary};

/// A number sign in a description would begin a directive.
fn plain(text: &str) -> String {
    text.replace('#', "\\#").replace('\n', " ")
}

pub(super) fn render(report: &Report) -> String {
    let mut out = format!("KTAP version 1\n1..{}\n", report.results.len());
    for (n, r) in report.results.iter().enumerate() {
        let ok = if r.outcome.is_good() { "ok" } else { "not ok" };
        if let Some(text) = details(&r.outcome) {
            for line in text.lines() {
                let _ = writeln!(out, "# {line}");
            }
        }
        let _ = writeln!(out, "{ok} {} {}: {}", n + 1, plain(&r.file), plain(&r.name));
    }
    let _ = writeln!(out, "# {}", summary(report));
    out
}
