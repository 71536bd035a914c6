//! Stores and stack accesses that fault: nothing of the instruction is done (SDM vol. 3, 6.6: a fault
//! restores the state before the instruction).

use crate::support::{Bench, CODE, data};
use iretrace::arch::AccessKind;
use iretrace::engine::{Cause, Guard, RunOptions};

const FIRST: u64 = 0xa000;
const SECOND: u64 = 0xb000;

/// Runs one instruction on two pages of 0x5a with `absent` taken away, and proves that it changed
/// nothing.
#[track_caller]
fn refused(name: &str, code: &[u8], absent: u64, prepare: impl Fn(&mut Bench)) -> Cause {
    let mut cause = None;
    for step in [false, true] {
        let mut bench = Bench::new(&[code, &[0xf4]].concat());
        bench.write(FIRST, &[0x5a; 0x2000]);
        bench.pages.absent.insert(absent);
        prepare(&mut bench);
        let before = bench.regs.clone();
        let exit = if step { bench.step() } else { bench.run(1) };
        assert_eq!(bench.regs, before, "{name}: {exit:?}");
        assert_eq!(bench.engine.icount(), 0, "{name}: {exit:?}");
        assert!(
            bench.bytes(FIRST, 0x2000).iter().all(|&b| b == 0x5a),
            "{name}: a part of it was done: {exit:?}"
        );
        cause = Some(exit.cause);
    }
    cause.expect("two runs")
}

