//! How fast traces are written. Not run by default: it needs an optimised build.
//!
//! `cargo test --release --test trace_speed -- --ignored --nocapture --test-threads=1`

use std::io::BufReader;
use std::time::Instant;

use iretrace::arch::{AccessKind, CpuModel, EventType, Hex, PhysAddr, Vector, Vendor, VirtAddr};
use iretrace::trace::{
    Boundary, Delivery, DeliveryId, Event, EventKind, EventSink, FrameValues, Header, ImageInfo,
    JsonlWriter, RecordWriter, Return, Symbols, TextOptions, TextWriter, TraceReader, Walk,
    WalkOutcome, WalkStep,
};

struct Program;

impl Symbols for Program {
    fn name(&self, at: VirtAddr) -> Option<String> {
        Some(format!("handler_{}+{:#x}", at.0 >> 12 & 15, at.0 & 0xfff))
    }

    fn line(&self, at: VirtAddr) -> Option<String> {
        Some(format!("kernel.S:{}", at.0 & 0xfff))
    }
}

fn event(icount: u64, rip: u64, depth: u16, kind: EventKind) -> Event {
    Event {
        at: Boundary { icount, sub: 0 },
        rip: VirtAddr(rip),
        cpl: 0,
        depth,
        kind,
    }
}

/// One page fault: walk, exception, delivery, return.
fn fault(n: u64) -> [Event; 4] {
    let icount = n * 9;
    let rip = 0xffff_ffff_8000_0000 + n % 200 * 7;
    let address = VirtAddr(0xffff_c900_0000_0000 + n * 4096);
    let id = DeliveryId {
        serial: n + 1,
        vector: Vector::PF,
        nth: n + 1,
    };
    let pushed = FrameValues {
        rip: VirtAddr(rip),
        cs: Hex(8),
        rflags: Hex(0x1_0246),
        rsp: VirtAddr(0xffff_ffff_8001_0f00),
        ss: Hex(0x10),
    };
    let frame = VirtAddr(0xffff_ffff_8001_0ec8);
    let step = |level: u8, entry| WalkStep {
        level,
        entry_at: PhysAddr(u64::from(level) << 12 | 0x7f8),
        entry: Hex(entry),
        updated: None,
    };
    let walk = Walk {
        address,
        access: AccessKind::Write,
        user: false,
        implicit: false,
        steps: vec![
            step(4, 0x2063),
            step(3, 0x3063),
            step(2, 0x4063),
            step(1, 0),
        ],
        outcome: WalkOutcome::PageFault { error_code: 2 },
    };
    [
        event(icount, rip, 0, EventKind::Walk(walk)),
        event(
            icount,
            rip,
            0,
            EventKind::Exception {
                vector: Vector::PF,
                kind: EventType::Fault,
                error_code: Some(2),
                cr2: Some(address),
            },
        ),
        event(
            icount,
            rip,
            1,
            EventKind::Delivered(Delivery {
                id,
                kind: EventType::Fault,
                error_code: Some(2),
                cr2: Some(address),
                dr6: None,
                ist: 0,
                handler: VirtAddr(0xffff_ffff_8000_3000),
                frame,
                pushed,
                new_cpl: 0,
            }),
        ),
        event(
            icount + 8,
            0xffff_ffff_8000_3020,
            1,
            EventKind::Iret(Return {
                mnemonic: "iretq".to_owned(),
                frame: VirtAddr(frame.0 + 8),
                popped: pushed,
                of: Some(id),
                resumes: Some(id),
                new_cpl: 0,
            }),
        ),
    ]
}

fn insn(n: u64) -> Event {
    event(
        n,
        0xffff_ffff_8000_0000 + n % 1000 * 4,
        0,
        EventKind::Insn {
            bytes: "488b4508".to_owned(),
            text: "mov 0x8(%rbp),%rax".to_owned(),
        },
    )
}

fn header() -> Header {
    Header::new(ImageInfo::of("speed", b""), &CpuModel::of(Vendor::Intel))
}

/// Writes `events` `rounds` times to a file in both formats; events a second of each.
fn measure(what: &str, unit: &str, events: &[Event], units: u64, rounds: u64) -> [f64; 2] {
    ["jsonl", "text"].map(|format| {
        let file = tempfile::tempfile().expect("a temporary file");
        let out = RecordWriter::file(file.try_clone().expect("a handle"));
        let start = Instant::now();
        let mut sink: Box<dyn EventSink> = if format == "jsonl" {
            Box::new(JsonlWriter::new(out, &header(), Program).expect("a header"))
        } else {
            Box::new(TextWriter::new(out, Program, TextOptions::default()))
        };
        for _ in 0..rounds {
            for event in events {
                sink.event(event).expect("written");
            }
        }
        sink.finish().expect("written");
        let seconds = start.elapsed().as_secs_f64();
        let bytes = file.metadata().expect("metadata").len() as f64;
        let rate = (units * rounds) as f64 / seconds;
        println!(
            "{what:6} {format:5}: {rate:>12.0} {unit}/s, {:.0} MB/s, {:.0} bytes each",
            bytes / seconds / 1e6,
            bytes / (units * rounds) as f64,
        );
        rate
    })
}

#[test]
#[ignore = "a measurement; needs an optimised build"]
fn writing_keeps_up() {
    let faults: Vec<Event> = (0..10_000).flat_map(fault).collect();
    let fault_rates = measure("faults", "faults", &faults, 10_000, 40);
    let insns: Vec<Event> = (0..10_000).map(insn).collect();
    let insn_rates = measure("insns", "insns", &insns, 10_000, 400);
    assert!(
        fault_rates.iter().all(|r| *r >= 200_000.0),
        "{fault_rates:?}"
    );
    assert!(
        insn_rates.iter().all(|r| *r >= 3_000_000.0),
        "{insn_rates:?}"
    );
}

#[test]
#[ignore = "a measurement; needs an optimised build"]
fn reading_speed() {
    use std::io::Seek;
    let mut file = tempfile::tempfile().expect("a temporary file");
    let out = RecordWriter::file(file.try_clone().expect("a handle"));
    let mut sink = JsonlWriter::new(out, &header(), Program).expect("a header");
    for event in (0..50_000).flat_map(fault) {
        sink.event(&event).expect("written");
    }
    sink.finish().expect("written");
    file.rewind().expect("rewound");
    let start = Instant::now();
    let reader = TraceReader::new(BufReader::new(file), "speed").expect("a trace");
    let events = reader.inspect(|e| assert!(e.is_ok())).count();
    assert_eq!(events, 200_000);
    println!(
        "read   jsonl: {:>12.0} events/s",
        events as f64 / start.elapsed().as_secs_f64()
    );
}
