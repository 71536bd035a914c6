//! What a plot shows.

/// What the numbers of an axis are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Numbers of something.
    Count,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// A number for an axis: `300`, `10k`, `4 MB`.
    #[must_use]
    pub fn shown(self, n: u64) -> String {
        const STEPS: [(u64, &str); 6] = [
            (1_000_000_000_000_000_000, "E"),
            (1_000_000_000_000_000, "P"),
            (1_000_000_000_000, "T"),
            (1_000_000_000, "G"),
            (1_000_000, "M"),
            (1_000, "k"),
        ];
        let step = STEPS.iter().find(|(size, _)| n >= *size);
        let (number, prefix) = step.map_or((n.to_string(), ""), |(size, prefix)| {
            let whole = n / size;
            let tenth = n % size / (size / 10);
            let number = if tenth == 0 || whole >= 100 {
                whole.to_string()
            } else {
                format!("{whole}.{tenth}")
            };
            (number, *prefix)
        });
        match self {
            Self::Count => format!("{number}{prefix}"),
            Self::Bytes if n == 0 => number,
            Self::Bytes => format!("{number} {prefix}B"),
        }
    }
}

/// One line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// Its name, at its end.
    pub name: String,
    /// The number of its colour.
    pub color: usize,
    /// Its points, by rising x.
    pub points: Vec<(u64, u64)>,
}

/// A plot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chart {
    /// What it shows, for who does not see it.
    pub title: String,
    /// Below the horizontal axis.
    pub x_name: String,
    /// Above the vertical one.
    pub y_name: String,
    /// Of the vertical one.
    pub unit: Unit,
    /// The lines.
    pub lines: Vec<Line>,
}

impl Chart {
    /// It as SVG.
    #[must_use]
    pub fn svg(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = super::svg::draw(self, &mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (n, count, bytes) in [
            (0, "0", "0"),
            (300, "300", "300 B"),
            (1_000, "1k", "1 kB"),
            (4_096, "4k", "4 kB"),
            (1_500_000, "1.5M", "1.5 MB"),
            (163_840_000, "163M", "163 MB"),
            (u64::MAX, "18.4E", "18.4 EB"),
        ] {
            assert_eq!(Unit::Count.shown(n), count);
            assert_eq!(Unit::Bytes.shown(n), bytes);
        }
    }
}
