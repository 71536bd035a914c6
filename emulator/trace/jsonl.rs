//! JSON Lines: a header object, then one object an event, in a stable key order.
//!
//! A line holds `icount`, `sub`, `rip`, then `sym` and `line` where they are known, `cpl`,
//! `depth`, `event` and the event's own fields. Addresses and register values are strings of
//! hex. Without `sym` and `line` a line is exactly what `serde_json` makes of the [`Event`].

mod encode;

use std::io::{self, Write};

use super::event::Event;
use super::header::Header;
use super::sink::{EventSink, RecordWriter};
use super::symbols::{AddressCache, Symbols};
use encode::{push_event, push_string};

/// Turns events into lines.
pub struct JsonEncoder<'s> {
    symbols: Box<dyn Symbols + 's>,
    /// The rendered `sym` and `line` members of an address.
    members: AddressCache<Box<[u8]>>,
}

impl std::fmt::Debug for JsonEncoder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JsonEncoder").finish_non_exhaustive()
    }
}

impl<'s> JsonEncoder<'s> {
    /// Names addresses with `symbols`.
    pub fn new(symbols: impl Symbols + 's) -> Self {
        Self {
            symbols: Box::new(symbols),
            members: AddressCache::new(),
        }
    }

    /// Appends the event's line to `out`, with its end.
    pub fn encode(&mut self, event: &Event, out: &mut Vec<u8>) {
        let symbols = &self.symbols;
        let members = self.members.get(event.rip, || {
            let mut b = Vec::new();
            if let Some(name) = symbols.name(event.rip) {
                b.extend_from_slice(b",\"sym\":");
                push_string(&mut b, &name);
            }
            if let Some(line) = symbols.line(event.rip) {
                b.extend_from_slice(b",\"line\":");
                push_string(&mut b, &line);
            }
            b.into_boxed_slice()
        });
        push_event(out, event, members);
        out.push(b'\n');
    }
}

/// Writes a trace as JSON Lines.
#[derive(Debug)]
pub struct JsonlWriter<'s, W: Write> {
    encoder: JsonEncoder<'s>,
    out: RecordWriter<W>,
}

impl<'s, W: Write> JsonlWriter<'s, W> {
    /// Writes the header; events follow.
    ///
    /// # Errors
    /// The output's.
    pub fn new(
        mut out: RecordWriter<W>,
        header: &Header,
        symbols: impl Symbols + 's,
    ) -> io::Result<Self> {
        let mut line = serde_json::to_vec(header)?;
        line.push(b'\n');
        out.record(|b| b.extend_from_slice(&line))?;
        Ok(Self {
            encoder: JsonEncoder::new(symbols),
            out,
        })
    }
}

impl<W: Write> EventSink for JsonlWriter<'_, W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        let encoder = &mut self.encoder;
        self.out.record(|b| encoder.encode(event, b))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::{CpuModel, Vendor, VirtAddr};
    use crate::trace::header::ImageInfo;
    use crate::trace::samples;
    use crate::trace::symbols::NoSymbols;

    struct Named;

    impl Symbols for Named {
        fn name(&self, at: VirtAddr) -> Option<String> {
            Some(format!("a\"b+{at}"))
        }

        fn line(&self, _: VirtAddr) -> Option<String> {
            Some("dir\\file.S:42".to_owned())
        }
    }

    #[test]
    fn lines_equal_serde_json() {
        let mut encoder = JsonEncoder::new(NoSymbols);
        for event in samples::events() {
            let mut line = Vec::new();
            encoder.encode(&event, &mut line);
            let expected = serde_json::to_string(&event).expect("serialises") + "\n";
            assert_eq!(String::from_utf8_lossy(&line), expected);
        }
    }

    #[test]
    fn names_stand_after_rip() {
        let event = &samples::events()[0];
        let mut line = Vec::new();
        JsonEncoder::new(Named).encode(event, &mut line);
        let value: serde_json::Value = serde_json::from_slice(&line).expect("JSON");
        let keys: Vec<&String> = value.as_object().expect("object").keys().collect();
        assert_eq!(
            keys[..7],
            ["icount", "sub", "rip", "sym", "line", "cpl", "depth"]
        );
        assert_eq!(value["sym"], format!("a\"b+{}", event.rip));
        assert_eq!(value["line"], "dir\\file.S:42");
        // Without the names it is the event's own rendering again.
        let mut bare = value;
        let members = bare.as_object_mut().expect("object");
        members.shift_remove("sym");
        members.shift_remove("line");
        assert_eq!(
            bare.to_string(),
            serde_json::to_string(event).expect("serialises")
        );
    }

    #[test]
    fn header_is_the_first_line() {
        let header = Header::new(
            ImageInfo::of("nested-nmi.S", b"code"),
            &CpuModel::of(Vendor::Intel),
        );
        let mut out = Vec::new();
        let mut w =
            JsonlWriter::new(RecordWriter::new(&mut out), &header, NoSymbols).expect("memory");
        w.finish().expect("memory");
        drop(w);
        let text = String::from_utf8(out).expect("UTF-8");
        assert!(
            text.starts_with(r#"{"iretrace":"trace","version":1,"program":"iretrace "#),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1);
        let back: Header = serde_json::from_str(&text).expect("a header");
        assert_eq!(back, header);
    }
}
