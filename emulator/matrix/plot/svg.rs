//! A plot as SVG. Colours are the page's: `.s0`, `.s1`, ...

use std::fmt::{self, Write as _};

use super::chart::{Chart, Line, Unit};
use super::labels::spread;
use super::scale::Scale;
use crate::html::Escaped;

/// The whole picture, and where its axes end.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 515.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 326.0;

/// Between labels.
const GAP: f64 = 17.0;

/// The length of a stroke of a line that others lie on.
const STROKE: usize = 9;

/// Points that are nearer are one.
const NEAR: f64 = 0.75;

/// The pixels of a line.
type Path = Vec<(f64, f64)>;

/// Lines that lie on one another, and where.
struct Bundle<'a> {
    lines: Vec<&'a Line>,
    path: Path,
}

fn bundles<'a>(chart: &'a Chart, x: &Scale, y: &Scale) -> Vec<Bundle<'a>> {
    let near = |a: &Path, b: &Path| {
        let near =
            |p: &(f64, f64), q: &(f64, f64)| (p.0 - q.0).abs() < NEAR && (p.1 - q.1).abs() < NEAR;
        a.len() == b.len() && a.iter().zip(b).all(|(p, q)| near(p, q))
    };
    let mut all: Vec<Bundle<'_>> = Vec::new();
    for line in chart.lines.iter().filter(|l| !l.points.is_empty()) {
        let path: Path = line
            .points
            .iter()
            .map(|&(a, b)| (x.at(a), y.at(b)))
            .collect();
        match all.iter_mut().find(|b| near(&b.path, &path)) {
            Some(bundle) => bundle.lines.push(line),
            None => all.push(Bundle {
                lines: vec![line],
                path,
            }),
        }
    }
    all
}

pub(super) fn draw(chart: &Chart, out: &mut String) -> fmt::Result {
    let points = || chart.lines.iter().flat_map(|l| l.points.iter());
    let x = Scale::of(points().map(|p| p.0), LEFT, RIGHT);
    let y = Scale::of(points().map(|p| p.1), BOTTOM, TOP);
    writeln!(
        out,
        "<svg class=\"plot\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
        Escaped(&chart.title)
    )?;
    axes(chart, &x, &y, out)?;
    let bundles = bundles(chart, &x, &y);
    for bundle in &bundles {
        path(bundle, out)?;
    }
    names(&bundles, out)?;
    out.push_str("</svg>\n");
    Ok(())
}

fn axes(chart: &Chart, x: &Scale, y: &Scale, out: &mut String) -> fmt::Result {
    for tick in x.ticks().iter().filter(|t| t.major) {
        let at = tick.at;
        writeln!(
            out,
            "<path class=\"grid\" d=\"M{at:.1} {TOP}V{BOTTOM}\"/>\
             <text class=\"tick\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            BOTTOM + 20.0,
            Unit::Count.shown(tick.value),
        )?;
    }
    let mut last = f64::INFINITY;
    for tick in y.ticks() {
        // Names of ticks need their room too.
        if last - tick.at < if tick.major { 12.0 } else { 24.0 } {
            continue;
        }
        last = tick.at;
        let class = if tick.major { "grid" } else { "grid minor" };
        writeln!(
            out,
            "<path class=\"{class}\" d=\"M{LEFT} {0:.1}H{RIGHT}\"/>\
             <text class=\"tick\" x=\"{1:.1}\" y=\"{2:.1}\" text-anchor=\"end\">{3}</text>",
            tick.at,
            LEFT - 8.0,
            tick.at + 4.5,
            chart.unit.shown(tick.value),
        )?;
    }
    writeln!(
        out,
        "<text class=\"axis\" x=\"6\" y=\"14\">{}</text>\
         <text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
        Escaped(&chart.y_name),
        (LEFT + RIGHT) / 2.0,
        HEIGHT - 10.0,
        Escaped(&chart.x_name),
    )
}

