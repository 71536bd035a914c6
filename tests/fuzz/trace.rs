//! Traces: JSON Lines back to events.

use std::cell::RefCell;
use std::collections::BTreeSet;

use iretrace::arch::{CpuModel, Vendor};
use iretrace::load::{Image, LoadOptions};
use iretrace::machine::{Machine, MachineConfig, Until};
use iretrace::schedule::{Injection, ResolvedInjection, resolve};
use iretrace::trace::{
    EventSink, Header, ImageInfo, JsonEncoder, JsonlWriter, NoSymbols, RecordWriter, SharedEvents,
    Symbols, TextOptions, TextWriter, TraceReader,
};
use serde_json::{Map, Value, json};

use super::driver::{Target, one_line};
use super::noise;
use super::random::Random;

/// Programs whose runs are the seeds.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("@nested-nmi", &["--nmi at=page_fault_entry"]),
    ("@iret-faults", &[]),
    ("@user-mode", &[]),
    ("@triple-fault", &[]),
    ("@hlt-wakes", &[]),
    ("@mov-ss-shadow", &["--nmi every=7"]),
];

/// The trace of `program`, without lines whose form has been seen: one of each shape is enough.
fn run(program: &str, schedule: &[&str], seen: &mut BTreeSet<String>) -> Vec<u8> {
    let image = Image::open(program, &LoadOptions::default()).expect("a built-in program");
    let mut machine = Machine::new(MachineConfig::default()).expect("a machine");
    machine.load(&image).expect("it fits");
    let injections = schedule.iter().map(|text| {
        let injection: Injection = text.parse().expect("an injection");
        resolve(injection, &image.symbols).expect("its symbols")
    });
    machine.set_schedule(injections.collect::<Vec<ResolvedInjection>>());
    let events = SharedEvents::default();
    machine.add_sink(Box::new(events.clone()));
    machine.run(Until::Icount(4000));
    let mut header = Header::new(ImageInfo::of(program, b"x"), &CpuModel::of(Vendor::Intel));
    header.schedule = schedule.iter().map(|&s| s.to_owned()).collect();
    header.config.insert("ram".to_owned(), 67_108_864.into());
    let mut out = serde_json::to_vec(&header).expect("plain data");
    out.push(b'\n');
    let mut encoder = JsonEncoder::new(&image as &dyn Symbols);
    for event in events.borrow().iter() {
        let value = serde_json::to_value(event).expect("plain data");
        let keys: Vec<&String> = value.as_object().expect("an object").keys().collect();
        if seen.insert(format!("{keys:?}{}{}", value["event"], value["type"])) {
            encoder.encode(event, &mut out);
        }
    }
    out
}

const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "null",
    "true",
    "-1",
    "1e400",
    "0.5",
    "\"0x\"",
    "\"0x+1\"",
    "\\u0000",
    "\\ud800",
    "\n",
    "\r\n",
    "\"event\":\"halted\"",
    "\"icount\":",
    "\"sub\":",
    "18446744073709551616",
    "\\n",
    "\"version\":1",
    "\"iretrace\":\"trace\"",
];

/// Values where others are expected.
fn value(r: &mut Random) -> Value {
    match r.below(12) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(1.5),
        4 => json!([]),
        5 => json!({}),
        6 => json!("a\nb\u{1b}[2J\u{2028}\u{202e}"),
        7 => json!(format!("{:#x}", r.edge(0))),
        8 => json!("x".repeat(r.below(5000))),
        9 => json!(r.pick(&[
            "nmi-raised",
            "fault",
            "read",
            "mapped",
            "invpcid",
            "trap",
            "cr3"
        ])),
        10 => {
            let deep = 1 + r.below(200);
            (0..deep).fold(Value::Null, |v, _| json!([v]))
        }
        _ => json!(r.edge(0)),
    }
}

/// A random object inside `v`, or `v` itself if it is one.
fn some_object<'v>(v: &'v mut Value, r: &mut Random) -> Option<&'v mut Map<String, Value>> {
    let deeper = r.one_in(2);
    match v {
        Value::Object(map) => {
            let inner = map.values().position(|v| v.is_object() || v.is_array());
            match inner.filter(|_| deeper) {
                Some(n) => some_object(map.values_mut().nth(n)?, r),
                None => Some(map),
            }
        }
        Value::Array(list) if !list.is_empty() => {
            let n = r.below(list.len());
            some_object(&mut list[n], r)
        }
        _ => None,
    }
}

