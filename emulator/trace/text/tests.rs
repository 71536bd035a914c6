use super::*;
use crate::arch::{EventType, Hex, Vector, VirtAddr};
use crate::trace::event::{DeliveryId, HeldBy, Return, Source, UnblockedBy, WalkOutcome};
use crate::trace::samples::{self, NMI1, NMI2, PF1};
use crate::trace::symbols::NoSymbols;
use crate::trace::{Boundary, ImageInfo};

/// Walks that succeed are shown.
const OPTIONS: TextOptions = TextOptions {
    color: false,
    mapped_walks: true,
    full_walks: false,
};

/// `main` below 0xffffffff80002000, then `nmi_entry`, `pf_entry` a page each.
struct Program;

impl Symbols for Program {
    fn name(&self, at: VirtAddr) -> Option<String> {
        let (name, base) = match at.0 {
            0xffff_ffff_8000_1000..=0xffff_ffff_8000_1fff => ("main", 0xffff_ffff_8000_1000),
            0xffff_ffff_8000_2000..=0xffff_ffff_8000_2fff => ("nmi_entry", 0xffff_ffff_8000_2000),
            0xffff_ffff_8000_3000..=0xffff_ffff_8000_3fff => ("pf_entry", 0xffff_ffff_8000_3000),
            _ => return None,
        };
        Some(match at.0 - base {
            0 => name.to_owned(),
            offset => format!("{name}+{offset:#x}"),
        })
    }
}

/// Long names of every address, with a long path.
struct LongNames;

impl Symbols for LongNames {
    fn name(&self, at: VirtAddr) -> Option<String> {
        Some(format!(
            "kernel::entry::{}::handler+{:#x}",
            "x".repeat(200),
            at.0 & 0xfff
        ))
    }

    fn line(&self, _: VirtAddr) -> Option<String> {
        Some(format!("/home/{}/entry.rs:1234", "y".repeat(200)))
    }
}

fn render_all(events: &[Event], symbols: impl Symbols, options: TextOptions) -> String {
    let mut renderer = TextRenderer::new(symbols, options);
    let mut out = Vec::new();
    for e in events {
        renderer.render(e, &mut out);
    }
    String::from_utf8(out).expect("UTF-8")
}

fn message(kind: EventKind) -> String {
    let event = Event {
        at: Boundary { icount: 7, sub: 0 },
        rip: VirtAddr(0xffff_ffff_8000_1031),
        cpl: 0,
        depth: 1,
        kind,
    };
    let text = render_all(&[event], Program, OPTIONS);
    text.lines()
        .map(|l| l.get(39..).unwrap_or_default().trim_end())
        .collect::<Vec<_>>()
        .join("\n")
}

fn event(icount: u64, sub: u32, rip: u64, depth: u16, kind: EventKind) -> Event {
    Event {
        at: Boundary { icount, sub },
        rip: VirtAddr(rip),
        cpl: 0,
        depth,
        kind,
    }
}

const MAIN: u64 = 0xffff_ffff_8000_1031;
const NMI: u64 = 0xffff_ffff_8000_2000;
const PF: u64 = 0xffff_ffff_8000_3000;

