//! How far a matrix is.

use std::time::Duration;

use iretrace::matrix::Progress;

use super::super::number::grouped;
use super::super::status_line::span;

/// The line. Pieces differ in length, so that the time that is left is a guess.
pub fn line(progress: Progress, elapsed: Duration) -> String {
    let mut line = format!(
        "{}/{} cells and cost runs, {} cases",
        progress.done,
        progress.total,
        grouped(progress.cases),
    );
    if progress.done != 0 {
        let left = progress.total.saturating_sub(progress.done) as f64;
        let seconds = left * elapsed.as_secs_f64() / progress.done as f64;
        line += &format!(", about {} left", span(seconds.ceil() as u64));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_is_left() {
        let mut progress = Progress {
            done: 0,
            total: 60,
            cases: 0,
        };
        let seconds = Duration::from_secs(10);
        assert_eq!(line(progress, seconds), "0/60 cells and cost runs, 0 cases");
        progress.done = 20;
        progress.cases = 12_000;
        assert_eq!(
            line(progress, seconds),
            "20/60 cells and cost runs, 12,000 cases, about 20 s left"
        );
    }
}