#[track_caller]
fn page(name: &str, cause: &Cause) -> (u64, AccessKind) {
    match cause {
        Cause::Data { page, kind } => (page.0, *kind),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn a_store_of_up_to_eight_bytes_over_a_page_end_leaves_nothing() {
    for (name, code, size) in [
        ("mov [rbx], rax", &[0x48, 0x89, 0x03][..], 8),
        ("mov [rbx], eax", &[0x89, 0x03], 4),
        ("mov [rbx], ax", &[0x66, 0x89, 0x03], 2),
        ("movnti [rbx], rax", &[0x48, 0x0f, 0xc3, 0x03], 8),
        ("movq [rbx], xmm0", &[0x66, 0x0f, 0xd6, 0x03], 8),
        ("fstp qword [rbx]", &[0xdd, 0x1b], 8),
        ("fistp qword [rbx]", &[0xdf, 0x3b], 8),
        ("stosq", &[0x48, 0xab], 8),
    ] {
        for inside in 1..size {
            for absent in [FIRST, SECOND] {
                let cause = refused(name, code, absent, |bench| {
                    bench.regs.gpr[3] = SECOND - inside;
                    bench.regs.gpr[7] = SECOND - inside;
                });
                assert_eq!(page(name, &cause), (absent, AccessKind::Write), "{name}");
            }
        }
    }
}

#[test]
fn a_wider_store_over_a_page_end_is_stopped_before() {
    for (name, code, size) in [
        ("movups [rbx], xmm0", &[0x0f, 0x11, 0x03][..], 16),
        ("movdqu [rbx], xmm0", &[0xf3, 0x0f, 0x7f, 0x03], 16),
        ("movupd [rbx], xmm0", &[0x66, 0x0f, 0x11, 0x03], 16),
        ("fstp tbyte [rbx]", &[0xdb, 0x3b], 10),
        ("fbstp [rbx]", &[0xdf, 0x33], 10),
        ("fnstenv [rbx]", &[0xd9, 0x33], 28),
        ("fnsave [rbx]", &[0xdd, 0x33], 108),
    ] {
        for inside in [1, 2, 5, size / 2, size - 1] {
            let cause = refused(name, code, SECOND, |bench| {
                bench.regs.gpr[3] = SECOND - inside;
            });
            assert!(
                matches!(cause, Cause::Guard(_, Guard::WideStore)),
                "{name}: {cause:?}"
            );
        }
    }
    for (name, code) in [
        ("fxsave [rbx]", &[0x0f, 0xae, 0x03][..]),
        ("fxsave64 [rbx]", &[0x48, 0x0f, 0xae, 0x03]),
    ] {
        for inside in (16..512).step_by(48) {
            let cause = refused(name, code, SECOND, |bench| {
                bench.regs.gpr[3] = SECOND - inside;
            });
            assert!(matches!(cause, Cause::Guard(..)), "{name}: {cause:?}");
        }
    }
}

#[test]
fn a_store_that_the_caller_has_looked_at_runs_across_the_pages() {
    // movups [rbx], xmm0, and within a page nobody is asked
    let value: [u8; 16] = std::array::from_fn(|n| n as u8 + 1);
    for (at, guarded) in [
        (SECOND - 5, true),
        (SECOND - 16, false),
        (SECOND + 3, false),
    ] {
        let mut bench = Bench::new(&[0x0f, 0x10, 0x01, 0x0f, 0x11, 0x03, 0xf4]);
        bench.write(0x8000, &value);
        bench.regs.gpr[1] = 0x8000;
        bench.regs.gpr[3] = at;
        let exit = bench.run(2);
        assert_eq!(matches!(exit.cause, Cause::Guard(..)), guarded, "{exit:?}");
        if guarded {
            assert_eq!((bench.regs.rip, bench.engine.icount()), (CODE + 3, 1));
            let exit = bench.with(RunOptions {
                step: true,
                force: true,
                ..RunOptions::default()
            });
            assert!(matches!(exit.cause, Cause::Stepped), "{exit:?}");
        }
        assert_eq!(
            (bench.bytes(at, 16), bench.engine.icount()),
            (value.into(), 2)
        );
    }
}

#[test]
fn operands_that_must_be_aligned_are_stopped_before() {
    // SDM vol. 2: #GP(0) if not aligned on a 16-byte boundary.
    for (name, code) in [
        ("movaps [rbx], xmm0", &[0x0f, 0x29, 0x03][..]),
        ("movaps xmm0, [rbx]", &[0x0f, 0x28, 0x03]),
        ("movdqa [rbx], xmm0", &[0x66, 0x0f, 0x7f, 0x03]),
        ("movntps [rbx], xmm0", &[0x0f, 0x2b, 0x03]),
        ("addps xmm0, [rbx]", &[0x0f, 0x58, 0x03]),
        ("cmpxchg16b [rbx]", &[0x48, 0x0f, 0xc7, 0x0b]),
        ("fxsave [rbx]", &[0x0f, 0xae, 0x03]),
    ] {
        for offset in [1, 4, 8, 15] {
            let cause = refused(name, code, SECOND, |bench| {
                bench.regs.gpr[3] = FIRST + 0x100 + offset;
            });
            assert!(
                matches!(cause, Cause::Guard(_, Guard::Alignment)),
                "{name}: {cause:?}"
            );
        }
    }
}

const RMW: [(&str, &[u8]); 13] = [
    ("inc dword [rbx]", &[0xff, 0x03]),
    ("lock inc dword [rbx]", &[0xf0, 0xff, 0x03]),
    ("add [rbx], rax", &[0x48, 0x01, 0x03]),
    ("lock add [rbx], rax", &[0xf0, 0x48, 0x01, 0x03]),
    ("adc [rbx], rax", &[0x48, 0x11, 0x03]),
    ("xchg [rbx], rax", &[0x48, 0x87, 0x03]),
    ("lock xadd [rbx], rax", &[0xf0, 0x48, 0x0f, 0xc1, 0x03]),
    ("lock cmpxchg [rbx], rcx", &[0xf0, 0x48, 0x0f, 0xb1, 0x0b]),
    ("cmpxchg [rbx], rcx", &[0x48, 0x0f, 0xb1, 0x0b]),
    ("lock bts [rbx], eax", &[0xf0, 0x0f, 0xab, 0x03]),
    ("shl qword [rbx], 3", &[0x48, 0xc1, 0x23, 3]),
    ("not qword [rbx]", &[0x48, 0xf7, 0x13]),
    ("lock cmpxchg16b [rbx]", &[0xf0, 0x48, 0x0f, 0xc7, 0x0b]),
];

#[test]
fn a_read_modify_write_asks_to_read_first() {
    // So the error code's W bit must come from decoding.
    for (name, code) in RMW {
        let cause = refused(name, code, FIRST, |bench| bench.regs.gpr[3] = FIRST);
        if !matches!(cause, Cause::Guard(..)) {
            assert_eq!(page(name, &cause), (FIRST, AccessKind::Read), "{name}");
        }
    }
}

#[test]
fn a_read_modify_write_of_a_read_only_page_changes_nothing() {
    for (name, code) in RMW {
        let cause = refused(name, code, SECOND, |bench| {
            bench.regs.gpr[3] = FIRST;
            bench.pages.read_only.insert(FIRST);
        });
        if !matches!(cause, Cause::Guard(..)) {
            assert_eq!(page(name, &cause), (FIRST, AccessKind::Write), "{name}");
        }
    }
}

#[test]
fn stack_instructions_that_fault_leave_rsp_and_rbp() {
    use AccessKind::{Read, Write};
    for (name, code, kind) in [
        ("push rax", &[0x50][..], Write),
        ("push imm", &[0x68, 1, 2, 3, 4], Write),
        ("push [rcx]", &[0xff, 0x31], Write),
        ("pushfq", &[0x9c], Write),
        ("call", &[0xe8, 0, 0, 0, 0], Write),
        ("call rdx", &[0xff, 0xd2], Write),
        ("call [rcx]", &[0xff, 0x11], Write),
        ("enter 16, 0", &[0xc8, 16, 0, 0], Write),
        ("enter 16, 3", &[0xc8, 16, 0, 3], Write),
        ("pop rax", &[0x58], Read),
        ("pop rsp", &[0x5c], Read),
        ("pop [rcx]", &[0x8f, 0x01], Read),
        ("ret", &[0xc3], Read),
        ("ret 8", &[0xc2, 8, 0], Read),
        ("leave", &[0xc9], Read),
    ] {
        // On the page, and over its end.
        for rsp in [SECOND + 0x100, SECOND + 4] {
            // A read goes upwards from RSP: let it reach the page from below, too.
            let rsp = if kind == Read && rsp == SECOND + 4 {
                SECOND - 4
            } else {
                rsp
            };
            let cause = refused(name, code, SECOND, |bench| {
                bench.regs.gpr[4] = rsp;
                bench.regs.gpr[5] = if name.starts_with("enter") {
                    0x8800
                } else {
                    rsp
                };
                bench.regs.gpr[1] = 0x8000;
                bench.regs.gpr[2] = CODE + 0x100;
                bench.write(0x8000, &(CODE + 0x100).to_le_bytes());
            });
            assert_eq!(page(name, &cause), (SECOND, kind), "{name}, RSP {rsp:#x}");
        }
    }
}

#[test]
fn a_pop_to_memory_that_faults_leaves_rsp() {
    // pop qword [rbx]; the stack is there, the destination is not
    let cause = refused("pop [rbx]", &[0x8f, 0x03], SECOND, |bench| {
        bench.regs.gpr[3] = SECOND;
    });
    assert_eq!(page("pop [rbx]", &cause), (SECOND, AccessKind::Write));
    // push qword [rbx], with RBX computed from RSP by pop [rsp]: SDM vol. 2, POP: the address uses
    // RSP after the increment
    let mut bench = Bench::new(&[0x8f, 0x04, 0x24, 0xf4]);
    bench.pages.absent.insert(SECOND);
    bench.regs.gpr[4] = SECOND - 8;
    assert_eq!(data(&bench.run(9)), (SECOND, AccessKind::Write));
    assert_eq!(bench.regs.gpr[4], SECOND - 8);
}

#[test]
fn rep_stores_stop_between_iterations_and_go_on() {
    // rep movsq over a page end that is not at an element's end (SDM vol. 2, REP: registers are
    // those of the last iteration that was done)
    let mut bench = Bench::new(&[0xf3, 0x48, 0xa5, 0xf4]);
    let text: Vec<u8> = (0..64).collect();
    bench.write(0x8000, &text);
    bench.pages.absent.insert(SECOND);
    bench.regs.gpr[1] = 8;
    bench.regs.gpr[6] = 0x8000;
    bench.regs.gpr[7] = SECOND - 20;
    let exit = bench.run(9);
    assert_eq!(data(&exit), (SECOND, AccessKind::Write));
    assert_eq!(exit.rep_iterations, 2);
    assert_eq!(
        (bench.regs.gpr[1], bench.regs.gpr[6], bench.regs.gpr[7]),
        (6, 0x8010, SECOND - 4)
    );
    assert_eq!(bench.bytes(SECOND - 4, 4), [0; 4]);
    assert_eq!((bench.regs.rip, bench.engine.icount()), (CODE, 0));
    bench.pages.absent.clear();
    assert!(matches!(bench.run(9).cause, Cause::Intercept(_)));
    assert_eq!(bench.bytes(SECOND - 20, 64), text);
    assert_eq!(bench.engine.icount(), 1);
}
