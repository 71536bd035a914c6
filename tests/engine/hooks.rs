//! Hooks against translated code: interceptions, breakpoints and limits at every place, before and
//! after the code has run, and beside hooks of somebody else.

use std::cell::RefCell;
use std::rc::Rc;

use crate::support::{Bench, CODE};
use iretrace::arch::bits::rflags;
use iretrace::engine::{Cause, RunOptions};

const INC: [u8; 3] = [0x48, 0xff, 0xc0];
const CPUID: [u8; 2] = [0x0f, 0xa2];

/// `before` times inc rax, CPUID, `after` times inc rax, HLT.
fn around_cpuid(before: usize, after: usize) -> Vec<u8> {
    [&INC.repeat(before)[..], &CPUID, &INC.repeat(after), &[0xf4]].concat()
}

#[track_caller]
fn intercepted(bench: &Bench, cause: &Cause, at: u64, icount: u64) {
    assert!(
        matches!(cause, Cause::Intercept(i) if i.ip() == at),
        "{cause:?}"
    );
    assert_eq!((bench.regs.rip, bench.engine.icount()), (at, icount));
}

#[test]
fn an_interception_stops_at_every_place_of_a_block() {
    for before in 0..8 {
        for after in 0..3 {
            for cpl in [0, 3] {
                let mut bench = Bench::new(&around_cpuid(before, after));
                bench.regs.cpl = cpl;
                let at = CODE + 3 * before as u64;
                let mut icount = 0;
                for round in 0..4 {
                    if round == 2 {
                        bench.engine.flush_tlb();
                    }
                    bench.regs.rip = CODE;
                    bench.regs.gpr[0] = 0;
                    icount += before as u64;
                    let exit = bench.run(u64::MAX);
                    intercepted(&bench, &exit.cause, at, icount);
                    assert_eq!(bench.regs.gpr[0], before as u64);
                    // At the interception itself, again; then behind it, as if it were done.
                    let exit = bench.run(u64::MAX);
                    intercepted(&bench, &exit.cause, at, icount);
                    bench.regs.rip += 2;
                    icount += after as u64;
                    let exit = bench.run(u64::MAX);
                    intercepted(&bench, &exit.cause, at + 2 + 3 * after as u64, icount);
                }
            }
        }
    }
}

#[test]
fn an_interception_holds_for_both_levels_after_one_has_run() {
    let mut bench = Bench::new(&around_cpuid(2, 0));
    let mut icount = 0;
    for cpl in [0, 3, 0, 3, 3] {
        bench.regs.cpl = cpl;
        bench.regs.rip = CODE;
        icount += 2;
        let exit = bench.run(u64::MAX);
        intercepted(&bench, &exit.cause, CODE + 6, icount);
    }
}

#[test]
fn a_block_entered_in_its_middle_stops_and_counts() {
    let mut bench = Bench::new(&around_cpuid(6, 1));
    let mut icount = 0;
    for enter in [0, 3, 5, 1, 6, 0, 4, 3] {
        bench.regs.rip = CODE + 3 * enter;
        icount += 6 - enter;
        let exit = bench.run(u64::MAX);
        intercepted(&bench, &exit.cause, CODE + 18, icount);
    }
    // Between instructions: ff c0 is inc eax.
    bench.regs.rip = CODE + 1;
    let exit = bench.run(u64::MAX);
    intercepted(&bench, &exit.cause, CODE + 18, icount + 6);
}

#[test]
fn two_interceptions_in_one_block_both_stop() {
    // inc; rdtsc; inc; cpuid; inc; rdtsc; hlt: none of them ends a block
    let code = [
        &INC[..],
        &[0x0f, 0x31],
        &INC,
        &CPUID,
        &INC,
        &[0x0f, 0x31],
        &[0xf4],
    ]
    .concat();
    let mut bench = Bench::new(&code);
    for round in 0..3 {
        bench.regs.rip = CODE;
        for (n, offset) in [3, 8, 13].into_iter().enumerate() {
            let exit = bench.run(u64::MAX);
            intercepted(&bench, &exit.cause, CODE + offset, 3 * round + n as u64 + 1);
            bench.regs.rip += 2;
        }
        let exit = bench.run(u64::MAX);
        intercepted(&bench, &exit.cause, CODE + 15, 3 * round + 3);
    }
}

/// mov ecx, 5; L: inc rax; inc rax; dec ecx; jnz L; hlt
const LOOP: [u8; 16] = [
    0xb9, 5, 0, 0, 0, 0x48, 0xff, 0xc0, 0x48, 0xff, 0xc0, 0xff, 0xc9, 0x75, 0xf6, 0xf4,
];

