//! The instruction count, proved against single steps.

use crate::support::{Bench, CODE, PAGE};
use iretrace::engine::Cause;
use proptest::prelude::*;

/// Runs `code` (which ends in HLT) natively and by single steps, and compares everything.
fn compare(code: &[u8], prepare: impl Fn(&mut Bench)) -> u64 {
    let mut fast = Bench::new(code);
    prepare(&mut fast);
    let exit = fast.run(100_000);
    assert!(
        matches!(exit.cause, Cause::Intercept(_) | Cause::Limit),
        "{exit:?}"
    );
    let mut slow = Bench::new(code);
    prepare(&mut slow);
    let mut steps = 0u64;
    while steps < fast.engine.icount() {
        let exit = slow.step();
        assert!(
            matches!(exit.cause, Cause::Stepped),
            "{exit:?} at {:#x}",
            slow.regs.rip
        );
        if exit.rep_iterations == 0 {
            steps += 1;
        }
        assert_eq!(slow.engine.icount(), steps);
    }
    assert_eq!(fast.engine.icount(), steps);
    assert_eq!(fast.regs, slow.regs);
    assert_eq!(fast.bytes(0x8000, 0x2000), slow.bytes(0x8000, 0x2000));
    steps
}

#[test]
fn a_loop_is_counted() {
    // mov ecx, 5; L: inc rax; dec ecx; jnz L; nop; hlt
    let code = [
        0xb9, 5, 0, 0, 0, 0x48, 0xff, 0xc0, 0xff, 0xc9, 0x75, 0xf9, 0x90, 0xf4,
    ];
    assert_eq!(compare(&code, |_| {}), 1 + 3 * 5 + 1);
}

#[test]
fn a_limit_is_exact_at_every_instruction() {
    let code = [
        0xb9, 5, 0, 0, 0, 0x48, 0xff, 0xc0, 0xff, 0xc9, 0x75, 0xf9, 0x90, 0xf4,
    ];
    let mut stepped = Bench::new(&code);
    for limit in 1..=17 {
        let mut bench = Bench::new(&code);
        let exit = bench.run(limit);
        assert!(matches!(exit.cause, Cause::Limit), "{exit:?}");
        assert_eq!(bench.engine.icount(), limit);
        stepped.step();
        assert_eq!(bench.regs, stepped.regs, "after {limit} instructions");
    }
}

#[test]
fn a_branch_to_itself_is_counted_each_time() {
    // mov ecx, 7; loop .; hlt
    let code = [0xb9, 7, 0, 0, 0, 0xe2, 0xfe, 0xf4];
    assert_eq!(compare(&code, |_| {}), 1 + 7);
    for limit in 1..8 {
        let mut bench = Bench::new(&code);
        bench.run(limit);
        assert_eq!(
            (bench.engine.icount(), bench.regs.gpr[1]),
            (limit, 8 - limit)
        );
    }
}

#[test]
fn a_rep_instruction_counts_once() {
    // mov ecx, 9; mov edi, 0x8000; nop; rep stosb; inc rax; hlt
    let code = [
        0xb9, 9, 0, 0, 0, 0xbf, 0, 0x80, 0, 0, 0x90, 0xf3, 0xaa, 0x48, 0xff, 0xc0, 0xf4,
    ];
    assert_eq!(compare(&code, |_| {}), 5);
    let mut bench = Bench::new(&code);
    bench.run(3);
    assert_eq!(
        (bench.regs.rip, bench.regs.gpr[1]),
        (CODE + 11, 9),
        "before the first iteration"
    );
    bench.run(4);
    assert_eq!((bench.regs.rip, bench.regs.gpr[1]), (CODE + 13, 0));
}

#[test]
fn rep_iterations_are_stepped_one_by_one_and_the_last_one_once() {
    // rep movsb; hlt  (SDM vol. 1, 7.3.9.2: checked before each iteration)
    let mut bench = Bench::new(&[0xf3, 0xa4, 0xf4]);
    bench.regs.gpr[1] = 3;
    bench.regs.gpr[6] = 0x8000;
    bench.regs.gpr[7] = 0x8800;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let exit = bench.step();
        seen.push((
            bench.regs.gpr[1],
            exit.rep_iterations,
            bench.regs.rip - CODE,
            bench.engine.icount(),
        ));
    }
    assert_eq!(seen, [(2, 1, 0, 0), (1, 1, 0, 0), (0, 0, 2, 1)]);
    // With RCX = 0 there is no iteration.
    let mut bench = Bench::new(&[0xf3, 0xa4, 0xf4]);
    let exit = bench.step();
    assert_eq!(
        (exit.rep_iterations, bench.regs.rip, bench.engine.icount()),
        (0, CODE + 2, 1)
    );
}

