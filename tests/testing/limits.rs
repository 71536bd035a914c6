//! Runs that are longer than what is kept of them, or that never end: they fail, and say why.

use iretrace::arch::Vector;
use iretrace::testing::expect::EndWanted;
use iretrace::testing::{Case, End, Expectation, Gate, Raise, Until};

use crate::support::*;

fn nmi(body: &str) -> Case {
    let source = format!("nmi:\n{body}\n.bss\n.balign 4096\nbuffer: .skip 0x20000\n");
    Case::new(&program(&source))
        .gate(Gate::new(Vector::NMI, "nmi").ist(1))
        .raise(Raise::nmi())
}

const FILL: &str = "
    push %rax; push %rcx; push %rdi
    lea buffer(%rip), %rdi
    mov $COUNT, %ecx
    cld
    rep stosb
    pop %rdi; pop %rcx; pop %rax
    iretq";

fn fill(count: u32) -> Case {
    nmi(&FILL.replace("COUNT", &count.to_string()))
        .expect(Expectation::writes_within(&[("buffer", 0x20000)]))
}

#[test]
fn stores_that_are_not_kept_cannot_be_said_to_be_within() {
    // Beside the three pushes.
    fill(65_533).assert();
    let failure = failure(&fill(65_534)).to_string();
    let words = "1 more stores than the 65,536 that are kept";
    assert!(failure.contains(words), "{failure}");
}

#[test]
fn calls_that_are_not_kept_cannot_be_said_to_be_aligned() {
    let calls = |n: u32| {
        nmi(&format!(
            "push %rcx\n push %rcx\n mov ${n}, %ecx\n 1: call f\n dec %ecx\n jnz 1b\n pop %rcx\n \
             pop %rcx\n iretq\n f: ret"
        ))
        .limit(1_000_000)
    };
    let aligned = || Expectation::Aligned(Vec::new());
    // RSP is 8 modulo 16 at each: one CALL, named once.
    let found = failure(&calls(65_536).expect(aligned()));
    assert_eq!(found.problems.len(), 1, "{found}");
    let found = failure(&calls(65_537).expect(aligned())).to_string();
    let words = "1 more calls than the 65,536 that are kept";
    assert!(found.contains(words), "{found}");
}

/// Each CALL pushes more, so that each is at another RSP.
#[test]
fn a_call_that_recurses_is_named_once() {
    let recurse = nmi("call f\n iretq\n f: push %rax\n call f");
    let found = failure(
        &recurse
            .expect(Expectation::Aligned(Vec::new()))
            .limit(1_000)
            .until(Until::Stop),
    );
    let misaligned = found
        .problems
        .iter()
        .filter(|p| p.text.contains("misaligned"));
    assert!(misaligned.count() <= 2, "{found}");
}

#[test]
fn iterations_of_rep_store_too() {
    let down = FILL
        .replace("lea buffer", "lea buffer+64")
        .replace("COUNT", "65")
        .replace("cld", "std");
    let case = nmi(&down).expect(Expectation::writes_within(&[("buffer", 64)]));
    let failure = failure(&case).to_string();
    assert!(
        failure.contains("stores 1 bytes to buffer+0x40"),
        "{failure}"
    );
}

/// A store of 16 bytes that begins and ends within, with a hole between.
#[test]
fn each_byte_of_a_store_counts() {
    let case = nmi("movups %xmm0, buffer(%rip)\n iretq");
    case.clone()
        .expect(Expectation::writes_within(&[
            ("buffer", 8),
            ("buffer+8", 8),
        ]))
        .assert();
    let holed = Expectation::writes_within(&[("buffer", 4), ("buffer+12", 4)]);
    let failure = failure(&case.expect(holed)).to_string();
    assert!(failure.contains("stores 16 bytes to buffer"), "{failure}");
}

/// Each #PF is for its own handler, on a stack that begins anew: no instruction ever retires.
fn endless() -> Case {
    Case::new(&program("h: iretq"))
        .gate(Gate::new(Vector::PF, 0xdead_0000_u64).ist(1))
        .raise(Raise::page_fault(0x1000, 0))
}

#[test]
fn deliveries_without_end_are_no_return() {
    let run = endless().run().unwrap();
    assert_eq!(*run.end(), End::TooDeep);
    let failure = failure(&endless().expect(Expectation::Ends(EndWanted::Returned)));
    let words = "never returns: more than 4,096 events are open at once";
    assert!(failure.headline().contains(words), "{failure}");
}