/// The disaster of the thread: a page fault inside an NMI lets the second NMI in.
fn disaster() -> Vec<Event> {
    let nmi1 = samples::delivery(NMI1, EventType::Nmi);
    let mut pf1 = Delivery {
        error_code: Some(2),
        cr2: Some(VirtAddr(0xffff_c900_0000_2008)),
        ist: 0,
        handler: VirtAddr(PF),
        frame: VirtAddr(0xffff_fe00_0000_1f50),
        ..samples::delivery(PF1, EventType::Fault)
    };
    pf1.pushed.rip = VirtAddr(NMI + 0x12);
    pf1.pushed.rflags = Hex(0x1_0046);
    let mut nmi2 = samples::delivery(NMI2, EventType::Nmi);
    nmi2.pushed = pf1.pushed;
    vec![
        event(
            512,
            0,
            MAIN,
            0,
            EventKind::NmiRaised {
                source: Source::Schedule,
            },
        ),
        event(512, 0, MAIN, 0, EventKind::NmiBlocked),
        event(512, 0, MAIN, 1, EventKind::Delivered(nmi1)),
        event(
            517,
            0,
            NMI + 0x12,
            1,
            EventKind::Walk(samples::walk(WalkOutcome::PageFault { error_code: 2 })),
        ),
        event(
            517,
            0,
            NMI + 0x12,
            1,
            EventKind::Exception {
                vector: Vector::PF,
                kind: EventType::Fault,
                error_code: Some(2),
                cr2: pf1.cr2,
            },
        ),
        event(517, 0, NMI + 0x12, 2, EventKind::Delivered(pf1.clone())),
        event(
            520,
            0,
            PF + 9,
            2,
            EventKind::NmiRaised {
                source: Source::Schedule,
            },
        ),
        event(
            520,
            0,
            PF + 9,
            2,
            EventKind::NmiLatched {
                held_by: HeldBy::Blocked,
            },
        ),
        event(
            531,
            0,
            PF + 0x3c,
            2,
            EventKind::NmiUnblocked {
                by: UnblockedBy::OtherIret,
                in_handler: Some(PF1),
                blocked_by: Some(NMI1),
            },
        ),
        event(
            531,
            0,
            PF + 0x3c,
            2,
            EventKind::Iret(Return {
                mnemonic: "iretq".to_owned(),
                frame: VirtAddr(pf1.frame.0 + 8),
                popped: pf1.pushed,
                of: Some(PF1),
                resumes: Some(PF1),
                new_cpl: 0,
            }),
        ),
        event(532, 0, NMI + 0x12, 1, EventKind::NmiBlocked),
        event(
            532,
            0,
            NMI + 0x12,
            2,
            EventKind::FrameOverwritten {
                frame: NMI1,
                by: NMI2,
            },
        ),
        event(532, 0, NMI + 0x12, 2, EventKind::Delivered(nmi2)),
    ]
}

#[test]
fn the_disaster_reads_well() {
    let text = render_all(&disaster(), Program, OPTIONS);
    let expected = include_str!("disaster.txt");
    assert_eq!(text, expected, "\n{text}");
}

#[test]
fn every_change_of_the_nmi_state_is_in_words() {
    let unblocked = |by, in_handler, blocked_by| {
        message(EventKind::NmiUnblocked {
            by,
            in_handler,
            blocked_by,
        })
    };
    assert_eq!(
        unblocked(UnblockedBy::NmiReturn, Some(NMI1), Some(NMI1)),
        "NMIs are unblocked by the return of NMI#1"
    );
    assert_eq!(
        unblocked(UnblockedBy::OtherIret, Some(NMI1), Some(NMI1)),
        "NMIs are UNBLOCKED EARLY by an IRET in NMI#1 that is not its return"
    );
    assert_eq!(
        unblocked(UnblockedBy::OtherIret, Some(PF1), None),
        "NMIs are UNBLOCKED EARLY by the IRET of the #PF#1 handler"
    );
    assert_eq!(
        unblocked(UnblockedBy::FaultingIret, Some(PF1), Some(NMI1)),
        "NMIs are UNBLOCKED by an IRET that faults, in #PF#1, inside NMI#1"
    );
    assert_eq!(
        message(EventKind::NmiMerged),
        "NMI merged with the pending one: lost"
    );
    assert_eq!(
        message(EventKind::NmiLatched {
            held_by: HeldBy::MovSsShadow
        }),
        "NMI latched: in the shadow of MOV SS"
    );
}

