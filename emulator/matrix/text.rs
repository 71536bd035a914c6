//! The report for a terminal.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::cell::Cell;
use super::counts::COUNT_COLUMNS;
use super::report::MatrixReport;
use super::table::{self, Table};
use crate::printable::{grouped, printable, quoted};

/// The report as text.
#[must_use]
pub fn text(report: &MatrixReport, color: bool) -> String {
    let mut out = head(report);
    if !report.cells.is_empty() {
        let first = table::counts(report);
        let mut cells = report.cells.iter();
        lay_out(&first, &mut out, &mut |line| {
            let style = match cells.next() {
                Some(c) if c.is_bad() => AnsiColor::Red.on_default(),
                Some(c) if c.is_undecided() => AnsiColor::Yellow.on_default(),
                Some(_) => AnsiColor::Green.on_default(),
                None => Style::new(),
            };
            if color {
                format!("{style}{line}{style:#}")
            } else {
                line
            }
        });
        legend(&mut out);
        schedules(report, &mut out);
    }
    for table in table::rest(report) {
        lay_out(&table, &mut out, &mut |line| line);
    }
    out
}

/// Characters of the program's name that are shown.
pub(super) const LONGEST: usize = 200;

/// What was done, in a few lines.
fn head(report: &MatrixReport) -> String {
    let mut out = format!(
        "{}: {} page-table strategies, {} NMI strategies; {}\n",
        printable(&report.program, LONGEST),
        report.pages.len(),
        report.nmi.len(),
        method(report),
    );
    if let Some(partial) = report.partial() {
        let _ = writeln!(out, "{partial}");
    }
    out
}

/// How the cells were made.
pub(super) fn method(report: &MatrixReport) -> String {
    if report.wanted_cells == 0 {
        return "what each strategy costs".to_owned();
    }
    let then = match report.depth {
        0 | 1 => "",
        _ => ", then another at every boundary of what it caused",
    };
    let cases = grouped(report.cases());
    format!("an NMI at every boundary of the window{then}: {cases} cases")
}

/// The table, in columns.
fn lay_out(table: &Table, out: &mut String, paint: &mut dyn FnMut(String) -> String) {
    let _ = writeln!(out, "\n{}", table.title);
    let rows = || table.groups.iter().flatten();
    let width = |n: usize| {
        let cells = rows().chain([&table.heads]).filter_map(|r| r.get(n));
        cells.map(|c| c.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..table.heads.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let mut line = String::from(" ");
        for (n, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if n < table.text || n >= table.text_after {
                let _ = write!(line, " {cell:<width$} ");
            } else {
                let _ = write!(line, " {cell:>width$} ");
            }
        }
        line.trim_end().to_owned()
    };
    let _ = writeln!(out, "{}", line(&table.heads));
    for (n, group) in table.groups.iter().enumerate() {
        if n != 0 && group.len() > 1 {
            out.push('\n');
        }
        for row in group {
            let _ = writeln!(out, "{}", paint(line(row)));
        }
    }
}

/// What the columns count.
fn legend(out: &mut String) {
    out.push('\n');
    for c in COUNT_COLUMNS {
        let _ = writeln!(out, "  {:<12} {}", c.heading, c.meaning);
    }
}

/// The bad cells of a report that a command shows, with these commands.
pub(super) fn again(report: &MatrixReport) -> impl Iterator<Item = (&Cell, String)> {
    report.cells.iter().filter(|c| c.is_bad()).map(|c| {
        let worst = c.worst.as_ref().filter(|_| c.undisturbed.success);
        let command = worst.map_or(&c.command, |w| &w.command);
        (c, quoted(command))
    })
}

fn schedules(report: &MatrixReport, out: &mut String) {
    for (n, (cell, command)) in again(report).enumerate() {
        if n == 0 {
            out.push_str("\nThe worst schedules\n");
        }
        let _ = writeln!(out, "  {}, {}: {}", cell.pages, cell.nmi, cell.verdict());
        let _ = writeln!(out, "    {command}");
    }
}
