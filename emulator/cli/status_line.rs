//! One line that is written again and again: on a terminal, and nothing anywhere else.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// The line is written no more often.
const PAUSE: Duration = Duration::from_millis(200);

/// The line; it is wiped out when it is dropped.
#[derive(Debug)]
pub struct StatusLine {
    shown: bool,
    start: Instant,
    last: Option<Instant>,
}

impl StatusLine {
    /// On standard error, if that is a terminal.
    pub fn new() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|t| t == "dumb");
        Self {
            shown: std::io::stderr().is_terminal() && !dumb,
            start: Instant::now(),
            last: None,
        }
    }

    /// Writes what `line` makes of the time that has passed, unless it was written just now.
    pub fn show(&mut self, line: impl FnOnce(Duration) -> String) {
        if self.shown && self.last.is_none_or(|t| t.elapsed() >= PAUSE) {
            self.last = Some(Instant::now());
            let line = line(self.start.elapsed());
            // Standard error may be closed; then nobody looks.
            let _ = std::io::stderr().write_all(format!("\r{line}\x1b[K").as_bytes());
        }
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        if self.last.is_some() {
            let _ = std::io::stderr().write_all(b"\r\x1b[K");
        }
    }
}

/// Seconds for people: `7 s`, `3 min 07 s`, `5 h 02 min`.
pub fn span(seconds: u64) -> String {
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
    fn seconds_are_for_people() {
        assert_eq!(span(59), "59 s");
        assert_eq!(span(187), "3 min 07 s");
        assert_eq!(span(18_120), "5 h 02 min");
    }
}
