//! A sweep's report, for the terminal.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use iretrace::printable::quoted;
use iretrace::sweep::{ClassReport, Line, Report, Verdict};

use super::super::number::grouped;

const fn style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Same | Verdict::SameExcept => AnsiColor::Green.on_default(),
        Verdict::NotTaken => Style::new(),
        Verdict::Limit | Verdict::NotModelled => AnsiColor::Yellow.on_default(),
        Verdict::Differs => AnsiColor::Magenta.on_default().bold(),
        Verdict::Finding | Verdict::Hung | Verdict::Shutdown => AnsiColor::Red.on_default().bold(),
    }
}

/// The report as text.
pub fn render(report: &Report, all: bool, color: bool) -> String {
    let mut out = String::new();
    let paint = |verdict: Verdict, text: &str| {
        if color {
            let s = style(verdict);
            format!("{s}{text}{s:#}")
        } else {
            text.to_owned()
        }
    };
    let _ = writeln!(
        out,
        "{}: {} boundaries, {} to {}; undisturbed: {}",
        report.image,
        grouped(report.boundaries),
        report.window[0],
        report.window[1],
        report.undisturbed,
    );
    for (rule, place) in &report.undisturbed_findings {
        let _ = writeln!(out, "  undisturbed: {rule} at {place}");
    }
    let sums: Vec<String> = Verdict::ALL
        .into_iter()
        .filter_map(|v| {
            let count = report.verdicts.get(v.name())?;
            Some(paint(v, &format!("{} {}", grouped(*count), v.name())))
        })
        .collect();
    let _ = writeln!(
        out,
        "{} cases, {} of them run: {}",
        grouped(report.cases),
        grouped(report.runs),
        if sums.is_empty() {
            "none".to_owned()
        } else {
            sums.join(", ")
        },
    );
    if let Some(partial) = partial(report) {
        let _ = writeln!(out, "{partial}");
    }
    listing(report, all, &paint, &mut out);
    let bad = |c: &&ClassReport| c.verdict.is_bad() || c.verdict.is_undecided();
    for class in report.classes.iter().filter(bad) {
        describe(report, class, &paint, &mut out);
    }
    // One line for each of the rest: what differs, and that nobody minds.
    for (n, class) in report.classes.iter().filter(|c| !bad(c)).enumerate() {
        if n == 0 {
            out.push('\n');
        }
        head(class, &paint, &mut out);
    }
    out
}

/// Stretches that are named.
const STRETCHES: usize = 4;

/// What is said of a sweep that is not complete: how much of the window it covers, and where.
pub fn partial(report: &Report) -> Option<String> {
    if report.complete {
        return None;
    }
    let mut text = format!(
        "not complete: {} of {} parts were explored",
        grouped(report.explored_parts),
        grouped(report.parts),
    );
    let stretches = report.explored.iter();
    for (n, [first, last]) in stretches.take(STRETCHES).enumerate() {
        let (first, last) = (grouped(*first), grouped(*last));
        let what = if n == 0 { ": boundaries " } else { ", " };
        let _ = write!(text, "{what}{first} to {last}");
    }
    match report.explored.len() {
        0 => {}
        n if n > STRETCHES => {
            let _ = write!(
                text,
                " and {} more stretches",
                grouped((n - STRETCHES) as u64)
            );
        }
        _ => {
            let _ = write!(text, " of {}", grouped(report.boundaries));
        }
    }
    Some(text)
}

/// The code, with a mark an instruction for every kind of injection.
fn listing(report: &Report, all: bool, paint: &dyn Fn(Verdict, &str) -> String, out: &mut String) {
    let shown = |line: &Line| {
        all || (0..report.columns.len()).any(|n| {
            line.worst(n)
                .is_some_and(|v| v.is_bad() || v.is_undecided())
        })
    };
    if !report.listing.iter().any(shown) {
        return;
    }
    out.push('\n');
    for (n, column) in report.columns.iter().enumerate() {
        let bars = "| ".repeat(n);
        let level = "then ".repeat(usize::from(column.level.saturating_sub(1)));
        let _ = writeln!(out, "  {bars}{level}{}", column.shot);
    }
    let mut gap = false;
    for line in &report.listing {
        if !shown(line) {
            gap = true;
            continue;
        }
        if let Some(label) = &line.label {
            let _ = writeln!(out, "  {}{label}:", "  ".repeat(report.columns.len()));
        } else if std::mem::take(&mut gap) {
            let _ = writeln!(out, "  {}...", "  ".repeat(report.columns.len()));
        }
        gap = false;
        out.push_str("  ");
        for n in 0..report.columns.len() {
            match line.worst(n) {
                Some(v) => {
                    let _ = write!(out, "{} ", paint(v, &v.mark().to_string()));
                }
                None => out.push_str("  "),
            }
        }
        let _ = writeln!(out, "  {:<28} {}", line.place, line.text);
    }
    let used = |v: &Verdict| {
        report
            .listing
            .iter()
            .any(|l| (0..report.columns.len()).any(|n| l.worst(n) == Some(*v)))
    };
    let legend: Vec<String> = Verdict::ALL
        .into_iter()
        .filter(used)
        .map(|v| format!("{} {}", paint(v, &v.mark().to_string()), v.name()))
        .collect();
    let _ = writeln!(out, "  ({})", legend.join("  "));
}

fn head(class: &ClassReport, paint: &dyn Fn(Verdict, &str) -> String, out: &mut String) {
    let _ = writeln!(
        out,
        "{}{}{}: {} x {}",
        paint(class.verdict, class.verdict.name()),
        if class.what.is_empty() { "" } else { ": " },
        class.what,
        grouped(class.count),
        class.shots.join(", then "),
    );
}

fn describe(
    report: &Report,
    class: &ClassReport,
    paint: &dyn Fn(Verdict, &str) -> String,
    out: &mut String,
) {
    out.push('\n');
    head(class, paint, out);
    for range in &class.ranges {
        let s = if range.instructions == 1 { "" } else { "s" };
        let to = if range.from == range.to {
            String::new()
        } else {
            format!(" .. {}", range.to)
        };
        let _ = writeln!(
            out,
            "  at {}{to} ({} instruction{s}, {} cases)",
            range.from,
            range.instructions,
            grouped(range.count),
        );
    }
    if let Some(place) = &class.place {
        let _ = writeln!(out, "  it goes wrong at {place}");
    }
    let _ = writeln!(out, "  again: {}", again(report, class));
}

/// The command that shows the shortest case of a class.
pub fn again(report: &Report, class: &ClassReport) -> String {
    let mut words = report.command.clone();
    for option in &class.schedule {
        match option.split_once(' ') {
            Some((name, value)) => words.extend([name.to_owned(), value.to_owned()]),
            None => words.push(option.clone()),
        }
    }
    quoted(&words)
}
