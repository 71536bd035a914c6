//! The report as a page for a browser: the cells as a grid, the costs as curves.

use std::fmt::{self, Write as _};

use super::cell::Cell;
use super::charts::charts;
use super::counts::COUNT_COLUMNS;
use super::report::{MatrixReport, StrategyReport};
use super::table::{self, METRICS, Table};
use super::text::{again, method};
use crate::html::{Escaped, begin};
use crate::printable::grouped;
use crate::sweep::Verdict;

/// The style, beside the theme.
const STYLE: &str = include_str!("html.css");

/// The page.
#[must_use]
pub fn html(report: &MatrixReport) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = page(report, &mut out);
    out
}

fn page(report: &MatrixReport, out: &mut String) -> fmt::Result {
    begin(&format!("matrix of {}", report.program), STYLE, out)?;
    head(report, out)?;
    out.push_str("<main>\n");
    if !report.cells.is_empty() {
        grid(report, out)?;
    }
    if !report.costs.is_empty() {
        plots(report, out)?;
    }
    words(report, out)?;
    numbers(report, out)?;
    commands(report, out)?;
    write!(
        out,
        "</main>\n<footer>iretrace {}</footer>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    )
}

fn head(report: &MatrixReport, out: &mut String) -> fmt::Result {
    write!(
        out,
        "<header>\n<h1>{} <span>page tables × NMI handlers</span></h1>\n<p>{}.</p>\n",
        Escaped(&report.program),
        Escaped(&table::capital(&method(report))),
    )?;
    if let Some(partial) = report.partial() {
        writeln!(out, "<p class=\"warn\">{}</p>", Escaped(&partial))?;
    }
    out.push_str("<ul class=\"legend\">\n");
    let shown: Vec<Verdict> = report.cells.iter().map(look).collect();
    for v in Verdict::ALL.into_iter().filter(|v| shown.contains(v)) {
        let (name, meaning) = match v {
            Verdict::Same => ("fine", "wherever an NMI comes"),
            Verdict::NotTaken => ("fails alone", "without any NMI from outside"),
            v => (v.name(), v.meaning()),
        };
        let cells = shown.iter().filter(|s| **s == v).count();
        writeln!(
            out,
            "<li><span class=\"chip v{}\">{cells}</span> <b>{name}</b> <span class=\"dim\">{meaning}</span></li>",
            v as usize,
        )?;
    }
    out.push_str("</ul>\n</header>\n");
    Ok(())
}

/// The verdict whose colours a cell has: those of [`Verdict::NotTaken`] if it fails alone.
fn look(cell: &Cell) -> Verdict {
    match &cell.worst {
        _ if !cell.undisturbed.success => Verdict::NotTaken,
        Some(w) if w.verdict.is_bad() || w.verdict.is_undecided() => w.verdict,
        _ => Verdict::Same,
    }
}

fn heading(s: &StrategyReport, out: &mut String) -> fmt::Result {
    let (word, about) = (Escaped(&s.word), Escaped(&s.about));
    writeln!(out, "<th>{word}<small>{about}</small></th>")
}

fn grid(report: &MatrixReport, out: &mut String) -> fmt::Result {
    out.push_str(
        "<h2>What comes of an NMI</h2>\n<p class=\"dim\">Each cell shows its worst run. Rows: how a \
         task's page tables get a mapping that is younger than they are. Columns: how the NMI \
         handler lives with page faults of its own.</p>\n<div class=\"scroll\"><table class=\"grid\">\n\
         <colgroup><col class=\"first\"></colgroup>\n<thead><tr><th></th>\n",
    );
    for s in &report.nmi {
        heading(s, out)?;
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for pages in &report.pages {
        out.push_str("<tr>");
        heading(pages, out)?;
        for nmi in &report.nmi {
            match report.cell(&pages.word, &nmi.word) {
                None => out.push_str("<td></td>"),
                Some(cell) => grid_cell(cell, out)?,
            }
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table></div>\n");
    Ok(())
}

fn grid_cell(cell: &Cell, out: &mut String) -> fmt::Result {
    let counts = &cell.representative().counts;
    let mut seen: Vec<String> = COUNT_COLUMNS
        .iter()
        .filter_map(|c| match (c.of)(counts) {
            0 => None,
            1 => Some(format!("1 {}", c.names[0])),
            n => Some(format!("{} {}", grouped(n), c.names[1])),
        })
        .collect();
    if !cell.undisturbed.success && !cell.undisturbed.said.is_empty() {
        seen = vec![cell.undisturbed.said.clone()];
    } else if let Some(cost) = cell.nmi_cost {
        let (least, most) = (grouped(cost.least), grouped(cost.most));
        seen.push(if least == most {
            format!("{least} instructions an NMI")
        } else {
            format!("{least} to {most} instructions an NMI")
        });
    }
    // Lines end between them only.
    let seen: Vec<String> = seen
        .into_iter()
        .map(|s| {
            if cell.undisturbed.success {
                s.replace(' ', "\u{a0}")
            } else {
                s
            }
        })
        .collect();
    let (short, full) = (cell.short_verdict(), cell.verdict());
    write!(
        out,
        "<td class=\"v{}\" title=\"{}\">",
        look(cell) as usize,
        Escaped(&full)
    )?;
    if cell.is_bad() {
        let (pages, nmi) = (Escaped(&cell.pages), Escaped(&cell.nmi));
        write!(
            out,
            "<a href=\"#{pages}-{nmi}\"><b>{}</b></a>",
            Escaped(&short)
        )?;
    } else {
        write!(out, "<b>{}</b>", Escaped(&short))?;
    }
    write!(out, "<small>{}</small></td>", Escaped(&seen.join(" · ")))
}

fn plots(report: &MatrixReport, out: &mut String) -> fmt::Result {
    let charts = charts(report);
    if charts.is_empty() {
        return Ok(());
    }
    write!(
        out,
        "<h2>What it costs</h2>\n\
         <blockquote>So the cost of filling things in is basically zero, because it happens so seldom. \
         And by allowing things to be done lazily, we avoid all the locking costs, and all the costs of \
         traversing every single possible mm (and there can be many many thousands of those).\
         <cite>Linus Torvalds, “x86_64 page fault NMI-safe”, LKML, July 2010</cite></blockquote>\n\
         <p class=\"dim\">NMI handler: {}. Both axes are logarithmic, with a place for zero. Lines that \
         lie on one another are drawn in turns.{}</p>\n<div class=\"plots\">\n",
        Escaped(&report.cost_nmi),
        without(report),
    )?;
    for plot in charts {
        write!(
            out,
            "<figure><figcaption>{}</figcaption>\n{}</figure>\n",
            Escaped(plot.caption),
            plot.chart.svg()
        )?;
    }
    out.push_str("</div>\n");
    Ok(())
}

/// The strategies that have no costs, in a sentence.
fn without(report: &MatrixReport) -> String {
    let none: Vec<String> = report
        .pages
        .iter()
        .map(|s| &s.word)
        .filter(|word| {
            let mut runs = report.costs.iter().filter(|c| c.pages == **word).peekable();
            runs.peek().is_some() && runs.all(|c| c.cost.is_none())
        })
        .map(|word| Escaped(word).to_string())
        .collect();
    if none.is_empty() {
        return String::new();
    }
    format!(" Without costs, as they fail: {}.", none.join(", "))
}

/// What is counted and measured.
fn words(report: &MatrixReport, out: &mut String) -> fmt::Result {
    out.push_str("<h2>What the words mean</h2>\n<dl class=\"words\">\n");
    let mut entry = |word: &str, meaning: &str| {
        let (word, meaning) = (Escaped(word), Escaped(meaning));
        writeln!(out, "<dt>{word}</dt><dd>{meaning}</dd>")
    };
    if !report.cells.is_empty() {
        for c in COUNT_COLUMNS {
            entry(c.heading, c.meaning)?;
        }
        entry(
            "instructions an NMI",
            "from an NMI's delivery to the interrupted instruction, over the window's \
             boundaries",
        )?;
        entry(
            "worst run",
            "of the worst verdict of any boundary, the run with the fewest NMIs, and the earliest of \
             these",
        )?;
    }
    if !report.costs.is_empty() {
        for m in METRICS {
            entry(m.name, m.meaning)?;
        }
    }
    out.push_str("</dl>\n");
    Ok(())
}

fn numbers(report: &MatrixReport, out: &mut String) -> fmt::Result {
    out.push_str("<h2>All numbers</h2>\n");
    let first = (!report.cells.is_empty()).then(|| table::counts(report));
    for table in first.into_iter().chain(table::rest(report)) {
        details(&table, out)?;
    }
    Ok(())
}

fn details(table: &Table, out: &mut String) -> fmt::Result {
    let class = |n: usize| {
        if n < table.text || n >= table.text_after {
            ""
        } else {
            " class=\"n\""
        }
    };
    write!(
        out,
        "<details><summary>{}</summary>\n<div class=\"scroll\"><table>\n<thead><tr>",
        Escaped(&table.title)
    )?;
    for (n, head) in table.heads.iter().enumerate() {
        write!(out, "<th{}>{}</th>", class(n), Escaped(head))?;
    }
    out.push_str("</tr></thead>\n");
    for group in &table.groups {
        out.push_str("<tbody class=\"group\">\n");
        for row in group {
            out.push_str("<tr>");
            for (n, cell) in row.iter().enumerate() {
                write!(out, "<td{}>{}</td>", class(n), Escaped(cell))?;
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody>\n");
    }
    out.push_str("</table></div></details>\n");
    Ok(())
}

fn commands(report: &MatrixReport, out: &mut String) -> fmt::Result {
    for (n, (cell, command)) in again(report).enumerate() {
        if n == 0 {
            out.push_str("<h2>The worst runs again</h2>\n");
        }
        let (pages, nmi) = (Escaped(&cell.pages), Escaped(&cell.nmi));
        write!(
            out,
            "<section class=\"case\" id=\"{pages}-{nmi}\"><h3>{pages}, {nmi}: {}</h3>\n<pre>",
            Escaped(&cell.verdict())
        )?;
        for (n, word) in command.split(' ').enumerate() {
            let space = if n == 0 { "" } else { " " };
            write!(out, "{space}<span>{}</span>", Escaped(word))?;
        }
        out.push_str("</pre></section>\n");
    }
    Ok(())
}
