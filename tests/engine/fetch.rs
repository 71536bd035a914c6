//! Fetches: Unicorn translates past what runs, and refusals come before their time.
//!
//! An instruction fetch faults when the instruction is reached, after every earlier instruction
//! has retired or faulted (SDM vol. 3, 6.5 "faults" and 6.9). The engine may say `Fetch` early; a step
//! from there then goes on.

use crate::support::{Bench, CODE, PAGE, data};
use iretrace::arch::AccessKind;
use iretrace::engine::{Cause, Guard, RunOptions};

const NEXT: u64 = CODE + PAGE;

/// `code` ends where its page ends; the next page is absent.
fn before_absent_page(code: &[u8]) -> Bench {
    let mut bench = Bench::at(NEXT - code.len() as u64, code);
    bench.pages.absent.insert(NEXT);
    bench
}

#[track_caller]
fn assert_fetch(cause: &Cause, page: u64) {
    assert!(
        matches!(cause, Cause::Fetch { page: p } if p.0 == page),
        "{cause:?}"
    );
}

#[test]
fn everything_before_an_absent_page_executes() {
    // inc rax; inc rax; nop; nop
    let mut bench = before_absent_page(&[0x48, 0xff, 0xc0, 0x48, 0xff, 0xc0, 0x90, 0x90]);
    let start = bench.regs.rip;
    let exit = bench.run(100);
    assert_fetch(&exit.cause, NEXT);
    let done = bench.engine.icount();
    assert!(done == 0 && bench.regs.rip == start || done == 4 && bench.regs.rip == NEXT);
    let exit = bench.advance(100);
    assert_fetch(&exit.cause, NEXT);
    assert_eq!(
        (bench.regs.rip, bench.regs.gpr[0], bench.engine.icount()),
        (NEXT, 2, 4)
    );
    // Asking again changes nothing, and once it is there it goes on, without a flush.
    assert_fetch(&bench.step().cause, NEXT);
    assert_eq!(bench.engine.icount(), 4);
    bench.pages.absent.clear();
    bench.write(NEXT, &[0x48, 0xff, 0xc0, 0xf4]);
    assert!(matches!(bench.run(100).cause, Cause::Intercept(_)));
    assert_eq!((bench.regs.gpr[0], bench.engine.icount()), (3, 5));
}

#[test]
fn a_load_that_faults_goes_before_the_absent_page() {
    // inc rax; mov rbx, [0xa000]; nop; nop
    let code = [
        0x48, 0xff, 0xc0, 0x48, 0x8b, 0x1c, 0x25, 0x00, 0xa0, 0, 0, 0x90, 0x90,
    ];
    let mut bench = before_absent_page(&code);
    let start = bench.regs.rip;
    bench.pages.absent.insert(0xa000);
    let exit = bench.advance(100);
    assert_eq!(data(&exit), (0xa000, AccessKind::Read));
    assert_eq!((bench.regs.rip, bench.engine.icount()), (start + 3, 1));
    bench.pages.absent.remove(&0xa000);
    assert_fetch(&bench.advance(100).cause, NEXT);
    assert_eq!((bench.regs.rip, bench.engine.icount()), (NEXT, 4));
}

#[test]
fn a_branch_away_from_the_page_end_never_needs_the_next_page() {
    // mov ecx, 9; L: dec ecx; jnz L; nop; hlt
    let mut bench = before_absent_page(&[0xb9, 9, 0, 0, 0, 0xff, 0xc9, 0x75, 0xfc, 0x90, 0xf4]);
    let exit = bench.advance(1000);
    assert!(matches!(exit.cause, Cause::Intercept(_)), "{exit:?}");
    assert_eq!(
        (bench.regs.rip, bench.engine.icount()),
        (NEXT - 1, 1 + 2 * 9 + 1)
    );
}

#[test]
fn an_intercepted_instruction_is_reached_before_the_absent_page() {
    // inc rax; rdtsc; nop: RDTSC ends no block.
    let mut bench = before_absent_page(&[0x48, 0xff, 0xc0, 0x0f, 0x31, 0x90]);
    let exit = bench.advance(100);
    assert!(matches!(exit.cause, Cause::Intercept(_)), "{exit:?}");
    assert_eq!((bench.regs.rip, bench.engine.icount()), (NEXT - 3, 1));
}

#[test]
fn an_instruction_across_the_page_end_faults_at_its_own_address() {
    // mov eax, 0x12345678 with 1 to 4 of its bytes in the first page
    let code = [0xb8, 0x78, 0x56, 0x34, 0x12, 0xf4];
    for inside in 1..5 {
        let start = NEXT - inside;
        for nops in [0, 3] {
            let mut bench = Bench::at(start, &code);
            bench.write(start - nops, &vec![0x90; nops as usize]);
            bench.regs.rip = start - nops;
            bench.pages.absent.insert(NEXT);
            let exit = bench.advance(100);
            assert_fetch(&exit.cause, NEXT);
            assert_eq!(
                (bench.regs.rip, bench.regs.gpr[0], bench.engine.icount()),
                (start, 0, nops)
            );
            bench.pages.absent.clear();
            assert!(matches!(bench.advance(100).cause, Cause::Intercept(_)));
            assert_eq!(
                (bench.regs.gpr[0], bench.engine.icount()),
                (0x1234_5678, nops + 1)
            );
        }
    }
}