#[test]
fn error_codes_are_in_words() {
    // SDM vol. 3, 4.7 (page faults) and 6.13 (selectors).
    let code = |vector, code| {
        message(EventKind::Exception {
            vector,
            kind: EventType::Fault,
            error_code: Some(code),
            cr2: None,
        })
    };
    for (vector, value, words) in [
        (Vector::PF, 0x0, "ec 0x0 (read, not present, supervisor)"),
        (Vector::PF, 0x7, "ec 0x7 (write, protection, user)"),
        (Vector::PF, 0x15, "ec 0x15 (fetch, protection, user)"),
        (
            Vector::PF,
            0x9,
            "ec 0x9 (read, reserved bit set, supervisor)",
        ),
        (Vector::PF, 0x27, "ec 0x27 (write, protection key, user)"),
        (
            Vector::PF,
            0x8007,
            "ec 0x8007 (write, protection, user, SGX)",
        ),
        (Vector::GP, 0x0, "ec 0x0"),
        (Vector::GP, 0x18, "ec 0x18 (GDT selector 0x18)"),
        (Vector::NP, 0x73, "ec 0x73 (IDT gate 0xe, external)"),
        (Vector::TS, 0x2c, "ec 0x2c (LDT selector 0x28)"),
    ] {
        let name = vector.mnemonic().expect("named");
        assert_eq!(
            code(vector, value),
            format!("{name} raised (fault): {words}")
        );
    }
}

#[test]
fn returns_say_whose_frame_and_who_resumes() {
    let ret = |of, resumes| {
        let text = message(EventKind::Iret(Return {
            mnemonic: "iretq".to_owned(),
            frame: VirtAddr(0x1000),
            popped: samples::FRAME,
            of,
            resumes,
            new_cpl: 3,
        }));
        text.lines().next().expect("a line").to_owned()
    };
    assert_eq!(
        ret(Some(NMI1), Some(NMI1)),
        "IRETQ: NMI#1 returns to main+0x31, CPL 3"
    );
    assert_eq!(
        ret(None, Some(NMI1)),
        "IRETQ: NMI#1 returns to main+0x31, CPL 3"
    );
    assert_eq!(
        ret(Some(NMI2), Some(NMI1)),
        "IRETQ with NMI#2's frame: NMI#1 resumes at main+0x31, CPL 3"
    );
    assert_eq!(
        ret(Some(NMI2), None),
        "IRETQ with NMI#2's frame to main+0x31, CPL 3"
    );
    assert_eq!(
        ret(None, None),
        "IRETQ with a frame of software's own to main+0x31, CPL 3"
    );
}

#[test]
fn a_changed_or_copied_frame_is_shown() {
    let d = samples::delivery(NMI1, EventType::Nmi);
    let mut r = Return {
        mnemonic: "iretq".to_owned(),
        frame: d.frame,
        popped: d.pushed,
        of: Some(NMI1),
        resumes: Some(NMI1),
        new_cpl: 0,
    };
    let lines = |r: &Return| {
        let events = [
            event(1, 0, MAIN, 1, EventKind::Delivered(d.clone())),
            event(2, 0, NMI, 1, EventKind::Iret(r.clone())),
        ];
        let text = render_all(&events, Program, OPTIONS);
        text.lines().skip(3).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines(&r).len(), 1);
    r.popped.rflags.0 ^= 1;
    assert!(
        lines(&r)[2].ends_with("(changed by software)"),
        "{:?}",
        lines(&r)
    );
    r.frame.0 += 40;
    assert!(
        lines(&r)[2].contains("a copy of the frame at 0xfffffe0000001fd8"),
        "{:?}",
        lines(&r)
    );
}

#[test]
fn walks_show_levels_when_they_matter() {
    let mapped = EventKind::Walk(samples::walk(WalkOutcome::Mapped {
        phys: crate::arch::PhysAddr(0x20_0008),
        page_size: 4096,
    }));
    let e = [event(1, 0, MAIN, 0, mapped)];
    let compact = render_all(&e, NoSymbols, OPTIONS);
    assert_eq!(compact.lines().count(), 3, "{compact}");
    assert!(compact.contains("walk: write 0xffffc90000002008 -> 0x200008 (4 KiB)\n"));
    assert!(compact.contains("P W XD  (A and D set)"), "{compact}");
    let full = TextOptions {
        full_walks: true,
        ..OPTIONS
    };
    assert_eq!(render_all(&e, NoSymbols, full).lines().count(), 5);
}

