//! The whole machine on the built-in programs, with and without traces.

use std::time::Instant;

use iretrace::arch::VirtAddr;
use iretrace::load::{Image, LoadOptions};
use iretrace::machine::{Machine, MachineConfig, StopReason, Until};
use iretrace::trace::{
    DEFAULT_CLASSES, EventClass, EventSink, Filtered, Header, ImageInfo, JsonlWriter, RecordWriter,
    TextOptions, TextWriter,
};

use crate::Sample;

/// How a run is traced, each time to a new temporary file.
#[derive(Clone, Copy)]
pub enum Traced {
    No,
    /// Instructions alone.
    InsnsAsText,
    /// Instructions alone.
    InsnsAsJsonl,
    /// All that `run` traces unless told otherwise, all of which a fault is part of.
    FaultsAsJsonl,
}

/// What is counted of a run.
#[derive(Clone, Copy)]
pub enum Count {
    Instructions,
    Turns,
}

/// A built-in program with a count of turns at its symbol `loops`.
pub struct Program {
    image: Image,
    turns: u64,
}

impl Program {
    pub fn new(name: &str, turns: u64) -> Self {
        let image = Image::open(name, &LoadOptions::default()).expect("a built-in program");
        Self { image, turns }
    }

    /// Runs it on a new machine; the time is that of the run and of writing its trace.
    pub fn run(&self, traced: Traced, count: Count) -> Sample {
        let mut machine = Machine::new(MachineConfig::default()).expect("a machine");
        machine.load(&self.image).expect("the program fits");
        let loops: VirtAddr = self.image.resolve("loops").expect("its count of turns");
        let at = machine.translate_plain(loops).expect("it is mapped");
        assert!(machine.write_physical(at, &self.turns.to_le_bytes()));
        if let Some(sink) = self.sink(&machine, traced) {
            machine.add_sink(sink);
        }
        let start = Instant::now();
        let stop = machine.run(Until::Never);
        machine.finish().expect("the trace is written");
        let time = start.elapsed();
        assert!(
            matches!(stop, StopReason::GuestExit { success: true, .. }),
            "{stop}"
        );
        let count = match count {
            Count::Instructions => machine.boundary().icount,
            Count::Turns => self.turns,
        };
        Sample { count, time }
    }

    fn sink(&self, machine: &Machine, traced: Traced) -> Option<Box<dyn EventSink>> {
        let (symbols, out) = (self.image.clone(), || {
            RecordWriter::file(tempfile::tempfile().expect("a temporary file"))
        });
        let info = ImageInfo::of(self.image.name.as_str(), &[]);
        let header = Header::new(info, &machine.config().cpu);
        let jsonl = |symbols| JsonlWriter::new(out(), &header, symbols).expect("a header");
        Some(match traced {
            Traced::No => return None,
            Traced::InsnsAsText => Box::new(Filtered::new(
                EventClass::INSN,
                TextWriter::new(out(), symbols, TextOptions::default()),
            )),
            Traced::InsnsAsJsonl => Box::new(Filtered::new(EventClass::INSN, jsonl(symbols))),
            Traced::FaultsAsJsonl => Box::new(Filtered::new(DEFAULT_CLASSES, jsonl(symbols))),
        })
    }
}
