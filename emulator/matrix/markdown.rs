//! The report as Markdown.

use std::fmt::Write as _;

use super::counts::COUNT_COLUMNS;
use super::report::MatrixReport;
use super::table::{self, Table};
use super::text::{LONGEST, again, method};
use crate::printable::printable;

/// Text of a program, fit for a cell.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(
            c,
            '\\' | '|' | '*' | '_' | '`' | '<' | '>' | '&' | '[' | ']' | '#'
        ) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The report as Markdown.
#[must_use]
pub fn markdown(report: &MatrixReport) -> String {
    let program = printable(&report.program, LONGEST);
    let mut out = format!("# {}\n\n{}.\n", escaped(&program), method(report));
    if let Some(partial) = report.partial() {
        let _ = writeln!(out, "\n**{partial}**");
    }
    if !report.cells.is_empty() {
        lay_out(&table::counts(report), &mut out);
        out.push('\n');
        for c in COUNT_COLUMNS {
            let _ = writeln!(out, "* **{}**: {}", c.heading, c.meaning);
        }
        for (n, (cell, command)) in again(report).enumerate() {
            if n == 0 {
                out.push_str("\n## The worst schedules\n");
            }
            let verdict = escaped(&cell.verdict());
            let _ = writeln!(out, "\n{}, {}: {verdict}", cell.pages, cell.nmi);
            let _ = writeln!(out, "\n    {command}");
        }
    }
    for table in table::rest(report) {
        lay_out(&table, &mut out);
    }
    out
}

fn lay_out(table: &Table, out: &mut String) {
    let _ = writeln!(out, "\n## {}\n", table.title);
    let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
    let _ = writeln!(out, "{}", line(&table.heads));
    let rules: Vec<String> = (0..table.heads.len())
        .map(|n| {
            let text = n < table.text || n >= table.text_after;
            if text { "---" } else { "---:" }.to_owned()
        })
        .collect();
    let _ = writeln!(out, "{}", line(&rules));
    for row in table.groups.iter().flatten() {
        let row: Vec<String> = row.iter().map(|c| escaped(c)).collect();
        let _ = writeln!(out, "{}", line(&row));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_holds_no_markup() {
        assert_eq!(escaped("a|b_c"), r"a\|b\_c");
        let table = Table {
            title: "t".to_owned(),
            heads: vec!["a".to_owned(), "b".to_owned()],
            text: 1,
            text_after: 9,
            groups: vec![vec![vec!["x|y".to_owned(), "1".to_owned()]]],
        };
        let mut out = String::new();
        lay_out(&table, &mut out);
        assert_eq!(out, "\n## t\n\n| a | b |\n| --- | ---: |\n| x\\|y | 1 |\n");
    }
}
