//! A sweep's report as one page that needs nothing else: no script, no font, no other file.

use std::collections::HashMap;
use std::fmt::{self, Write as _};

use iretrace::html::{Escaped, begin};
use iretrace::sweep::{ClassReport, Column, Line, Report, Verdict};

use super::super::number::grouped;
use super::text;

/// The style, beside the theme.
const STYLE: &str = include_str!("html.css");

/// The page.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = page(report, &mut out);
    out
}

fn page(report: &Report, out: &mut String) -> fmt::Result {
    begin(&format!("sweep of {}", report.image), STYLE, out)?;
    head(report, out)?;
    strip(report, out)?;
    out.push_str("<main>\n<div>\n<h2>Before each instruction</h2>\n");
    listing(report, out)?;
    out.push_str("</div>\n<aside>\n<h2>What came of it</h2>\n");
    let lines = places(report);
    for class in &report.classes {
        section(report, class, &lines, out)?;
    }
    if report.classes.is_empty() {
        out.push_str("<p class=\"dim\">Nothing was injected.</p>\n");
    }
    write!(
        out,
        "</aside>\n</main>\n<footer>A cell shows the worst verdict of the cases at its instruction, \
         and how many of the cases have it; the tooltip has all. \
         iretrace {}</footer>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    )
}

fn head(report: &Report, out: &mut String) -> fmt::Result {
    let shots: Vec<String> = report.columns.iter().map(title).collect();
    write!(
        out,
        "<header>\n<h1>{} <span>{}</span></h1>\n\
         <p>{} boundaries, {} to {}; {} cases, {} of them run. \
         <span class=\"dim\">Undisturbed: {}.</span></p>\n",
        Escaped(&report.image),
        Escaped(&shots.join(" · ")),
        grouped(report.boundaries),
        Escaped(&report.window[0]),
        Escaped(&report.window[1]),
        grouped(report.cases),
        grouped(report.runs),
        Escaped(&report.undisturbed),
    )?;
    for (n, (rule, place)) in report.undisturbed_findings.iter().enumerate() {
        let before = if n == 0 {
            "<p class=\"dim\">Found in the undisturbed run, and not counted: "
        } else {
            ", "
        };
        let (rule, place) = (Escaped(rule), Escaped(place));
        write!(out, "{before}{rule} at <code>{place}</code>")?;
    }
    if !report.undisturbed_findings.is_empty() {
        out.push_str(".</p>\n");
    }
    if let Some(partial) = text::partial(report) {
        writeln!(out, "<p class=\"warn\">{}</p>", Escaped(&partial))?;
    }
    let sums = || {
        Verdict::ALL
            .into_iter()
            .filter_map(|v| Some((v, *report.verdicts.get(v.name())?)))
    };
    out.push_str("<div class=\"bar\">");
    for (v, count) in sums() {
        let (n, shown) = (v as usize, grouped(count));
        write!(
            out,
            "<i class=\"v{n}\" style=\"flex-grow:{count}\" title=\"{shown} {v}\"></i>"
        )?;
    }
    out.push_str("</div>\n<ul class=\"legend\">\n");
    for (v, count) in sums() {
        writeln!(
            out,
            "<li>{} <b>{}</b> {v} <span class=\"dim\">{}</span></li>",
            chip(v),
            grouped(count),
            v.meaning(),
        )?;
    }
    out.push_str("</ul>\n</header>\n");
    Ok(())
}

fn chip(v: Verdict) -> String {
    format!("<span class=\"chip v{}\">{}</span>", v as usize, v.mark())
}

/// What a column stands for.
fn title(column: &Column) -> String {
    "then ".repeat(usize::from(column.level.saturating_sub(1))) + &column.shot
}

/// The whole window in one line a column: where the bad places are, and how many.
fn strip(report: &Report, out: &mut String) -> fmt::Result {
    let width = report.listing.len();
    if width < 2 || report.columns.is_empty() {
        return Ok(());
    }
    out.push_str("<nav class=\"strip\"><div>\n");
    for (n, column) in report.columns.iter().enumerate() {
        let name = title(column);
        write!(
            out,
            "<span title=\"{0}\">{0}</span><svg viewBox=\"0 0 {width} 1\" preserveAspectRatio=\"none\" \
             shape-rendering=\"crispEdges\" role=\"img\" aria-label=\"{0}\">",
            Escaped(&name)
        )?;
        let mut from = 0;
        for run in report.listing.chunk_by(|a, b| a.worst(n) == b.worst(n)) {
            let last = &run[run.len() - 1].place;
            if let Some(v) = run[0].worst(n) {
                write!(
                    out,
                    "<a href=\"#i{from}\"><rect x=\"{from}\" width=\"{}\" height=\"1\" class=\"v{}\">\
                     <title>{v}: {} .. {}</title></rect></a>",
                    run.len(),
                    v as usize,
                    Escaped(&run[0].place),
                    Escaped(last),
                )?;
            }
            from += run.len();
        }
        out.push_str("</svg>\n");
    }
    out.push_str("</div></nav>\n");
    Ok(())
}

fn listing(report: &Report, out: &mut String) -> fmt::Result {
    out.push_str("<div class=\"scroll\"><table class=\"code\">\n<thead><tr>");
    for column in &report.columns {
        let name = Escaped(&title(column)).to_string();
        write!(out, "<th class=\"k\">{}</th>", name.replace(',', ",<wbr>"))?;
    }
    out.push_str("<th class=\"place\">address</th><th>bytes</th><th>instruction</th></tr></thead>\n<tbody>\n");
    let columns = report.columns.len();
    for (n, line) in report.listing.iter().enumerate() {
        if let Some(label) = &line.label {
            writeln!(
                out,
                "<tr><th class=\"label\" colspan=\"{}\">{}:</th></tr>",
                columns + 3,
                Escaped(label)
            )?;
        }
        write!(out, "<tr id=\"i{n}\">")?;
        for column in 0..columns {
            cell(line, column, out)?;
        }
        writeln!(
            out,
            "<td class=\"place\" title=\"{}\">{}</td><td class=\"bytes\">{}</td><td class=\"text\" title=\"{3}\">{3}</td></tr>",
            Escaped(&line.place),
            line.rip,
            Escaped(&line.bytes),
            Escaped(&line.text),
        )?;
    }
    out.push_str("</tbody>\n</table></div>\n");
    Ok(())
}

/// The worst verdict of a column at an instruction; all its counts in the tooltip.
fn cell(line: &Line, column: usize, out: &mut String) -> fmt::Result {
    let (Some(worst), Some(counts)) = (line.worst(column), line.counts.get(column)) else {
        out.push_str("<td class=\"k\"></td>");
        return Ok(());
    };
    let all: Vec<String> = Verdict::ALL
        .into_iter()
        .filter(|&v| counts[v as usize] != 0)
        .map(|v| format!("{} {v}", grouped(counts[v as usize])))
        .collect();
    let sum = counts.iter().fold(0u64, |sum, &n| sum.saturating_add(n));
    let bad = counts[worst as usize];
    let shown = if bad == sum {
        short(sum)
    } else {
        format!("{}/{}", short(bad), short(sum))
    };
    write!(
        out,
        "<td class=\"k\" title=\"{}\"><span class=\"v{}\"><b>{}</b><small>{shown}</small></span></td>",
        Escaped(&all.join(", ")),
        worst as usize,
        worst.mark(),
    )
}

/// A count in at most four characters.
fn short(n: u64) -> String {
    match n {
        0..10_000 => n.to_string(),
        10_000..1_000_000 => format!("{}k", n / 1_000),
        1_000_000..1_000_000_000 => format!("{}M", n / 1_000_000),
        _ => format!("{}G", n / 1_000_000_000),
    }
}

/// The row of each place.
fn places(report: &Report) -> HashMap<&str, usize> {
    let lines = report.listing.iter().enumerate();
    lines.map(|(n, l)| (l.place.as_str(), n)).collect()
}

/// A place, with its row behind it where it has one.
fn place(name: &str, lines: &HashMap<&str, usize>) -> String {
    let shown = Escaped(name);
    match lines.get(name) {
        Some(n) => format!("<a href=\"#i{n}\"><code>{shown}</code></a>"),
        None => format!("<code>{shown}</code>"),
    }
}

fn section(
    report: &Report,
    class: &ClassReport,
    lines: &HashMap<&str, usize>,
    out: &mut String,
) -> fmt::Result {
    let v = class.verdict;
    let colon = if class.what.is_empty() { "" } else { ": " };
    write!(
        out,
        "<section class=\"class e{}\">\n<h3>{} {v}{colon}{}</h3>\n<p class=\"dim\">{} × {}</p>\n<ul>\n",
        v as usize,
        chip(v),
        Escaped(&class.what),
        grouped(class.count),
        Escaped(&class.shots.join(", then ")),
    )?;
    for range in &class.ranges {
        let s = if range.instructions == 1 { "" } else { "s" };
        let cases = if range.count == 1 { "case" } else { "cases" };
        write!(out, "<li>{}", place(&range.from, lines))?;
        if range.from != range.to {
            write!(out, " .. {}", place(&range.to, lines))?;
        }
        writeln!(
            out,
            " <span class=\"dim\">{} instruction{s}, {} {cases}</span></li>",
            grouped(range.instructions),
            grouped(range.count),
        )?;
    }
    out.push_str("</ul>\n");
    if let Some(at) = &class.place {
        writeln!(out, "<p>It goes wrong at {}.</p>", place(at, lines))?;
    }
    if v.is_bad() || v.is_undecided() {
        out.push_str("<p class=\"dim\">The shortest schedule:</p>\n<pre>");
        // Lines end between words only.
        for (n, word) in text::again(report, class).split(' ').enumerate() {
            let space = if n == 0 { "" } else { " " };
            write!(out, "{space}<span>{}</span>", Escaped(word))?;
        }
        out.push_str("</pre>\n");
    }
    out.push_str("</section>\n");
    Ok(())
}
