//! Fills of Unicorn's TLB: when it asks depends on the host's clock, what comes of it must not.

use std::time::Duration;

use crate::support::{Bench, CODE, PAGE, data};
use iretrace::arch::AccessKind;
use iretrace::engine::Cause;

/// L: add [rdi], rcx; add rax, [rdi]; add rdi, 4096; dec ecx; jnz L; hlt
const TOUCH: [u8; 18] = [
    0x48, 0x01, 0x0f, 0x48, 0x03, 0x07, 0x48, 0x81, 0xc7, 0, 0x10, 0, 0, 0xff, 0xc9, 0x75, 0xef,
    0xf4,
];
const FIRST: u64 = 0x20_0000;

/// RIP, RAX, the count and the cause at the end.
type Round = (u64, u64, u64, String);

/// Rounds of the loop over 240 pages, on 100 frames. Gives what the guest can see.
fn rounds(pause: Option<Duration>, flush: bool) -> (Vec<Round>, Vec<u8>) {
    let mut bench = Bench::new(&TOUCH);
    for n in 0..240 {
        let frame = 0x10_000 + (n % 100) * PAGE;
        bench.pages.moved.insert(FIRST + n * PAGE, frame);
    }
    let absent = FIRST + 200 * PAGE;
    let mut seen = Vec::new();
    for round in 0..6 {
        if round % 2 == 1 {
            bench.pages.absent.insert(absent);
        } else {
            bench.pages.absent.clear();
        }
        if flush || round < 3 {
            bench.engine.flush_tlb();
        }
        bench.regs.rip = CODE;
        bench.regs.gpr[7] = FIRST;
        bench.regs.gpr[1] = if round < 3 || flush { 240 } else { 100 };
        let exit = bench.run(u64::MAX);
        let cause = match exit.cause {
            Cause::Data { page, kind } => format!("{:#x} {kind:?}", page.0),
            Cause::Intercept(_) => "end".into(),
            other => format!("{other:?}"),
        };
        seen.push((
            bench.regs.rip,
            bench.regs.gpr[0],
            bench.engine.icount(),
            cause,
        ));
        if let Some(pause) = pause {
            std::thread::sleep(pause);
        }
    }
    (seen, bench.bytes(0x10_000, 0x64_000))
}

#[test]
fn the_hosts_clock_changes_nothing_but_how_often_unicorn_asks() {
    for flush in [false, true] {
        let (fast, fast_ram) = rounds(None, flush);
        let (slow, slow_ram) = rounds(Some(Duration::from_millis(130)), flush);
        assert_eq!(fast, slow);
        assert!(fast_ram == slow_ram);
        // The first round: five instructions a page. The second ends at its 201st page.
        assert_eq!((fast[0].2, fast[0].3.as_str()), (240 * 5, "end"));
        assert_eq!(
            (fast[1].2, fast[1].3.as_str()),
            ((240 + 200) * 5, "0x2c8000 Read")
        );
    }
}

#[test]
fn a_flush_asks_again_and_nothing_less_takes_a_grant_back() {
    // mov rax, [0xa000]; hlt
    let mut bench = Bench::new(&[0x48, 0x8b, 0x04, 0x25, 0, 0xa0, 0, 0, 0xf4]);
    bench.write(0xa000, &[1]);
    bench.write(0xb000, &[2]);
    bench.call(CODE);
    bench.pages.moved.insert(0xa000, 0xb000);
    bench.call(CODE);
    assert_eq!(bench.regs.gpr[0], 1, "a cached translation is used");
    bench.pages.questions.borrow_mut().clear();
    bench.engine.flush_tlb();
    bench.call(CODE);
    assert_eq!(bench.regs.gpr[0], 2);
    assert!(bench.pages.questions.borrow().iter().any(|q| q.0 == 0xa000));
    bench.pages.absent.insert(0xa000);
    bench.engine.flush_tlb();
    bench.regs.rip = CODE;
    assert_eq!(data(&bench.run(u64::MAX)), (0xa000, AccessKind::Read));
    // A refusal is not cached.
    bench.pages.absent.clear();
    bench.call(CODE);
}

#[test]
fn a_page_granted_to_read_asks_before_it_is_written() {
    // mov rax, [0xa000]; mov [0xa008], rax; hlt
    let mut bench = Bench::new(&[
        0x48, 0x8b, 0x04, 0x25, 0, 0xa0, 0, 0, 0x48, 0x89, 0x04, 0x25, 8, 0xa0, 0, 0, 0xf4,
    ]);
    bench.write(0xa000, &[7; 8]);
    bench.pages.read_only.insert(0xa000);
    for _ in 0..2 {
        assert_eq!(data(&bench.run(100)), (0xa000, AccessKind::Write));
        assert_eq!((bench.regs.rip, bench.engine.icount()), (CODE + 8, 1));
        assert_eq!(bench.bytes(0xa008, 8), [0; 8]);
    }
    // As after the D bit was set: no flush is needed for more rights.
    bench.pages.read_only.clear();
    assert!(matches!(bench.run(100).cause, Cause::Intercept(_)));
    assert_eq!(bench.bytes(0xa008, 8), [7; 8]);
    // For fewer, it is.
    bench.pages.read_only.insert(0xa000);
    bench.engine.flush_tlb();
    bench.regs.rip = CODE;
    assert_eq!(data(&bench.run(100)), (0xa000, AccessKind::Write));
}

#[test]
fn denied_pages_stop_data_and_not_code() {
    // mov rax, [0xa000]; hlt, and a load from the code's own page
    let mut bench = Bench::new(&[0x48, 0x8b, 0x04, 0x25, 0, 0xa0, 0, 0, 0xf4]);
    bench.write(CODE + 0x100, &[0x8b, 0x05, 0xfa, 0xff, 0xff, 0xff, 0xf4]);
    bench.call(CODE);
    bench.engine.set_denied_pages(vec![CODE, 0xa000]);
    bench.regs.rip = CODE;
    assert_eq!(data(&bench.run(u64::MAX)), (0xa000, AccessKind::Read));
    bench.regs.rip = CODE + 0x100;
    assert_eq!(data(&bench.run(u64::MAX)), (CODE, AccessKind::Read));
    bench.engine.set_denied_pages(Vec::new());
    bench.call(CODE);
    bench.call(CODE + 0x100);
    assert_eq!(bench.regs.gpr[0], 0xfffa_058b);
}

#[test]
fn an_overlay_stands_for_a_page_and_ram_stays() {
    // add [0xa010], eax
    let mut bench = Bench::new(&[0x01, 0x04, 0x25, 0x10, 0xa0, 0, 0]);
    let mut content = [0; PAGE as usize];
    content[0x10] = 40;
    bench.regs.gpr[0] = 2;
    bench.pages.absent.insert(0xa000);
    bench.engine.set_overlay(0xa000, &content);
    assert!(matches!(bench.step().cause, Cause::Stepped));
    let after = bench.engine.take_overlay();
    content[0x10] = 42;
    assert!(after[..] == content[..]);
    assert_eq!(bench.bytes(0xa000, 0x20), [0; 0x20]);
    bench.regs.rip = CODE;
    assert_eq!(data(&bench.step()), (0xa000, AccessKind::Read));
}
