//! Reads traces back from JSON Lines.

use std::io::{self, BufRead, Read};

use serde::Deserialize;
use thiserror::Error;

use super::event::{Boundary, Event, EventKind};
use super::header::{Header, TRACE_MARK, TRACE_VERSION};
use crate::arch::VirtAddr;
use crate::printable::printable;

/// Longest line, in bytes, that is read: about 1,000 times the longest event that a run makes.
pub const MAX_LINE: u64 = 1 << 20;

/// Characters that are shown of what the JSON reader says: more than its longest list of names.
const LONGEST_MESSAGE: usize = 1000;

/// One event with the names that the trace gives its place.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(from = "Fields")]
pub struct TracedEvent {
    /// The event.
    pub event: Event,
    /// Its symbol with offset.
    pub sym: Option<String>,
    /// Its source line.
    pub line: Option<String>,
}

/// The members of a line. One flattened member instead of [`Event`]'s own two: each costs the
/// reader a copy of the line.
#[derive(Deserialize)]
struct Fields {
    icount: u64,
    sub: u32,
    rip: VirtAddr,
    cpl: u8,
    depth: u16,
    #[serde(default)]
    sym: Option<String>,
    #[serde(default)]
    line: Option<String>,
    #[serde(flatten)]
    kind: EventKind,
}

impl From<Fields> for TracedEvent {
    fn from(f: Fields) -> Self {
        Self {
            event: Event {
                at: Boundary {
                    icount: f.icount,
                    sub: f.sub,
                },
                rip: f.rip,
                cpl: f.cpl,
                depth: f.depth,
                kind: f.kind,
            },
            sym: f.sym,
            line: f.line,
        }
    }
}

/// A trace that cannot be read: which file, which line, what is wrong.
#[derive(Debug, Error)]
#[error("{file}:{line}: {what}")]
pub struct ReadError {
    /// The name that the reader was given.
    pub file: String,
    /// Line, from 1.
    pub line: u64,
    /// What is wrong.
    #[source]
    pub what: ReadErrorKind,
}

/// What is wrong with a trace.
#[derive(Debug, Error)]
pub enum ReadErrorKind {
    /// The operating system's answer.
    #[error("cannot read: {0}")]
    Io(#[from] io::Error),
    /// Nothing in it.
    #[error("the file is empty; a trace begins with a header line {{\"iretrace\":\"trace\",...}}")]
    Empty,
    /// The first line is something else than a header.
    #[error("this is no iretrace trace: the first line is no header ({0})")]
    NoHeader(String),
    /// A format of another version.
    #[error("the trace has format version {0}, and this program reads version {TRACE_VERSION}")]
    Version(u64),
    /// Longer than [`MAX_LINE`].
    #[error("the line is longer than {MAX_LINE} bytes")]
    LongLine,
    /// Not text.
    #[error("column {column}: not UTF-8")]
    NotUtf8 {
        /// Byte in the line, from 1.
        column: usize,
    },
    /// Not an event.
    #[error("column {column}: {message}")]
    NotAnEvent {
        /// Byte in the line, from 1; 0 when it concerns the whole line.
        column: usize,
        /// What the JSON reader says.
        message: String,
    },
}

/// The last line of a trace whose writing was cut short.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Truncated {
    /// Its number, from 1.
    pub line: u64,
    /// How many bytes of it there are.
    pub bytes: usize,
}

/// Reads a header, then events: an iterator over the lines.
///
/// A last line without an end that is not a whole object is what a full disk or a killed run
/// leaves behind: it ends the iteration without an error, and [`TraceReader::truncated`] tells.
/// After an error the iteration is over.
#[derive(Debug)]
pub struct TraceReader<R> {
    input: R,
    file: String,
    header: Header,
    line: u64,
    buf: Vec<u8>,
    truncated: Option<Truncated>,
    over: bool,
}

/// What [`read_line`] found.
enum Line {
    End,
    Whole,
    WithoutEnd,
}

/// Reads one line into `buf`, without its end.
fn read_line(input: &mut impl BufRead, buf: &mut Vec<u8>) -> Result<Line, ReadErrorKind> {
    buf.clear();
    let n = input.by_ref().take(MAX_LINE + 1).read_until(b'\n', buf)?;
    if buf.last() == Some(&b'\n') {
        buf.pop();
        if buf.last() == Some(&b'\r') {
            buf.pop();
        }
        Ok(Line::Whole)
    } else if n as u64 > MAX_LINE {
        Err(ReadErrorKind::LongLine)
    } else if n == 0 {
        Ok(Line::End)
    } else {
        Ok(Line::WithoutEnd)
    }
}

fn text(buf: &[u8]) -> Result<&str, ReadErrorKind> {
    std::str::from_utf8(buf).map_err(|e| ReadErrorKind::NotUtf8 {
        column: e.valid_up_to() + 1,
    })
}

