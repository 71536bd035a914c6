//! Every trigger of the schedule's grammar, on small programs.

use iretrace::arch::{Vector, VirtAddr};
use iretrace::machine::{StopReason, Until};
use iretrace::trace::{EventKind, HeldBy};

use crate::support::*;

const LOOP: &str = "gate NMI, nmi_entry, ist=1
    mov ebx, 3
    first: nop
    again: dec ebx
    jnz again
    mov [saved], rbx
    last: nop";

fn run(schedule: &[&str]) -> Bench {
    Bench::new(LOOP, "").schedule(schedule).succeed()
}

fn icount_of(place: &str) -> u64 {
    Bench::new(LOOP, "").run_to(place)
}

/// What a run leaves that a correct NMI handler must not change.
fn outcome(b: &Bench) -> (u64, [u64; 16], u64) {
    let r = &b.machine.cpu().regs;
    (b.quad("saved"), r.gpr, r.rflags)
}

#[test]
fn at_an_arrival() {
    let b = run(&["--nmi at=again#2"]);
    assert_eq!(b.frames(), [(NMI, b.at("again"))]);
    let n = icount_of("again");
    // The second arrival: two instructions later.
    let raised = b
        .events()
        .into_iter()
        .find(|e| matches!(e.kind, EventKind::NmiRaised { .. }));
    assert_eq!(raised.map(|e| e.at.icount), Some(n + 2));
    let at = b.at("last");
    assert_eq!(run(&[&format!("--nmi at={at:#x}")]).frames(), [(NMI, at)]);
}

/// The return to the place is an arrival of its own.
#[test]
fn the_return_arrives_again() {
    let b = run(&["--nmi at=last", "--nmi at=last#2", "--nmi at=last#3"]);
    let last = b.at("last");
    assert_eq!(b.frames(), [(NMI, last); 3]);
}

#[test]
fn at_an_instruction_count() {
    let n = icount_of("first");
    let b = run(&[
        &format!("--nmi icount={n}"),
        &format!("--nmi icount={}", n + 4),
    ]);
    assert_eq!(b.frames()[0], (NMI, b.at("first")));
    // The handler's two instructions count: FIRST, INC, IRETQ, NOP, DEC.
    assert_eq!(b.frames()[1], (NMI, b.at("again") + 2));
}

#[test]
fn after_a_delivery_and_before_an_iret() {
    for (when, rip) in [
        ("after=nmi#1", "nmi_entry"),
        ("before=iret#1", "nmi_return"),
    ] {
        let b = run(&["--nmi at=first", &format!("--nmi {when}")]);
        let first = b.at("first");
        assert_eq!(b.frames(), [(NMI, first), (NMI, first)], "{when}");
        let held_by = HeldBy::Blocked;
        let latched = b
            .events()
            .into_iter()
            .find(|e| e.kind == EventKind::NmiLatched { held_by });
        assert_eq!(latched.map(|e| e.rip.0), Some(b.at(rip)), "{when}");
    }
}

/// One NMI at each boundary of the program: what it computes is the same.
#[test]
fn one_nmi_at_any_boundary_does_no_harm() {
    let plain = outcome(&run(&[]));
    let (from, to) = (icount_of("first"), icount_of("last"));
    assert_eq!(to - from, 1 + 2 * 3 + 1);
    for n in from..=to {
        let b = run(&[&format!("--nmi icount={n}")]);
        assert_eq!((b.quad("nmis"), outcome(&b)), (1, plain), "{n}");
        assert_eq!(b.frames().len(), 1, "{n}");
    }
}

/// A handler of two instructions, and an NMI every three: one before each instruction.
#[test]
fn an_nmi_before_every_instruction() {
    let plain = run(&[]);
    let (from, to) = (icount_of("first"), icount_of("last"));
    let mut b = Bench::new(LOOP, "").schedule(&["--nmi every=3,from=first"]);
    b.run_to("last");
    let program = to - from;
    // One at `last` too, before the run ended there.
    assert_eq!(b.frames().len() as u64, program + 1);
    assert_eq!(b.machine.boundary().icount, to + 2 * (program + 1));
    assert_eq!(b.count(|k| *k == EventKind::NmiMerged), 0);
    assert_eq!(b.machine.cpu().regs.gpr[3], plain.machine.cpu().regs.gpr[3]);
}