#[test]
fn control_registers_show_their_bits() {
    // SDM vol. 3, 2.5: bit 16 of CR0 is WP, bit 1 is MP; bit 7 of CR4 is PGE.
    let change = |register: &str, old, new| {
        message(EventKind::ControlWrite {
            register: register.to_owned(),
            old: Hex(old),
            new: Hex(new),
        })
    };
    assert_eq!(
        change("cr0", 0x8001_0011, 0x8000_0013),
        "cr0 0x80010011 -> 0x80000013  (-WP +MP)"
    );
    assert_eq!(change("cr4", 0x20, 0xa0), "cr4 0x20 -> 0xa0  (+PGE)");
    assert_eq!(change("cr4", 0x20, 0x20), "cr4 0x20 -> 0x20");
    assert_eq!(change("cr3", 0x1000, 0x2000), "cr3 0x1000 -> 0x2000");
}

#[test]
fn lines_are_narrow_and_harmless() {
    let events: Vec<Event> = samples::events()
        .into_iter()
        .map(|mut e| {
            e.at.icount %= 1_000_000_000;
            e
        })
        .collect();
    for full_walks in [false, true] {
        let options = TextOptions {
            full_walks,
            ..OPTIONS
        };
        for text in [
            render_all(&events, NoSymbols, options),
            render_all(&events, LongNames, options),
        ] {
            for line in text.lines() {
                let foreign = line.contains("serial: ");
                assert!(foreign || line.chars().count() <= WIDTH, "{line}");
                assert!(!line.ends_with(' ') || foreign, "{line:?}");
                assert!(!line.chars().any(char::is_control), "{line:?}");
            }
        }
    }
}

#[test]
fn colours_only_add_escape_sequences() {
    let events = samples::events();
    let plain = render_all(&events, Program, OPTIONS);
    let options = TextOptions {
        color: true,
        ..OPTIONS
    };
    let coloured = render_all(&events, Program, options);
    assert_ne!(plain, coloured);
    assert!(!plain.contains('\u{1b}'));
    let mut stripped = String::new();
    let mut rest = coloured.as_str();
    while let Some(at) = rest.find('\u{1b}') {
        stripped.push_str(&rest[..at]);
        rest = &rest[at..];
        rest = &rest[rest.find('m').expect("an SGR sequence") + 1..];
    }
    stripped.push_str(rest);
    assert_eq!(stripped, plain);
}

#[test]
fn ids_print_as_they_display() {
    for id in [
        NMI1,
        PF1,
        DeliveryId {
            serial: 9,
            vector: Vector(0x80),
            nth: 3,
        },
    ] {
        assert_eq!(
            message(EventKind::Resumed { id }),
            format!("{id} resumed without an IRET")
        );
    }
}

#[test]
fn header_lines_are_comments() {
    let mut header = Header::new(
        ImageInfo::of("a\nb.S", b"abc"),
        &crate::arch::CpuModel::of(crate::arch::Vendor::Intel),
    );
    header.schedule.push("--nmi at=main#2".to_owned());
    header.argv = ["iretrace", "run", "a b.S", "--nmi", "at=main#2"]
        .map(str::to_owned)
        .to_vec();
    let mut out = Vec::new();
    let mut w = TextWriter::new(RecordWriter::new(&mut out), NoSymbols, OPTIONS);
    w.header(&header).expect("memory");
    w.finish().expect("memory");
    drop(w);
    let text = String::from_utf8(out).expect("UTF-8");
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].contains("image a\\x0ab.S (3 bytes, fnv1a-64:"),
        "{text}"
    );
    assert!(lines[0].ends_with("; cpu intel"), "{text}");
    assert_eq!(lines[1], "# schedule: --nmi at=main#2");
    assert_eq!(lines[2], "# again: iretrace run 'a b.S' --nmi 'at=main#2'");
}