#[test]
fn breakpoints_are_honoured_and_forgotten_after_the_code_has_run() {
    let mut bench = Bench::new(&LOOP);
    for at in [5, 8, 11, 13] {
        bench.call(CODE);
        assert_eq!(bench.regs.rip, CODE + 15);
        bench.engine.set_breakpoints(vec![CODE + at]);
        bench.regs.rip = CODE;
        for hit in 0..5 {
            let exit = bench.with(RunOptions {
                limit: u64::MAX,
                over_breakpoint: hit > 0,
                ..RunOptions::default()
            });
            assert!(matches!(exit.cause, Cause::Breakpoint), "{exit:?}");
            assert_eq!(
                (bench.regs.rip, bench.regs.gpr[1]),
                (CODE + at, 5 - hit - u64::from(at == 13))
            );
            // Without the permission to go over it, nothing happens.
            let icount = bench.engine.icount();
            assert!(matches!(bench.run(u64::MAX).cause, Cause::Breakpoint));
            assert_eq!(bench.engine.icount(), icount);
        }
        bench.engine.set_breakpoints(Vec::new());
        let exit = bench.run(u64::MAX);
        assert!(matches!(exit.cause, Cause::Intercept(_)), "{exit:?}");
    }
    // Each round is one pass of the loop, whole.
    assert_eq!(bench.engine.icount(), 8 * (1 + 5 * 4));
}

#[test]
fn a_breakpoint_on_a_rep_instruction_is_one_boundary() {
    // nop; rep stosb; hlt. The boundary before it is before its first iteration.
    let mut bench = Bench::new(&[0x90, 0xf3, 0xaa, 0xf4]);
    bench.engine.set_breakpoints(vec![CODE + 1]);
    for _ in 0..2 {
        bench.regs.rip = CODE;
        bench.regs.gpr[1] = 5;
        bench.regs.gpr[7] = 0x8000;
        let exit = bench.run(u64::MAX);
        assert!(matches!(exit.cause, Cause::Breakpoint), "{exit:?}");
        assert_eq!((bench.regs.rip, bench.regs.gpr[1]), (CODE + 1, 5));
        let exit = bench.with(RunOptions {
            limit: u64::MAX,
            over_breakpoint: true,
            ..RunOptions::default()
        });
        assert!(matches!(exit.cause, Cause::Intercept(_)), "{exit:?}");
        assert_eq!((bench.regs.rip, bench.regs.gpr[1]), (CODE + 3, 0));
    }
    assert_eq!(bench.engine.icount(), 4);
}

#[test]
fn a_breakpoint_on_an_interception_comes_first_and_once() {
    let mut bench = Bench::new(&around_cpuid(2, 0));
    bench.engine.set_breakpoints(vec![CODE + 6]);
    assert!(matches!(bench.run(9).cause, Cause::Breakpoint));
    let exit = bench.with(RunOptions {
        limit: 9,
        over_breakpoint: true,
        ..RunOptions::default()
    });
    intercepted(&bench, &exit.cause, CODE + 6, 2);
}

#[test]
fn limits_are_exact_from_everywhere_in_cached_code() {
    let mut bench = Bench::new(&LOOP);
    bench.call(CODE);
    let offsets = [0, 5, 8, 11, 13];
    // The k-th boundary of the run: 0, then 1 to 4 in turn.
    let place = |n: u64| {
        if n == 0 {
            0
        } else {
            offsets[(1 + (n - 1) % 4) as usize]
        }
    };
    for first in 0..20 {
        for second in first..20 {
            let base = bench.engine.icount();
            bench.regs.rip = CODE;
            for limit in [first, second] {
                let exit = bench.run(base + limit);
                assert!(matches!(exit.cause, Cause::Limit), "{exit:?}");
                assert_eq!(bench.engine.icount() - base, limit);
                assert_eq!(bench.regs.rip, CODE + place(limit));
            }
        }
    }
}

fn watched(code: &[u8]) -> (Bench, Rc<RefCell<Vec<u64>>>) {
    let mut bench = Bench::new(code);
    // The code has been translated before the hook comes.
    bench.call(CODE);
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    bench
        .engine
        .unicorn()
        .add_code_hook(1, 0, move |_, at, _| log.borrow_mut().push(at - CODE))
        .expect("a hook");
    bench.regs.rip = CODE;
    bench.regs.gpr = [0; 16];
    bench.regs.rflags = rflags::FIXED;
    (bench, seen)
}

