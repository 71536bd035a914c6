//! How far a sweep is.

use std::time::Duration;

use super::super::number::grouped;
use super::super::status_line::{StatusLine, span};

/// The line that is written again and again.
#[derive(Debug)]
pub struct Progress {
    line: StatusLine,
    done: Done,
}

/// What is done.
#[derive(Debug)]
struct Done {
    total: u64,
    /// Boundaries that an earlier run has done.
    before: u64,
    boundaries: u64,
    cases: u64,
}

impl Progress {
    /// For `total` boundaries, of which `before` are done.
    pub fn new(total: u64, before: u64) -> Self {
        Self {
            line: StatusLine::new(),
            done: Done {
                total,
                before,
                boundaries: before,
                cases: 0,
            },
        }
    }

    /// So many boundaries and cases more are done.
    pub fn add(&mut self, boundaries: u64, cases: u64) {
        self.done.boundaries += boundaries;
        self.done.cases += cases;
        self.line.show(|elapsed| self.done.line(elapsed));
    }
}

impl Done {
    fn line(&self, elapsed: Duration) -> String {
        let seconds = elapsed.as_secs_f64().max(0.001);
        let new = self.boundaries.saturating_sub(self.before);
        let left = self.total.saturating_sub(self.boundaries);
        let mut line = format!(
            "{}/{} boundaries, {} cases/s",
            grouped(self.boundaries),
            grouped(self.total),
            grouped((self.cases as f64 / seconds) as u64),
        );
        if new != 0 {
            let left = left as f64 * seconds / new as f64;
            line += &format!(", {} left", span(left.ceil() as u64));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_counts_what_this_run_does() {
        let mut progress = Progress::new(1000, 200);
        progress.add(200, 40_000);
        // 200 boundaries in 2 s, 600 are left.
        assert_eq!(
            progress.done.line(Duration::from_secs(2)),
            "400/1,000 boundaries, 20,000 cases/s, 6 s left"
        );
    }
}
