//! A run is a function of image, configuration and schedule, however it is cut into pieces.

use iretrace::arch::Vendor;
use iretrace::load::{Image, LoadOptions};
use iretrace::machine::{StopReason, Until};
use iretrace::trace::{Event, EventClass, EventKind};

use crate::support::*;

const PROGRAMS: [&str; 8] = [
    "@nested-nmi",
    "@nested-nmi-popf",
    "@mov-ss-int3",
    "@mov-ss-shadow",
    "@int3-in-nmi",
    "@iret-faults",
    "@user-mode",
    "@hlt-wakes",
];

/// String instructions, faults in them, ports, and an INT n that is refused.
const MIXED: &str = "gate GP, gp_entry\ngate NMI, nmi_entry, ist=1\ngate PF, pf_entry
    mov edi, offset page_a\nmov ecx, 20\nrep stosb
    mov esi, offset page_a\nmov ecx, 3\nmov edx, 0xe9\nrep outsb
    unmap page_b\ninvlpg [page_b]\nmov edi, offset page_b - 3\nmov ecx, 6\nrep stosb
    mov eax, offset callee\ncall rax\nmov [saved], rax\ncall qword ptr [saved]\njmp over\ncallee: ret\nover:
    enter_user";
const MIXED_REST: &str = "gp_entry: mov al, EXIT_SUCCESS\njmp debug_exit
    pf_entry: push rax\npush rcx\npte page_b, PRESENT + WRITE\npop rcx\npop rax\nadd rsp, 8\niretq
    .balign 4096\nuser_start: nop\nint 0x20\n.balign 4096";

fn images() -> Vec<Image> {
    let options = LoadOptions::default();
    PROGRAMS
        .iter()
        .map(|name| Image::open(name, &options).expect(name))
        .chain([assemble(MIXED, MIXED_REST)])
        .collect()
}

fn bench(image: &Image, classes: EventClass) -> Bench {
    Bench::of_image(image.clone(), of(Vendor::Intel), classes)
}

/// Everything, but not where single runs ended.
fn history(b: &Bench) -> Vec<Event> {
    let mut all = b.events();
    all.retain(|e| !matches!(e.kind, EventKind::Stop { .. }));
    all
}

fn assert_same(a: &[Event], b: &[Event], what: &str) {
    for (i, (x, y)) in a.iter().zip(b).enumerate() {
        assert_eq!(x, y, "{what}: event {i}");
    }
    assert_eq!(a.len(), b.len(), "{what}");
}

fn whole(image: &Image, classes: EventClass) -> Bench {
    let mut b = bench(image, classes);
    let stop = b.machine.run(Until::Never);
    assert!(
        matches!(stop, StopReason::GuestExit { success: true, .. }),
        "{}: {stop}",
        image.name
    );
    b
}

fn end(b: &Bench) -> (String, [u64; 16], u64, u64) {
    let r = &b.machine.cpu().regs;
    (b.machine.boundary().to_string(), r.gpr, r.rip, r.rflags)
}

/// Every retired instruction is told once, in order, at its own icount.
#[test]
fn instructions_are_told_as_they_retire() {
    for image in images() {
        let b = whole(&image, EventClass::INSN);
        let told: Vec<u64> = b
            .events()
            .iter()
            .filter(|e| matches!(e.kind, EventKind::Insn { .. }))
            .map(|e| e.at.icount)
            .collect();
        let expected: Vec<u64> = (0..b.machine.boundary().icount).collect();
        assert_eq!(told, expected, "{}", image.name);
    }
}

#[test]
fn two_runs_tell_the_same() {
    for image in images() {
        let (a, b) = (
            whole(&image, EventClass::all()),
            whole(&image, EventClass::all()),
        );
        assert_same(&a.events(), &b.events(), &image.name);
    }
}

/// What is told of one class does not depend on what else is told.
#[test]
fn classes_do_not_influence_each_other() {
    let few =
        EventClass::NMI | EventClass::FAULT | EventClass::IRET | EventClass::IRQ | EventClass::WALK;
    for image in images() {
        let all = whole(&image, EventClass::all());
        let b = whole(&image, few);
        let mut expected = history(&all);
        expected.retain(|e| few.intersects(e.kind.class()));
        assert_same(&expected, &history(&b), &image.name);
        assert_eq!(end(&all), end(&b), "{}", image.name);
    }
}

#[test]
fn a_run_in_steps_tells_the_same() {
    // The end of a run, wherever it is, ends the console's line too.
    let classes = EventClass::all() - EventClass::MEM - EventClass::CONSOLE;
    for image in images() {
        let one = whole(&image, classes);
        for step in [1, 7, 100] {
            let mut b = bench(&image, classes);
            loop {
                let next = b.machine.boundary().icount + step;
                match b.machine.run(Until::Icount(next)) {
                    StopReason::Until => assert_eq!(b.machine.boundary().icount, next),
                    StopReason::GuestExit { .. } => break,
                    other => panic!("{}: {other}", image.name),
                }
            }
            let what = format!("{} in steps of {step}", image.name);
            assert_same(&history(&one), &history(&b), &what);
            assert_eq!(end(&one), end(&b), "{what}");
        }
    }
}

/// From the middle of a run, the end is reached again and again in the same way.
#[test]
fn a_snapshot_has_one_future() {
    for image in images() {
        let total = whole(&image, EventClass::all()).machine.boundary().icount;
        for at in [total / 3, total / 2, total - 3] {
            let mut b = bench(&image, EventClass::all());
            assert_eq!(b.machine.run(Until::Icount(at)), StopReason::Until);
            let snapshot = b.machine.snapshot();
            let mark = b.machine.mark();
            let mut futures = Vec::new();
            for way in 0..3 {
                b.forget_events();
                b.machine.run(Until::Never);
                futures.push((b.events(), end(&b)));
                match way {
                    0 => b.machine.rewind(&mark),
                    _ => b.machine.restore(&snapshot),
                }
            }
            let what = format!("{} from {at}", image.name);
            for (events, end) in &futures[1..] {
                assert_same(&futures[0].0, events, &what);
                assert_eq!(&futures[0].1, end, "{what}");
            }
        }
    }
}

/// A snapshot carries into another machine.
#[test]
fn a_snapshot_moves_to_another_machine() {
    for image in images() {
        let mut a = bench(&image, EventClass::all());
        let half = whole(&image, EventClass::all()).machine.boundary().icount / 2;
        a.machine.run(Until::Icount(half));
        let snapshot = a.machine.snapshot();
        a.forget_events();
        a.machine.run(Until::Never);
        let mut b = bench(&image, EventClass::all());
        b.machine.restore(&snapshot);
        b.machine.run(Until::Never);
        assert_same(&a.events(), &b.events(), &image.name);
        assert_eq!(end(&a), end(&b));
    }
}

/// Schedules are part of the moment: an injection that is still to come comes in each future.
#[test]
fn a_mark_has_its_schedule() {
    let image = assemble(MIXED, MIXED_REST);
    let mut b = bench(&image, EventClass::NMI | EventClass::FAULT);
    b = b.schedule(&["--nmi at=gp_entry", "--nmi at=user_start"]);
    b.run_to("pf_entry");
    let mark = b.machine.mark();
    b.forget_events();
    b.machine.run(Until::Never);
    let first = b.events();
    assert_eq!(b.deliveries().len(), 3);
    b.machine.rewind(&mark);
    b.forget_events();
    b.machine.run(Until::Never);
    assert_same(&first, &b.events(), "the second future");
}