/// The JSON reader's message without its own "at line 1 column 7".
fn message(e: &serde_json::Error) -> String {
    let full = e.to_string();
    let text = match full.rfind(" at line ") {
        Some(end) if e.line() > 0 => &full[..end],
        _ => &full,
    };
    // It quotes the trace.
    printable(text, LONGEST_MESSAGE)
}

fn parse_header(buf: &[u8]) -> Result<Header, ReadErrorKind> {
    let no_header = |e: &serde_json::Error| ReadErrorKind::NoHeader(message(e));
    let value: serde_json::Value = serde_json::from_str(text(buf)?).map_err(|e| no_header(&e))?;
    if value.get("iretrace").and_then(|v| v.as_str()) != Some(TRACE_MARK) {
        return Err(ReadErrorKind::NoHeader(
            "it has no \"iretrace\":\"trace\"".to_owned(),
        ));
    }
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(v) if v == u64::from(TRACE_VERSION) => {}
        Some(v) => return Err(ReadErrorKind::Version(v)),
        None => return Err(ReadErrorKind::NoHeader("it has no \"version\"".to_owned())),
    }
    Header::deserialize(value).map_err(|e| no_header(&e))
}

impl<R: BufRead> TraceReader<R> {
    /// Reads the header. `file` is the name for errors.
    ///
    /// # Errors
    /// When the first line is no header of a version that this program reads.
    pub fn new(mut input: R, file: impl Into<String>) -> Result<Self, ReadError> {
        let file = file.into();
        let mut buf = Vec::new();
        let header = match read_line(&mut input, &mut buf) {
            Ok(Line::End) => Err(ReadErrorKind::Empty),
            Ok(Line::Whole | Line::WithoutEnd) => parse_header(&buf),
            Err(e) => Err(e),
        };
        match header {
            Ok(header) => Ok(Self {
                input,
                file,
                header,
                line: 1,
                buf,
                truncated: None,
                over: false,
            }),
            Err(what) => Err(ReadError {
                file,
                line: 1,
                what,
            }),
        }
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The line that was read last, from 1.
    pub const fn line_number(&self) -> u64 {
        self.line
    }

    /// The last line, if it was cut short. Known once the iteration is over.
    pub const fn truncated(&self) -> Option<Truncated> {
        self.truncated
    }

    fn read_event(&mut self) -> Result<Option<TracedEvent>, ReadErrorKind> {
        let whole = match read_line(&mut self.input, &mut self.buf)? {
            Line::End => return Ok(None),
            Line::Whole => true,
            Line::WithoutEnd => false,
        };
        self.line += 1;
        let parsed = text(&self.buf).and_then(|text| {
            serde_json::from_str(text).map_err(|e| ReadErrorKind::NotAnEvent {
                column: e.column(),
                message: message(&e),
            })
        });
        match parsed {
            Err(_) if !whole => {
                self.truncated = Some(Truncated {
                    line: self.line,
                    bytes: self.buf.len(),
                });
                Ok(None)
            }
            Err(e) => Err(e),
            Ok(event) => Ok(Some(event)),
        }
    }
}

impl<R: BufRead> Iterator for TraceReader<R> {
    type Item = Result<TracedEvent, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let before = self.line;
        match self.read_event() {
            Ok(Some(event)) => Some(Ok(event)),
            Ok(None) => {
                self.over = true;
                None
            }
            Err(what) => {
                self.over = true;
                Some(Err(ReadError {
                    file: self.file.clone(),
                    line: before + 1,
                    what,
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{CpuModel, Vendor};
    use crate::trace::header::ImageInfo;
    use crate::trace::jsonl::JsonlWriter;
    use crate::trace::samples;
    use crate::trace::sink::{EventSink, RecordWriter};
    use crate::trace::symbols::Symbols;

    struct Named;

    impl Symbols for Named {
        fn name(&self, at: VirtAddr) -> Option<String> {
            (at.0 != 0).then(|| format!("f+{at}"))
        }

        fn line(&self, at: VirtAddr) -> Option<String> {
            (at.0 == u64::MAX).then(|| "x.S:7".to_owned())
        }
    }

    fn header() -> Header {
        let mut h = Header::new(ImageInfo::of("a.S", b"abc"), &CpuModel::of(Vendor::Intel));
        h.config.insert("ram".to_owned(), 67_108_864.into());
        h.schedule.push("--nmi at=main".to_owned());
        h.argv.push("iretrace".to_owned());
        h
    }

    fn trace() -> Vec<u8> {
        let mut out = Vec::new();
        let mut w =
            JsonlWriter::new(RecordWriter::new(&mut out), &header(), Named).expect("memory");
        for e in samples::events() {
            w.event(&e).expect("memory");
        }
        w.finish().expect("memory");
        drop(w);
        out
    }

    fn error_of(data: &[u8]) -> String {
        match TraceReader::new(data, "t.jsonl") {
            Err(e) => e.to_string(),
            Ok(r) => r
                .filter_map(Result::err)
                .next()
                .expect("an error")
                .to_string(),
        }
    }

    fn with_line(line: &str) -> Vec<u8> {
        let mut t = serde_json::to_vec(&header()).expect("serialises");
        t.extend_from_slice(b"\n");
        t.extend_from_slice(line.as_bytes());
        t.extend_from_slice(b"\n");
        t
    }

    #[test]
    fn everything_comes_back() {
        let data = trace();
        let mut reader = TraceReader::new(data.as_slice(), "t.jsonl").expect("a trace");
        assert_eq!(*reader.header(), header());
        for expected in samples::events() {
            let got = reader.next().expect("an event").expect("readable");
            assert_eq!(got.sym, Named.name(expected.rip));
            assert_eq!(got.line, Named.line(expected.rip));
            assert_eq!(got.event, expected);
        }
        assert!(reader.next().is_none());
        assert_eq!(reader.truncated(), None);
    }

    #[test]
    fn every_truncation_of_the_last_line_is_tolerated() {
        let data = trace();
        let last = data[..data.len() - 1]
            .iter()
            .rposition(|&b| b == b'\n')
            .expect("lines")
            + 1;
        let count = samples::events().len();
        for end in last..data.len() {
            let mut reader = TraceReader::new(&data[..end], "t.jsonl").expect("a trace");
            let events = reader
                .by_ref()
                .inspect(|e| assert!(e.is_ok(), "{e:?}"))
                .count();
            // Without only its line end the last object is whole.
            let whole = end == data.len() - 1;
            assert_eq!(events, count - usize::from(!whole), "cut at {end}");
            let truncated = (!whole && end > last).then_some(Truncated {
                line: count as u64 + 1,
                bytes: end - last,
            });
            assert_eq!(reader.truncated(), truncated, "cut at {end}");
        }
    }

    #[test]
    fn errors_name_file_line_and_fault() {
        assert!(error_of(b"").starts_with("t.jsonl:1: the file is empty"));
        for (text, what) in [
            ("hello", "no iretrace trace"),
            ("{\"a\":1}", "\"iretrace\":\"trace\""),
            ("{\"iretrace\":\"trace\"}", "no \"version\""),
            ("{\"iretrace\":\"trace\",\"version\":2}", "format version 2"),
            (
                "{\"iretrace\":\"trace\",\"version\":1}",
                "missing field `program`",
            ),
        ] {
            let e = error_of(text.as_bytes());
            assert!(e.starts_with("t.jsonl:1: ") && e.contains(what), "{e}");
        }
        for (line, what) in [
            ("", "column 0: EOF"),
            ("{\"icount\":1", "column 11: EOF"),
            ("{\"icount\":1}", "missing field `sub`"),
            (
                r#"{"icount":1,"sub":0,"rip":"0x1","cpl":0,"depth":0,"event":"nmi-rised"}"#,
                "unknown variant `nmi-rised`",
            ),
            (
                r#"{"icount":1,"sub":0,"rip":"16","cpl":0,"depth":0,"event":"halted"}"#,
                "\"16\" is not a hex string",
            ),
            (
                r#"{"icount":1,"sub":0,"rip":"0x1","cpl":256,"depth":0,"event":"halted"}"#,
                "256",
            ),
        ] {
            let e = error_of(&with_line(line));
            assert!(e.starts_with("t.jsonl:2: ") && e.contains(what), "{e}");
            assert!(!e.contains("at line"), "{e}");
        }
        let mut lines =
            with_line(r#"{"icount":1,"sub":0,"rip":"0x1","cpl":0,"depth":0,"event":"halted"}"#);
        lines.extend_from_slice(b"ab\xff\n");
        assert_eq!(error_of(&lines), "t.jsonl:3: column 3: not UTF-8");
    }

    #[test]
    fn long_lines_are_refused_without_reading_them() {
        let long = vec![b'x'; MAX_LINE as usize + 10];
        assert!(error_of(&long).contains("longer than"));
        let mut t = with_line("{}");
        t.truncate(t.len() - 3);
        t.extend_from_slice(&long);
        assert!(error_of(&t).starts_with("t.jsonl:2: the line is longer"));
    }

    #[test]
    fn nested_garbage_is_an_error() {
        for start in ["[", "{\"steps\":["] {
            let deep = start.to_owned() + &"[".repeat(100_000);
            assert!(error_of(&with_line(&deep)).starts_with("t.jsonl:2: column "));
        }
    }

    #[test]
    fn windows_line_ends_are_read() {
        let data = String::from_utf8(trace())
            .expect("UTF-8")
            .replace('\n', "\r\n");
        let reader = TraceReader::new(data.as_bytes(), "t").expect("a trace");
        let events: Result<Vec<_>, _> = reader.collect();
        assert_eq!(events.expect("readable").len(), samples::events().len());
    }
}