fn change(line: &str, other: &str, r: &mut Random) -> Option<String> {
    let mut v: Value = serde_json::from_str(line).ok()?;
    let other: Option<Value> = serde_json::from_str(other).ok();
    let map = some_object(&mut v, r)?;
    let keys: Vec<String> = map.keys().cloned().collect();
    let key = keys.get(r.below(keys.len().max(1)))?;
    match r.below(6) {
        0 => drop(map.shift_remove(key)),
        1 => {
            let old = map.shift_remove(key)?;
            let name = if r.one_in(2) {
                "a\nb".to_owned()
            } else {
                keys[r.below(keys.len())].clone()
            };
            map.insert(name, old);
        }
        2 => {
            // Members of another event.
            for (key, value) in other?.as_object()? {
                if r.one_in(3) {
                    map.insert(key.clone(), value.clone());
                }
            }
        }
        3 => {
            // Twice: the text is what has it twice.
            let text = v.to_string();
            let end = text.rfind('}')?;
            return Some(format!("{},{}:{}}}", &text[..end], json!(key), value(r)));
        }
        _ => drop(map.insert(key.clone(), value(r))),
    }
    Some(v.to_string())
}

pub struct Trace;

impl Target for Trace {
    const NAME: &'static str = "trace";
    const CASES: u64 = 4000;

    fn seeds() -> Vec<Vec<u8>> {
        let mut seen = BTreeSet::new();
        PROGRAMS
            .iter()
            .map(|(program, schedule)| run(program, schedule, &mut seen))
            .collect()
    }

    fn mutate(input: &mut Vec<u8>, other: &[u8], r: &mut Random) {
        let text = String::from_utf8_lossy(input).into_owned();
        let other = String::from_utf8_lossy(other).into_owned();
        let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
        let others: Vec<&str> = other.lines().collect();
        let n = if r.one_in(6) { 0 } else { r.below(lines.len()) };
        let theirs = others
            .get(r.below(others.len().max(1)))
            .copied()
            .unwrap_or_default();
        match r.below(12) {
            0 => return noise::bytes(input, r),
            1 => noise::text(&mut lines[n], WORDS, r),
            2 => lines.insert(n, theirs.to_owned()),
            3 => drop(lines.remove(n)),
            _ => {
                if let Some(new) = change(&lines[n], theirs, r) {
                    lines[n] = new;
                }
            }
        }
        // Fewer lines, so that an error in one does not hide the others for ever.
        if lines.len() > 60 {
            lines.truncate(60);
        }
        *input = lines.join("\n").into_bytes();
    }

    fn check(input: &[u8]) -> String {
        let reader = match TraceReader::new(input, "t.jsonl") {
            Ok(reader) => reader,
            Err(e) => {
                let said = e.to_string();
                one_line(&said);
                assert!(said.starts_with("t.jsonl:1: "), "names no place: {said}");
                return said;
            }
        };
        let header = reader.header().clone();
        let again: Header =
            serde_json::from_str(&serde_json::to_string(&header).expect("JSON")).expect("a header");
        assert_eq!(again, header);
        let mut fault = String::new();
        let mut events = Vec::new();
        for (n, event) in reader.enumerate() {
            match event {
                Ok(event) => events.push(event),
                Err(e) => {
                    one_line(&e.to_string());
                    assert_eq!(e.line, n as u64 + 2, "names another line");
                    fault = e.what.to_string();
                }
            }
        }
        comes_back(&events, &header);
        let known = header.cpu_model().is_some();
        format!("{known} {} {fault}", events.len().min(2))
    }
}

/// The names of the event that is being written.
struct Names<'a>(&'a RefCell<(Option<String>, Option<String>)>);

impl Symbols for Names<'_> {
    fn name(&self, _: iretrace::arch::VirtAddr) -> Option<String> {
        self.0.borrow().0.clone()
    }

    fn line(&self, _: iretrace::arch::VirtAddr) -> Option<String> {
        self.0.borrow().1.clone()
    }
}

/// What was read can be written, and read again as the same; and the text format takes it.
fn comes_back(events: &[iretrace::trace::TracedEvent], header: &Header) {
    let mut out = Vec::new();
    let sink = RecordWriter::new(&mut out);
    JsonlWriter::new(sink, header, NoSymbols)
        .expect("memory")
        .finish()
        .expect("memory");
    for e in events {
        let names = RefCell::new((e.sym.clone(), e.line.clone()));
        JsonEncoder::new(Names(&names)).encode(&e.event, &mut out);
    }
    let reader = TraceReader::new(out.as_slice(), "again").expect("a trace that we wrote");
    let back: Vec<_> = reader.map(|e| e.expect("an event that we wrote")).collect();
    assert_eq!(back, events);
    let mut text = Vec::new();
    let mut writer = TextWriter::new(
        RecordWriter::new(&mut text),
        NoSymbols,
        TextOptions::default(),
    );
    for e in events {
        writer.event(&e.event).expect("memory");
    }
    writer.finish().expect("memory");
    drop(writer);
    let text = String::from_utf8(text).expect("text");
    let odd = |c: char| c.is_control() && c != '\n';
    assert!(
        !text.contains(odd),
        "control characters in {:?}",
        text.lines().find(|l| l.contains(odd))
    );
}
