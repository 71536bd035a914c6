//! Where events go, and output that holds whole records only.

use std::fs::File;
use std::io::{self, Seek, Write};

use super::event::{Event, EventClass};

/// Takes the events of a run in their order.
pub trait EventSink {
    /// Takes one event.
    ///
    /// # Errors
    /// When it could not be written; nothing more needs to be offered then.
    fn event(&mut self, event: &Event) -> io::Result<()>;

    /// The run has ended: everything must be where it belongs.
    ///
    /// # Errors
    /// When what was still held could not be written.
    fn finish(&mut self) -> io::Result<()>;

    /// The classes it has a use for; others need not be built or offered.
    fn classes(&self) -> EventClass {
        EventClass::all()
    }
}

/// Keeps every event in memory.
impl EventSink for Vec<Event> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        self.push(event.clone());
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Passes the calls on through a pointer.
macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<T: EventSink + ?Sized> EventSink for $pointer {
            fn event(&mut self, event: &Event) -> io::Result<()> {
                (**self).event(event)
            }

            fn finish(&mut self) -> io::Result<()> {
                (**self).finish()
            }

            fn classes(&self) -> EventClass {
                (**self).classes()
            }
        }
    )*};
}

forward!(&mut T, Box<T>);

/// Passes on the events of some classes.
#[derive(Clone, Debug)]
pub struct Filtered<S> {
    classes: EventClass,
    sink: S,
}

impl<S: EventSink> Filtered<S> {
    /// Passes the events of `classes` on to `sink`.
    pub const fn new(classes: EventClass, sink: S) -> Self {
        Self { classes, sink }
    }

    /// The sink behind the filter.
    pub fn into_inner(self) -> S {
        self.sink
    }
}

impl<S: EventSink> EventSink for Filtered<S> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        if self.classes.intersects(event.kind.class()) {
            self.sink.event(event)
        } else {
            Ok(())
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.sink.finish()
    }

    fn classes(&self) -> EventClass {
        self.classes & self.sink.classes()
    }
}

/// Gathers whole records and writes them in large pieces that end where a record ends.
///
/// When the output fails in the middle of a piece, a file is cut back to its last whole record;
/// a pipe cannot be, and ends with part of one. After a failure nothing more is written.
#[derive(Debug)]
pub struct RecordWriter<W: Write> {
    out: W,
    buf: Vec<u8>,
    /// Where records end in `buf`.
    ends: Vec<usize>,
    /// `buf` is written when it has this many bytes.
    threshold: usize,
    /// Bytes of whole records that the output has taken.
    taken: u64,
    /// Cuts the output back to so many bytes of ours.
    cut: Option<fn(&mut W, u64) -> io::Result<()>>,
    failed: Option<Failure>,
}

/// How the output failed, to say so again.
#[derive(Clone, Copy, Debug)]
struct Failure {
    kind: io::ErrorKind,
    os: Option<i32>,
}

impl Failure {
    fn of(e: &io::Error) -> Self {
        Self {
            kind: e.kind(),
            os: e.raw_os_error(),
        }
    }

    fn error(self) -> io::Error {
        self.os
            .map_or_else(|| self.kind.into(), io::Error::from_raw_os_error)
    }
}

/// Bytes gathered before they are written.
const THRESHOLD: usize = 256 << 10;

impl<W: Write> RecordWriter<W> {
    /// Writes to `out` in large pieces.
    pub fn new(out: W) -> Self {
        Self {
            out,
            buf: Vec::with_capacity(THRESHOLD + (16 << 10)),
            ends: Vec::new(),
            threshold: THRESHOLD,
            taken: 0,
            cut: None,
            failed: None,
        }
    }

    /// Writes each record at once: for an output that somebody watches.
    #[must_use]
    pub fn unbuffered(mut self) -> Self {
        self.threshold = 1;
        self
    }

    /// Bytes of whole records that the output has taken so far.
    pub const fn taken(&self) -> u64 {
        self.taken
    }

    /// Appends one record, which `render` adds to the buffer it is given.
    ///
    /// # Errors
    /// The output's, now or from an earlier record.
    pub fn record(&mut self, render: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        if let Some(f) = self.failed {
            return Err(f.error());
        }
        render(&mut self.buf);
        self.ends.push(self.buf.len());
        if self.buf.len() >= self.threshold {
            self.drain()?;
        }
        Ok(())
    }

    /// Writes what is gathered.
    ///
    /// # Errors
    /// The output's, now or from an earlier record.
    pub fn flush(&mut self) -> io::Result<()> {
        if let Some(f) = self.failed {
            return Err(f.error());
        }
        self.drain()?;
        self.out.flush().inspect_err(|e| {
            self.failed = Some(Failure::of(e));
        })
    }