#[test]
fn a_fault_inside_rep_reports_the_finished_iterations() {
    // nop; rep stosb  into the end of a page whose successor is absent
    let mut bench = Bench::new(&[0x90, 0xf3, 0xaa, 0xf4]);
    bench.pages.absent.insert(0xa000);
    bench.regs.gpr[1] = 10;
    bench.regs.gpr[7] = 0xa000 - 4;
    let exit = bench.run(100);
    assert!(
        matches!(exit.cause, Cause::Data { page, .. } if page.0 == 0xa000),
        "{exit:?}"
    );
    assert_eq!(exit.rep_iterations, 4);
    assert_eq!(
        (bench.regs.gpr[1], bench.regs.rip, bench.engine.icount()),
        (6, CODE + 1, 1)
    );
}

#[test]
fn a_faulting_instruction_does_not_retire() {
    // inc rax; inc rax; mov [0xa000], rax; inc rax; hlt
    let mut bench = Bench::new(&[
        0x48, 0xff, 0xc0, 0x48, 0xff, 0xc0, 0x48, 0xa3, 0, 0xa0, 0, 0, 0, 0, 0, 0, 0x48, 0xff,
        0xc0, 0xf4,
    ]);
    bench.pages.absent.insert(0xa000);
    let exit = bench.run(100);
    assert!(matches!(exit.cause, Cause::Data { .. }), "{exit:?}");
    assert_eq!(
        (bench.engine.icount(), bench.regs.rip, bench.regs.gpr[0]),
        (2, CODE + 6, 2)
    );
    bench.pages.absent.clear();
    let exit = bench.run(100);
    assert!(matches!(exit.cause, Cause::Intercept(_)), "{exit:?}");
    assert_eq!((bench.engine.icount(), bench.regs.gpr[0]), (4, 3));
}

#[test]
fn code_that_changes_itself_is_counted() {
    // mov byte [next+2], 0x29 (turns `inc rax`'s modrm...): here: patch the imm8 of the next `add al, 1`
    // c6 05 disp32 imm8: mov byte [rip+1], 5 ; add al, 1 ; inc rbx ; hlt
    let code = [0xc6, 0x05, 1, 0, 0, 0, 5, 0x04, 1, 0x48, 0xff, 0xc3, 0xf4];
    assert_eq!(compare(&code, |_| {}), 3);
    let mut bench = Bench::new(&code);
    bench.run(100);
    assert_eq!(bench.regs.gpr[0], 5, "the store takes effect at once");
    // The same in a loop, so that the blocks exist already: mov ecx, 4; L: inc byte [rip+imm of add]; add al, 1; loop L; hlt
    let code = [
        0xb9, 4, 0, 0, 0, 0xfe, 0x05, 1, 0, 0, 0, 0x04, 1, 0xe2, 0xf6, 0xf4,
    ];
    assert_eq!(compare(&code, |_| {}), 1 + 4 * 3);
    let mut bench = Bench::new(&code);
    bench.run(100);
    assert_eq!(bench.regs.gpr[0], 2 + 3 + 4 + 5);
}

#[test]
fn stores_beside_running_code_are_counted() {
    // mov ecx, 50; L: mov [rip+far], ecx (same page, not this block); inc rax; loop L; hlt
    let code = [
        0xb9, 50, 0, 0, 0, 0x89, 0x0d, 0x80, 0, 0, 0, 0x48, 0xff, 0xc0, 0xe2, 0xf5, 0xf4,
    ];
    assert_eq!(compare(&code, |_| {}), 1 + 50 * 3);
}

