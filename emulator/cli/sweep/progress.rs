//! How far a sweep is: one line on a terminal, and nothing anywhere else.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use super::super::number::grouped;

/// The line is written no more often.
const PAUSE: Duration = Duration::from_millis(200);

/// The line that is written again and again.
#[derive(Debug)]
pub struct Progress {
    shown: bool,
    total: u64,
    /// Boundaries that an earlier run has done.
    before: u64,
    done: u64,
    cases: u64,
    start: Instant,
    last: Option<Instant>,
}

impl Progress {
    /// For `total` boundaries, of which `before` are done.
    pub fn new(total: u64, before: u64) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|t| t == "dumb");
        Self {
            shown: std::io::stderr().is_terminal() && !dumb,
            total,
            before,
            done: before,
            cases: 0,
            start: Instant::now(),
            last: None,
        }
    }

    /// So many boundaries and cases more are done.
    pub fn add(&mut self, boundaries: u64, cases: u64) {
        self.done += boundaries;
        self.cases += cases;
        if self.shown && self.last.is_none_or(|t| t.elapsed() >= PAUSE) {
            self.last = Some(Instant::now());
            let line = self.line(self.start.elapsed());
            // Standard error may be closed; then nobody looks.
            let _ = std::io::stderr().write_all(format!("\r{line}\x1b[K").as_bytes());
        }
    }

    fn line(&self, elapsed: Duration) -> String {
        let seconds = elapsed.as_secs_f64().max(0.001);
        let new = self.done.saturating_sub(self.before);
        let left = self.total.saturating_sub(self.done);
        let mut line = format!(
            "{}/{} boundaries, {} cases/s",
            grouped(self.done),
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

impl Drop for Progress {
    fn drop(&mut self) {
        if self.last.is_some() {
            let _ = std::io::stderr().write_all(b"\r\x1b[K");
        }
    }
}

/// Seconds for people: `7 s`, `3 min 07 s`, `5 h 02 min`.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_counts_what_this_run_does() {
        let mut progress = Progress::new(1000, 200);
        progress.shown = false;
        progress.add(200, 40_000);
        // 200 boundaries in 2 s, 600 are left.
        assert_eq!(
            progress.line(Duration::from_secs(2)),
            "400/1,000 boundaries, 20,000 cases/s, 6 s left"
        );
        assert_eq!(span(59), "59 s");
        assert_eq!(span(187), "3 min 07 s");
        assert_eq!(span(18_120), "5 h 02 min");
    }
}