    fn drain(&mut self) -> io::Result<()> {
        let mut done = 0;
        let result = loop {
            if done == self.buf.len() {
                break Ok(());
            }
            match self.out.write(&self.buf[done..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => break Err(e),
            }
        };
        let whole = match &result {
            Ok(()) => done,
            Err(e) => {
                self.failed = Some(Failure::of(e));
                let records = self.ends.partition_point(|&end| end <= done);
                records.checked_sub(1).map_or(0, |last| self.ends[last])
            }
        };
        self.taken += whole as u64;
        if whole != done
            && let Some(cut) = self.cut
        {
            // The write's error is the one to report, whether or not the cut succeeds.
            let _ = cut(&mut self.out, self.taken);
        }
        self.buf.clear();
        self.ends.clear();
        result
    }
}

impl RecordWriter<File> {
    /// Writes to a file that was opened for this trace alone; a failed write is cut back to the
    /// last whole record.
    pub fn file(out: File) -> Self {
        let mut w = Self::new(out);
        w.cut = Some(|file, len| {
            file.set_len(len)?;
            file.seek(io::SeekFrom::Start(len)).map(|_| ())
        });
        w
    }
}

impl<W: Write> Drop for RecordWriter<W> {
    fn drop(&mut self) {
        if self.failed.is_none() {
            // Nobody is left to report to; `flush` is how one learns.
            let _ = self.drain();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Boundary, EventKind, HeldBy};

    /// Takes `room` bytes, at most `step` at a time, then fails like a full disk.
    #[derive(Debug)]
    struct Disk {
        data: Vec<u8>,
        room: usize,
        step: usize,
    }

    impl Write for Disk {
        fn write(&mut self, b: &[u8]) -> io::Result<usize> {
            let n = b.len().min(self.step).min(self.room - self.data.len());
            if n == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.data.extend_from_slice(&b[..n]);
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_keeps_whole_records() {
        for room in 0..64 {
            let mut w = RecordWriter::new(Disk {
                data: Vec::new(),
                room,
                step: 7,
            });
            w.threshold = 25;
            w.cut = Some(|d, len| {
                d.data.truncate(len as usize);
                Ok(())
            });
            let mut result = Ok(());
            for _ in 0..6 {
                result = w.record(|b| b.extend_from_slice(b"ten bytes\n"));
                if result.is_err() {
                    break;
                }
            }
            let result = result.and_then(|()| w.flush());
            let expected = room.min(60) / 10 * 10;
            assert_eq!(w.out.data.len(), expected, "room {room}");
            assert_eq!(w.taken(), expected as u64, "room {room}");
            assert_eq!(result.is_ok(), room >= 60, "room {room}");
            if let Err(e) = result {
                assert_eq!(e.kind(), io::ErrorKind::StorageFull);
                let again = w.record(|_| panic!("nothing is rendered after a failure"));
                assert_eq!(again.unwrap_err().kind(), io::ErrorKind::StorageFull);
                assert_eq!(w.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
            }
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_device_that_is_full_is_an_error() {
        let full = File::options()
            .write(true)
            .open("/dev/full")
            .expect("/dev/full");
        let mut w = RecordWriter::file(full);
        w.record(|b| b.extend_from_slice(b"one\n"))
            .expect("buffered");
        assert_eq!(w.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(w.taken(), 0);
    }

    #[test]
    fn a_file_is_cut_back_by_its_length() {
        let file = tempfile::tempfile().expect("a temporary file");
        let mut w = RecordWriter::file(file);
        w.record(|b| b.extend_from_slice(b"one\ntw"))
            .expect("buffered");
        w.flush().expect("written");
        let cut = w.cut.expect("files are cut");
        cut(&mut w.out, 4).expect("cut");
        assert_eq!(w.out.metadata().expect("metadata").len(), 4);
        assert_eq!(w.out.stream_position().expect("position"), 4);
    }

    #[test]
    fn dropping_writes_what_is_held() {
        let mut out = Vec::new();
        let mut w = RecordWriter::new(&mut out);
        w.record(|b| b.extend_from_slice(b"held\n")).expect("held");
        drop(w);
        assert_eq!(out, b"held\n");
    }

    #[test]
    fn unbuffered_writes_at_once() {
        let mut w = RecordWriter::new(Vec::new()).unbuffered();
        w.record(|b| b.extend_from_slice(b"now\n"))
            .expect("written");
        assert_eq!(w.out, b"now\n");
    }

    #[test]
    fn a_filter_passes_its_classes() {
        let event = |kind| Event {
            at: Boundary::default(),
            rip: crate::arch::VirtAddr(0),
            cpl: 0,
            depth: 0,
            kind,
        };
        let mut sink = Filtered::new(EventClass::NMI, Vec::new());
        let latched = event(EventKind::NmiLatched {
            held_by: HeldBy::Blocked,
        });
        sink.event(&latched).expect("memory");
        sink.event(&event(EventKind::Halted)).expect("memory");
        sink.finish().expect("memory");
        assert_eq!(sink.classes(), EventClass::NMI);
        assert_eq!(sink.into_inner(), [latched]);
    }
}