/// Instructions without privilege, of many lengths, some with stores near the code.
pub fn instruction() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(vec![0x48, 0xff, 0xc0]),                                  // inc rax
        Just(vec![0x48, 0x01, 0xc3]),                                  // add rbx, rax
        Just(vec![0x50]),                                              // push rax
        Just(vec![0x5a]),                                              // pop rdx
        Just(vec![0x9c]),                                              // pushfq
        Just(vec![0x0f, 0x1f, 0x44, 0x00, 0x00]),                      // nop
        Just(vec![0x48, 0x0f, 0xaf, 0xd8]),                            // imul rbx, rax
        Just(vec![0x48, 0xd3, 0xc8]),                                  // ror rax, cl
        Just(vec![0x72, 0x00]),                                        // jc +0
        Just(vec![0x75, 0x01, 0x90]),                                  // jnz over a nop
        Just(vec![0xeb, 0x02, 0x90, 0x90]),                            // jmp over
        Just(vec![0xe8, 0, 0, 0, 0]),                                  // call next
        Just(vec![0xf3, 0xa4]),                                        // rep movsb
        Just(vec![0xb9, 3, 0, 0, 0]),                                  // mov ecx, 3
        Just(vec![0xe2, 0xfe]),                                        // loop .
        Just(vec![0xc6, 0x05, 0, 0, 0, 0, 0x90]), // mov byte [rip], 0x90: over the next byte
        Just(vec![0xc6, 0x05, 9, 0, 0, 0, 0x90]), // ... over one further on
        Just(vec![0x89, 0x05, 0x00, 0x40, 0, 0]), // mov [rip+0x4000], eax
        Just(vec![0xf0, 0x48, 0xff, 0x05, 0x00, 0x40, 0, 0]), // lock inc qword
        Just(vec![0x48, 0x0f, 0xba, 0xe0, 5]),    // bt rax, 5
        Just(vec![0x0f, 0xba, 0x2d, 0x00, 0x40, 0, 0, 3]), // bts dword [rip+0x4000], 3
        Just(vec![0xf0, 0x48, 0x0f, 0xb3, 0x85, 0, 0, 0, 0]), // lock btr [rbp+n], rax
        Just(vec![0x0f, 0xa3, 0x04, 0x25, 0x00, 0x00, 0x20, 0]), // bt [0x200000], eax: no page there
        Just(vec![0x0f, 0x28, 0xc1]),                            // movaps xmm0, xmm1
        Just(vec![0xf2, 0x0f, 0x58, 0xc1]),                      // addsd xmm0, xmm1
        Just(vec![0xd9, 0xe8]),                                  // fld1
        Just(vec![0x48, 0xd1, 0x15, 0x00, 0x40, 0, 0]),          // rcl qword [rip+0x4000], 1
        Just(vec![0x0f, 0x90, 0x05, 0x00, 0x40, 0, 0]),          // seto [rip+0x4000]
        Just(vec![0x0f, 0x9f, 0x04, 0x25, 0x00, 0x00, 0x20, 0]), // setg [0x200000]: no page there
        Just(vec![0x48, 0x11, 0x04, 0x25, 0x00, 0x00, 0x20, 0]), // adc [0x200000], rax: likewise
        Just(vec![0x48, 0x0f, 0x4f, 0x04, 0x25, 0x00, 0x00, 0x20, 0]), // cmovg rax, [0x200000]
        Just(vec![0x48, 0x83, 0xe8, 0x01]),                      // sub rax, 1
        Just(vec![0x0f, 0x29, 0x05, 0x00, 0x40, 0, 0]), // movaps [rip+0x4000], xmm0: guarded
    ]
}

proptest! {
    #![proptest_config(crate::support::proptest_config())]

    /// `icount` and every register agree with single steps, on random code that also writes over
    /// itself, whatever the place in the page.
    #[test]
    fn random_code_counts_as_its_single_steps(
        body in prop::collection::vec(instruction(), 1..60),
        at in 0u64..40,
    ) {
        let mut code = body.concat();
        code.extend([0xf4; 8]);
        let run = |step: bool, limit: u64| {
            let mut bench = Bench::new(&[]);
            let start = CODE + PAGE - 40 + at;
            assert!(bench.engine.write_ram(start, &code));
            bench.regs.rip = start;
            bench.regs.gpr[6] = 0x8000;
            bench.regs.gpr[7] = 0x8800;
            let mut steps = 0;
            loop {
                let exit = if step { bench.step() } else { bench.run(limit) };
                match exit.cause {
                    Cause::RepSlice => {}
                    Cause::Stepped if exit.rep_iterations > 0 => {}
                    Cause::Stepped => {
                        steps += 1;
                        if steps == limit { break; }
                    }
                    _ => break,
                }
            }
            (bench.engine.icount(), bench.regs.clone(), bench.bytes(CODE, 0x6000))
        };
        let fast = run(false, 400);
        let slow = run(true, 400);
        prop_assert_eq!(fast.0, slow.0);
        prop_assert_eq!(fast.1, slow.1);
        prop_assert!(fast.2 == slow.2);
    }
}