/// After the return, an interrupted code that faults for ever: the limit ends it.
#[test]
fn boundaries_without_instructions_are_limited() {
    let program = program("nmi: iretq");
    let run = Case::new(&program)
        .gate(Gate::new(Vector::NMI, "nmi").ist(2))
        .gate(Gate::new(Vector::PF, 0xdead_0000_u64).ist(1))
        .context(iretrace::testing::Context::kernel().at("kernel_code+0xffe"))
        .unmap("kernel_code", 1)
        .raise(Raise::nmi())
        .until(Until::Stop)
        .limit(1_000)
        .run()
        .unwrap();
    assert_eq!(*run.end(), End::Limit);
}

/// Nothing is delivered, so that nothing is tried.
#[test]
fn what_is_never_tried_has_not_survived() {
    let case = Case::new(&program("h: cli\n hlt"))
        .context(iretrace::testing::Context::kernel().at("h"))
        .until(Until::Stop)
        .expect(Expectation::Ends(EndWanted::Halted))
        .expect(Expectation::survives_nmi());
    let failure = failure(&case).to_string();
    assert!(failure.contains("nmi is never tried"), "{failure}");
}

/// An NMI between a CALL and its function's first instruction is no second call.
#[test]
fn a_call_that_is_interrupted_is_one() {
    let run = Case::new(&program("irq: push %rax\n call outside\n pop %rax\n iretq"))
        .handler(Vector(0x30), "irq")
        .quiet(Vector::NMI)
        .raise(Raise::interrupt(0x30))
        .inject("--nmi at=outside".parse().unwrap());
    let run = run.run().unwrap();
    assert_eq!(run.seen().deliveries.len(), 2);
    assert_eq!(run.calls("outside").len(), 1);
}

/// More events than are kept: the line that the guest prints at last is not among them.
#[test]
fn events_that_are_not_kept_cannot_be_looked_for() {
    let source = "nmi: lea buffer(%rip), %rsi\n mov $0x40000, %ecx\n mov $0x80, %edx\n cld\n \
                  rep outsb\n iretq\n.bss\nbuffer: .skip 0x40000\n";
    let case = Case::new(&program(source))
        .gate(Gate::new(Vector::NMI, "nmi").ist(1))
        .raise(Raise::nmi());
    let mut run = case.run().unwrap();
    for expected in [
        Expectation::Console("done".to_owned()),
        Expectation::Golden(run.trace()),
    ] {
        let failure = run
            .check_all(&[expected])
            .unwrap()
            .expect("it fails")
            .to_string();
        assert!(
            failure.contains(" more events than the 262,144 that are kept"),
            "{failure}"
        );
        assert!(
            failure.contains(" more events, which are not kept"),
            "{failure}"
        );
    }
}

/// The code around a place that no instruction before it leads to.
#[test]
fn code_that_overlaps_other_code_is_shown() {
    // The interrupt comes one byte into the MOV: 0xf4 is HLT there.
    let source = "irq: jmp irq2+1\n irq2: mov $0xf4f4f4f4, %eax\n iretq\n";
    let case = Case::new(&program(source))
        .handler(Vector(0x30), "irq")
        .raise(Raise::interrupt(0x30));
    let failure = failure(&case.expect(Expectation::Ends(EndWanted::Returned)));
    assert!(failure.code.contains("> irq2+0x"), "{failure}");
    assert!(failure.code.contains("hlt"), "{failure}");
}

#[test]
fn an_injection_that_never_comes_is_no_test() {
    let case = nmi("iretq").inject("--nmi icount=1000000".parse().unwrap());
    let failure = failure(&case);
    assert!(
        failure.headline().contains("icount=1000000 was never due"),
        "{failure}"
    );
}

/// Expectations about what did not come about, or cannot be seen, do not hold.
#[test]
fn what_cannot_be_compared_does_not_hold() {
    let said = |case: Case, words: &str| {
        let failure = failure(&case).to_string();
        assert!(failure.contains(words), "{failure}");
    };
    let early = nmi("nop\n inner: nop\n iretq").until(Until::Place("inner".into()));
    let restored = Expectation::Restored(iretrace::testing::Restored::default());
    said(early.expect(restored), "is not resumed before the run ends");
    let alone = Case::new(&program("h: cli\n hlt"))
        .context(iretrace::testing::Context::kernel().at("h"))
        .until(Until::Stop);
    let blocked = Expectation::Nmi {
        before: Some(false),
        after: None,
    };
    said(alone.expect(blocked), "nothing was delivered");
    let own = nmi("iretq").stack(1, "buffer+0x1000");
    own.assert();
    said(
        own.expect(Expectation::StackDepth(4096)),
        "on none of the harness's",
    );
}