#[test]
fn somebody_elses_hook_sees_each_instruction_and_ours_still_work() {
    let (mut bench, seen) = watched(&LOOP);
    let base = bench.engine.icount();
    let exit = bench.run(u64::MAX);
    intercepted(&bench, &exit.cause, CODE + 15, base + 1 + 5 * 4);
    let mut seen: Vec<u64> = seen.take();
    // The intercepted instruction does not execute; whether the hook hears of it is open.
    seen.retain(|&at| at != 15);
    let wanted: Vec<u64> = [0].into_iter().chain([5, 8, 11, 13].repeat(5)).collect();
    assert_eq!(seen, wanted);
    for (before, after) in [(0, 0), (3, 2)] {
        let (mut bench, _) = watched(&around_cpuid(before, after));
        let base = bench.engine.icount();
        for _ in 0..2 {
            let exit = bench.run(u64::MAX);
            let at = CODE + 3 * before as u64;
            intercepted(&bench, &exit.cause, at, base + before as u64);
        }
    }
}

#[test]
fn counts_limits_and_breakpoints_are_exact_beside_somebody_elses_hook() {
    for limit in 0..21 {
        let (mut bench, _) = watched(&LOOP);
        let (mut plain, base) = (Bench::new(&LOOP), bench.engine.icount());
        let exit = bench.run(base + limit);
        assert!(matches!(exit.cause, Cause::Limit), "{exit:?}");
        plain.regs.gpr = bench.regs.gpr.map(|_| 0);
        plain.run(limit);
        assert_eq!(bench.engine.icount() - base, limit);
        assert_eq!(bench.regs, plain.regs, "after {limit} instructions");
    }
    let (mut bench, _) = watched(&LOOP);
    bench.engine.set_breakpoints(vec![CODE + 8]);
    assert!(matches!(bench.run(u64::MAX).cause, Cause::Breakpoint));
    assert_eq!(bench.regs.rip, CODE + 8);
}

#[test]
fn a_rep_instruction_counts_once_beside_somebody_elses_hook() {
    // mov ecx, 9; mov edi, 0x8000; rep stosb; hlt
    let (mut bench, _) = watched(&[0xb9, 9, 0, 0, 0, 0xbf, 0, 0x80, 0, 0, 0xf3, 0xaa, 0xf4]);
    let base = bench.engine.icount();
    let exit = bench.run(u64::MAX);
    intercepted(&bench, &exit.cause, CODE + 12, base + 3);
    assert_eq!((bench.regs.gpr[1], bench.regs.gpr[7]), (0, 0x8009));
}

#[test]
fn a_watched_address_stops_where_control_branches_to_it() {
    // jmp A; (three bytes) A: nop; cpuid; jmp A: the block at A is hooked, so translated twice
    let code = [
        0xeb, 3, 0x90, 0x90, 0x90, 0x90, 0x0f, 0xa2, 0xeb, 0xfb, 0xf4,
    ];
    for hooked in [false, true] {
        let mut bench = Bench::new(&code);
        if hooked {
            bench.engine.unicorn();
        }
        bench.engine.set_watch([CODE + 5].into_iter());
        for (n, from) in [CODE, CODE + 8, CODE].into_iter().enumerate() {
            bench.regs.rip = from;
            let exit = bench.run(u64::MAX);
            assert!(matches!(exit.cause, Cause::Watched), "{n} {exit:?}");
            assert_eq!(
                (bench.regs.rip, bench.engine.icount()),
                (CODE + 5, 2 * n as u64 + 1)
            );
            // From there it goes on.
            let exit = bench.run(u64::MAX);
            intercepted(&bench, &exit.cause, CODE + 6, 2 * n as u64 + 2);
        }
        // The last step before a limit arrives there, too.
        bench.regs.rip = CODE;
        let limit = bench.engine.icount() + 1;
        bench.run(limit);
        assert_eq!((bench.regs.rip, bench.engine.icount()), (CODE + 5, limit));
    }
}

#[test]
fn a_trap_flag_ends_a_run_after_each_instruction_whatever_its_class() {
    // rcl qword [0x8000], 1; nop; inc eax; hlt: the first is stepped by the engine itself
    let code = [
        0x48, 0xd1, 0x14, 0x25, 0, 0x80, 0, 0, 0x90, 0xff, 0xc0, 0xf4,
    ];
    for hooked in [false, true] {
        let mut bench = Bench::new(&code);
        if hooked {
            bench.engine.unicorn();
        }
        bench.regs.rflags |= rflags::TF;
        for at in [8, 9, 11] {
            let exit = bench.run(u64::MAX);
            assert!(matches!(exit.cause, Cause::Stepped), "{exit:?}");
            assert_eq!(bench.regs.rip, CODE + at);
        }
    }
}