/// An NMI at every instruction count leaves the program no room: one is always latched when the
/// handler returns. Every other one is merged.
#[test]
fn an_nmi_at_every_count_starves_the_program() {
    let n = icount_of("first");
    let mut config = of(iretrace::arch::Vendor::Intel);
    config.max_insns = n + 20;
    let mut b = Bench::with(LOOP, "", config).schedule(&["--nmi every=1,from=first"]);
    let stop = b.machine.run(Until::Never);
    assert_eq!(stop, StopReason::Limit { max_insns: n + 20 });
    let first = b.at("first");
    // At n, n + 2, ... n + 18; and n + 20 has been reached by IRETQ, where the run ends.
    assert_eq!(b.frames(), [(NMI, first); 10]);
    let raised = b.count(|k| matches!(k, EventKind::NmiRaised { .. }));
    // From n to n + 20, each once; those at n + 2, n + 4, ... find one latched.
    assert_eq!((raised, b.count(|k| *k == EventKind::NmiMerged)), (21, 10));
}

/// Each as soon as it can be latched: none is merged, and all are taken at the same place.
#[test]
fn a_storm() {
    let b = run(&["--nmi storm=4,from=first"]);
    assert_eq!(b.frames(), [(NMI, b.at("first")); 4]);
    assert_eq!(b.count(|k| *k == EventKind::NmiMerged), 0);
    assert_eq!(b.quad("nmis"), 4);
}

#[test]
fn two_nmis_at_one_boundary_are_one() {
    let b = run(&["--nmi at=last", "--nmi at=last"]);
    assert_eq!(b.frames(), [(NMI, b.at("last"))]);
    assert_eq!(b.count(|k| *k == EventKind::NmiMerged), 1);
}

/// An injected #PF is a fault of the instruction: RF = 1, CR2 written, the instruction is retried.
#[test]
fn an_injected_page_fault() {
    let b = Bench::new(
        "gate PF, pf_entry\nmov qword ptr [saved], 1\nhere: inc qword ptr [saved]",
        "pf_entry: mov rax, cr2\nadd rsp, 8\niretq",
    )
    .schedule(&["--exception page-fault@at=here,ec=0x2,addr=0x1234"])
    .succeed();
    let d = &b.deliveries()[0];
    assert_page_fault(d, 2, 0x1234);
    assert_eq!((d.pushed.rip.0, d.pushed.rflags.0 & RF), (b.at("here"), RF));
    assert_eq!(b.quad("saved"), 2);
    assert!(b.has(&EventKind::Cr2Read {
        value: VirtAddr(0x1234)
    }));
}

/// #MC with CR4.MCE = 0 shuts the processor down; with it the handler is called.
#[test]
fn a_machine_check() {
    let body = "here: nop";
    let mut b = Bench::new(body, "").schedule(&["--mce @at=here"]);
    assert_eq!(b.machine.run(Until::Never), StopReason::TripleFault);
    assert_eq!(b.frames(), []);
    let (b, d) = Bench::new(&format!("set_bits cr4, CR4_MCE\n{body}"), "")
        .schedule(&["--mce @at=here"])
        .fail();
    assert_eq!((d.id.vector, d.error_code), (Vector::MC, None));
    assert_eq!(d.pushed.rip.0, b.at("here"));
}

/// A masked interrupt waits until IF is set.
#[test]
fn a_masked_interrupt_waits() {
    let b = Bench::new(
        "gate IRQ, irq_entry\nhere: nop\nnop\nsti\nnop\nafter: nop",
        "irq_entry: iretq",
    )
    .schedule(&["--irq 0x21@at=here"])
    .succeed();
    assert_eq!(b.frames(), [(0x21, b.at("after"))]);
    assert_eq!(b.deliveries()[0].pushed.rflags.0 & 0x200, 0x200);
}

#[test]
fn what_never_came_is_noted() {
    let b = run(&["--nmi at=again#9"]);
    let notes = b.machine.notes();
    assert!(
        notes.iter().any(|n| n.contains("--nmi at=again#9")),
        "{notes:?}"
    );
}
