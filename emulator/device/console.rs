//! Lines of console output: bytes as devices print them, until a line is whole.

use std::fmt::Write as _;

use crate::trace::EventKind;

/// Bytes after which a line is cut, though it has no end yet.
pub const MAX_LINE: usize = 64 * 1024;

/// The unfinished line of every console; each holds at most [`MAX_LINE`] bytes.
///
/// A line ends at LF. CRs around it (`\r\n`, `\n\r`) belong to the end and are dropped. Text is
/// UTF-8; bytes that are not are written `\xNN`, control characters other than tab by their
/// escapes (`\r`, `\u{1b}`), so that a line of a trace is one line. Backslashes stay as they are:
/// who needs the exact bytes takes them from [`Signal::Console`](super::Signal::Console).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ConsoleLines {
    // In the order of first output; a machine has two or three consoles.
    open: Vec<(&'static str, Vec<u8>)>,
}

impl ConsoleLines {
    /// The unfinished lines, with the devices' names.
    pub(crate) fn open_lines(&self) -> Vec<(String, Vec<u8>)> {
        let line = |(name, line): &(&str, Vec<u8>)| ((*name).to_owned(), line.clone());
        self.open.iter().map(line).collect()
    }

    /// From such lines; `None` if there can be no such ones. `known` finds a device by its name.
    pub(crate) fn of_lines(
        lines: &[(String, Vec<u8>)],
        known: impl Fn(&str) -> Option<&'static str>,
    ) -> Option<Self> {
        let mut open: Vec<(&'static str, Vec<u8>)> = Vec::new();
        for (name, line) in lines {
            let name = known(name)?;
            let bad = line.contains(&b'\n') || line.len() >= MAX_LINE;
            if bad || open.iter().any(|(known, _)| *known == name) {
                return None;
            }
            open.push((name, line.clone()));
        }
        Some(Self { open })
    }

    /// Adds what `device` printed, and hands over each [`EventKind::Console`] that this completes.
    pub fn push(&mut self, device: &'static str, bytes: &[u8], mut emit: impl FnMut(EventKind)) {
        let line = match self.open.iter().position(|(name, _)| *name == device) {
            Some(i) => &mut self.open[i].1,
            None => {
                self.open.push((device, Vec::new()));
                let last = self.open.len() - 1;
                &mut self.open[last].1
            }
        };
        for &byte in bytes {
            if byte == b'\n' {
                emit(event(device, without_cr(line)));
                line.clear();
                continue;
            }
            line.push(byte);
            if line.len() >= MAX_LINE {
                let whole = line.len() - unfinished_character(line);
                emit(event(device, &line[..whole]));
                line.drain(..whole);
            }
        }
    }

    /// Hands over every unfinished line that has text: the run stops.
    pub fn flush(&mut self, mut emit: impl FnMut(EventKind)) {
        for (device, line) in self.open.drain(..) {
            let line = without_cr(&line);
            if !line.is_empty() {
                emit(event(device, line));
            }
        }
    }
}

/// Drops the CRs of `\r\n` at the end, and that of `\n\r` at the start.
fn without_cr(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|&b| b != b'\r').map_or(0, |i| i + 1);
    let line = &line[..end];
    line.strip_prefix(b"\r").unwrap_or(line)
}

/// How many bytes at the end begin a UTF-8 character that may still be completed: 0 to 3.
fn unfinished_character(bytes: &[u8]) -> usize {
    (1..=3.min(bytes.len()))
        .find(|&n| {
            let tail = &bytes[bytes.len() - n..];
            tail[0] >= 0xc0 && std::str::from_utf8(tail).is_err_and(|e| e.error_len().is_none())
        })
        .unwrap_or(0)
}

fn event(device: &str, line: &[u8]) -> EventKind {
    EventKind::Console {
        device: device.to_owned(),
        text: escape(line),
    }
}

fn escape(line: &[u8]) -> String {
    let mut text = String::with_capacity(line.len());
    for chunk in line.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() && c != '\t' {
                text.extend(c.escape_default());
            } else {
                text.push(c);
            }
        }
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &mut ConsoleLines, device: &'static str, bytes: &[u8]) -> Vec<String> {
        let mut out = Vec::new();
        lines.push(device, bytes, |e| match e {
            EventKind::Console { device, text } => out.push(format!("{device}: {text}")),
            other => panic!("{other:?}"),
        });
        out
    }

    fn text(bytes: &[u8]) -> Vec<String> {
        lines(&mut ConsoleLines::default(), "c", bytes)
    }

    #[test]
    fn lines_of_two_devices_do_not_mix() {
        let mut open = ConsoleLines::default();
        assert!(lines(&mut open, "serial", b"hel").is_empty());
        assert_eq!(lines(&mut open, "debugcon", b"x\ny"), ["debugcon: x"]);
        assert_eq!(
            lines(&mut open, "serial", b"lo\r\n\n"),
            ["serial: hello", "serial: "]
        );
        let mut left = Vec::new();
        open.flush(|e| left.push(e));
        assert_eq!(left, [event("debugcon", b"y")]);
        assert_eq!(open, ConsoleLines::default());
    }

    #[test]
    fn line_ends_of_every_fashion() {
        assert_eq!(text(b"a\r\nb\r\n"), ["c: a", "c: b"]);
        assert_eq!(text(b"a\n\rb\n\r\n"), ["c: a", "c: b", "c: "]);
        assert_eq!(text(b"a\r\r\n"), ["c: a"]);
        assert_eq!(text(b"50%\r100%\n"), ["c: 50%\\r100%"]);
    }

    #[test]
    fn what_is_no_text_is_escaped() {
        assert_eq!(text("é→\u{1f600}\n".as_bytes()), ["c: é→\u{1f600}"]);
        assert_eq!(text(b"\xff\xc3(\xe2\x86\n"), ["c: \\xff\\xc3(\\xe2\\x86"]);
        assert_eq!(
            text(b"\x1b[31m\tq\0\x7f\\\n"),
            ["c: \\u{1b}[31m\tq\\u{0}\\u{7f}\\"]
        );
        // U+0085, a C1 control, in UTF-8.
        assert_eq!(text(b"\xc2\x85\n"), ["c: \\u{85}"]);
    }

    #[test]
    fn a_line_without_end_is_cut_between_characters() {
        let mut open = ConsoleLines::default();
        // 65,535 bytes, then a character of three bytes that straddles the limit.
        let mut bytes = vec![b'a'; MAX_LINE - 1];
        bytes.extend("→z\n".as_bytes());
        let cut = lines(&mut open, "c", &bytes);
        assert_eq!(cut.len(), 2);
        assert_eq!(cut[0].len(), "c: ".len() + MAX_LINE - 1);
        assert_eq!(cut[1], "c: →z");
        // Bytes that never become a character do not pile up.
        let junk = vec![0xf0; 3 * MAX_LINE];
        let cut = lines(&mut open, "c", &junk);
        assert_eq!(cut.len(), 3);
        assert!(open.open[0].1.len() < 8);
    }
}