/// Lines that lie on one another are drawn in turns, a stroke each.
fn path(bundle: &Bundle<'_>, out: &mut String) -> fmt::Result {
    let mut d = String::new();
    for (n, (x, y)) in bundle.path.iter().enumerate() {
        write!(d, "{}{x:.1} {y:.1}", if n == 0 { "M" } else { "L" })?;
    }
    let several = bundle.lines.len();
    for (n, line) in bundle.lines.iter().enumerate() {
        write!(out, "<path class=\"line s{}\" d=\"{d}\"", line.color)?;
        if several > 1 {
            write!(
                out,
                " stroke-dasharray=\"{STROKE} {}\" stroke-dashoffset=\"-{}\"",
                STROKE * (several - 1),
                STROKE * n,
            )?;
        }
        out.push_str("/>\n");
    }
    if let [line] = bundle.lines[..] {
        for (x, y) in &bundle.path {
            write!(
                out,
                "<circle class=\"dot s{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.2\"/>",
                line.color
            )?;
        }
        out.push('\n');
    }
    Ok(())
}

/// Names, each at its line's end. Those of lines that lie on one another stand together.
fn names(bundles: &[Bundle<'_>], out: &mut String) -> fmt::Result {
    let mut wanted = Vec::new();
    let mut rows: Vec<(&Line, f64, f64)> = Vec::new();
    for bundle in bundles {
        let Some(&(x, y)) = bundle.path.last() else {
            continue;
        };
        let middle = (bundle.lines.len() - 1) as f64 / 2.0;
        for (n, line) in bundle.lines.iter().enumerate() {
            wanted.push(y + (n as f64 - middle) * GAP);
            rows.push((line, x, y));
        }
    }
    let places = spread(&wanted, GAP, TOP - 4.0, BOTTOM + 22.0);
    for ((line, x, y), place) in rows.into_iter().zip(places) {
        let color = line.color;
        writeln!(
            out,
            "<path class=\"leader s{color}\" d=\"M{:.1} {y:.1}L{:.1} {place:.1}H{:.1}\"/>\
             <text class=\"name s{color}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            x + 5.0,
            RIGHT + 22.0,
            RIGHT + 28.0,
            RIGHT + 32.0,
            place + 4.8,
            Escaped(&line.name),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(lines: &[(&str, &[(u64, u64)])]) -> Chart {
        Chart {
            title: "t".to_owned(),
            x_name: "x".to_owned(),
            y_name: "y".to_owned(),
            unit: Unit::Count,
            lines: lines
                .iter()
                .enumerate()
                .map(|(color, (name, points))| Line {
                    name: (*name).to_owned(),
                    color,
                    points: points.to_vec(),
                })
                .collect(),
        }
    }

    #[test]
    fn a_line_that_is_proportional_is_straight() {
        let c = chart(&[("walk", &[(1, 5), (10, 50), (100, 500)])]);
        let points = || c.lines[0].points.iter();
        let x = Scale::of(points().map(|p| p.0), LEFT, RIGHT);
        let y = Scale::of(points().map(|p| p.1), BOTTOM, TOP);
        let path = &bundles(&c, &x, &y)[0].path;
        let slope = |n: usize| (path[n + 1].1 - path[n].1) / (path[n + 1].0 - path[n].0);
        assert!((slope(0) - slope(1)).abs() < 1e-9);
        // A decade on each axis.
        assert!(path[0].1 > path[2].1);
    }

    #[test]
    fn lines_that_lie_on_one_another_share_it_and_all_are_named() {
        let c = chart(&[
            ("a", &[(1, 0), (10, 0)]),
            ("b", &[(1, 4), (10, 40)]),
            ("c", &[(1, 0), (10, 0)]),
            ("none", &[]),
        ]);
        let svg = c.svg();
        assert_eq!(svg.matches("stroke-dasharray=\"9 9\"").count(), 2, "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2);
        for name in ["a", "b", "c"] {
            assert!(svg.contains(&format!(">{name}</text>")), "{svg}");
        }
        assert!(!svg.contains("none"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn an_empty_plot_is_one() {
        let svg = chart(&[]).svg();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert!(!svg.contains("NaN"), "{svg}");
    }
}