#[test]
fn a_page_that_may_not_be_executed_is_refused_to_fetches_alone() {
    // mov rax, [NEXT]; nop
    let mut bench = Bench::at(NEXT - 9, &[0x48, 0x8b, 0x04, 0x25, 0, 0x50, 0, 0, 0x90]);
    bench.write(NEXT, &[0xf4]);
    bench.pages.no_exec.insert(NEXT);
    assert_fetch(&bench.advance(100).cause, NEXT);
    assert_eq!(
        (bench.regs.rip, bench.regs.gpr[0], bench.engine.icount()),
        (NEXT, 0xf4, 2)
    );
}

#[test]
fn a_branch_to_an_absent_page_retires_before_the_fault() {
    // jmp [rbx]; the target's fetch faults, with the target as RIP
    let mut bench = Bench::new(&[0x90, 0xff, 0x23]);
    bench.regs.gpr[3] = 0x8000;
    bench.write(0x8000, &0xa123u64.to_le_bytes());
    bench.pages.absent.insert(0xa000);
    assert_fetch(&bench.advance(100).cause, 0xa000);
    assert_eq!((bench.regs.rip, bench.engine.icount()), (0xa123, 2));
}

#[test]
fn a_near_branch_to_a_non_canonical_address_faults_itself() {
    // SDM vol. 2, JMP, RET, CALL: #GP(0) where the target is not canonical. RSP stays.
    let bad = 0x0000_8000_0000_0000u64;
    for (name, code) in [
        ("jmp rax", &[0x90u8, 0xff, 0xe0][..]),
        ("jmp [0x8000]", &[0x90, 0xff, 0x24, 0x25, 0, 0x80, 0, 0]),
        ("ret", &[0x90, 0xc3]),
        ("ret 16", &[0x90, 0xc2, 16, 0]),
        ("call rax", &[0x90, 0xff, 0xd0]),
        ("call [0x8000]", &[0x90, 0xff, 0x14, 0x25, 0, 0x80, 0, 0]),
    ] {
        for step in [false, true] {
            let mut bench = Bench::new(code);
            bench.regs.gpr[0] = bad;
            bench.regs.gpr[4] = 0x8000;
            bench.write(0x8000, &bad.to_le_bytes());
            bench.write(0x7ff8, &[0x5a; 8]);
            let exit = if step {
                bench.step();
                bench.step()
            } else {
                bench.run(100)
            };
            assert!(
                matches!(
                    exit.cause,
                    Cause::NonCanonicalTarget(_) | Cause::Guard(_, _)
                ),
                "{name}: {exit:?}"
            );
            assert_eq!(
                (bench.regs.rip, bench.engine.icount(), bench.regs.gpr[4]),
                (CODE + 1, 1, 0x8000),
                "{name}"
            );
            assert_eq!(
                bench.bytes(0x7ff8, 8),
                [0x5a; 8],
                "{name}: nothing is pushed"
            );
        }
    }
}

#[test]
fn a_direct_call_past_the_canonical_end_pushes_nothing() {
    // call +0x1000 on the last page of the lower half, by 5 bytes; SDM vol. 2, CALL
    let top = 0x0000_7fff_ffff_f000u64;
    for (displacement, astray) in [(0x1000u32, true), (0x100, false)] {
        for step in [false, true] {
            let mut bench = Bench::new(&[]);
            bench.write(CODE, &[0x90, 0xe8]);
            bench.write(CODE + 2, &displacement.to_le_bytes());
            bench.write(CODE + 0x106, &[0xf4]);
            bench.pages.moved.insert(top, CODE);
            bench.regs.rip = top;
            let exit = if step {
                bench.step();
                bench.step()
            } else {
                bench.run(100)
            };
            let state = (bench.regs.rip, bench.engine.icount(), bench.regs.gpr[4]);
            if astray {
                assert!(
                    matches!(
                        exit.cause,
                        Cause::NonCanonicalTarget(_) | Cause::Guard(_, Guard::CallTarget)
                    ),
                    "{exit:?}"
                );
                assert_eq!(state, (top + 1, 1, 0x9000));
            } else {
                assert_eq!(state, (top + 0x106, 2, 0x8ff8), "{exit:?}");
            }
        }
    }
}

#[test]
fn an_instruction_that_begins_with_the_last_address_is_told() {
    // Linear addresses wrap (SDM vol. 3, 3.3.7.1: canonical on both sides of 0): nop at the last
    // one; nop, hlt from 0 on.
    let top = 0u64.wrapping_sub(PAGE);
    let mut bench = Bench::at(!0 % PAGE + CODE, &[0x90]);
    bench.write(0, &[0x90, 0xf4]);
    bench.pages.moved.insert(top, CODE);
    bench.regs.rip = !0;
    for rip in [0, 1] {
        let exit = bench.with(RunOptions {
            step: true,
            trace: true,
            ..RunOptions::default()
        });
        assert!(matches!(exit.cause, Cause::Stepped), "{exit:?}");
        assert_eq!(bench.regs.rip, rip);
    }
    assert_eq!(bench.pages.instructions, [(!0, 0), (0, 1)]);
}
