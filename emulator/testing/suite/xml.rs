//! JUnit XML, as CI systems read it: one suite a file.

use std::fmt::Write as _;

use super::outcome::{Outcome, Report, TestResult};
use super::report::details;

/// Text for XML 1.0: its five characters escaped, and what it cannot hold left out (2.2).
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' | '\n' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => out.push(c),
        }
    }
    out
}

/// On one line, for an attribute.
fn attribute(text: &str) -> String {
    escape(&text.replace(['\n', '\t'], " "))
}

const fn is_error(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Broken(_) | Outcome::NotModelled(_))
}

const fn is_skipped(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::NotRun)
}

const fn is_failure(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed { .. })
}

pub(super) fn junit(report: &Report) -> String {
    let count = |results: &[&TestResult], of: fn(&Outcome) -> bool| {
        results.iter().filter(|r| of(&r.outcome)).count()
    };
    let all: Vec<&TestResult> = report.results.iter().collect();
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"iretrace\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\">\n",
        all.len(),
        count(&all, is_failure),
        count(&all, is_error),
        count(&all, is_skipped)
    );
    for part in all.chunk_by(|a, b| a.file == b.file) {
        let seconds: f64 = part.iter().map(|r| r.took.as_secs_f64()).sum();
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{seconds:.6}\">",
            attribute(&part[0].file),
            part.len(),
            count(part, is_failure),
            count(part, is_error),
            count(part, is_skipped)
        );
        for r in part {
            case(r, &mut out);
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn case(r: &TestResult, out: &mut String) {
    let _ = write!(
        out,
        "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" line=\"{}\" time=\"{:.6}\"",
        attribute(&r.file),
        attribute(&r.name),
        attribute(&r.file),
        r.line,
        r.took.as_secs_f64()
    );
    let Some(text) = details(&r.outcome) else {
        out.push_str("/>\n");
        return;
    };
    let (element, kind) = match &r.outcome {
        Outcome::Failed { golden: true, .. } => ("failure", "golden"),
        Outcome::Failed { .. } => ("failure", "failed"),
        Outcome::NotModelled(_) => ("error", "not-modelled"),
        Outcome::NotRun => ("skipped", "not-run"),
        _ => ("error", "broken"),
    };
    let headline = match &r.outcome {
        Outcome::Failed { headline, .. } => headline,
        _ => text,
    };
    let _ = write!(
        out,
        ">\n      <{element} message=\"{}\" type=\"{kind}\">{}</{element}>\n    </testcase>\n",
        attribute(headline),
        escape(text)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_hold_is_left_out() {
        assert_eq!(
            escape("a<b>&\"'\u{1b}[0m\u{0}"),
            "a&lt;b&gt;&amp;&quot;&apos;[0m"
        );
        assert_eq!(attribute("a\nb"), "a b");
    }
}
