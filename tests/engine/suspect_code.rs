//! Pages with bytes that Unicorn's translator may not survive: what does not hold them runs as ever.

use iretrace::engine::Cause;

use crate::support::{Bench, CODE, PAGE};

/// lock btr eax, eax: #UD.
const PATTERN: [u8; 4] = [0xf0, 0x0f, 0xb3, 0xc0];

/// A loop of RCX turns, then HLT; somewhere behind them in the page the pattern.
fn loop_beside_the_pattern() -> Vec<u8> {
    // top: add rax, 3; xor rdx, rax; dec rcx; jnz top; hlt
    let mut code = vec![
        0x48, 0x83, 0xc0, 3, 0x48, 0x31, 0xc2, 0x48, 0xff, 0xc9, 0x75, 0xf4, 0xf4,
    ];
    code.resize(0x200, 0xcc);
    code.extend(PATTERN);
    code
}

#[test]
fn the_rest_of_the_page_is_not_stepped() {
    let mut bench = Bench::new(&loop_beside_the_pattern());
    bench.regs.gpr[1] = 10_000;
    bench.call(CODE);
    assert_eq!((bench.regs.gpr[0], bench.engine.icount()), (30_000, 40_000));
    // Each step asks for its page.
    let asked = bench.pages.asked.get();
    assert!(asked < 100, "{asked} questions for 40,000 instructions");
}

#[test]
fn an_immediate_with_the_pattern_is_what_it_is() {
    for at in [CODE + 0x20, CODE + PAGE - 3, CODE + PAGE - 1] {
        // mov eax, imm32; add eax, 1; hlt
        let mut code = vec![0xb8];
        code.extend(PATTERN);
        code.extend([0x83, 0xc0, 1, 0xf4]);
        let mut bench = Bench::at(at, &code);
        for n in 1..4 {
            bench.call(at);
            let value = u64::from(u32::from_le_bytes(PATTERN)) + 1;
            assert_eq!(bench.regs.gpr[0], value, "at {at:#x}");
            assert_eq!(bench.engine.icount(), 2 * n);
        }
    }
}

#[test]
fn data_in_the_page_is_what_it_is() {
    // mov eax, [rdi]; lock xadd [rdi], rdx; mov ebx, [rdi]; hlt
    let mut code = vec![0x8b, 0x07, 0xf0, 0x48, 0x0f, 0xc1, 0x17, 0x8b, 0x1f, 0xf4];
    code.resize(0x100, 0x90);
    code.extend(PATTERN);
    code.extend([0; 4]);
    let mut bench = Bench::new(&code);
    bench.regs.gpr[7] = CODE + 0x100;
    bench.regs.gpr[2] = 0x1000;
    bench.call(CODE);
    let value = u64::from(u32::from_le_bytes(PATTERN));
    assert_eq!(bench.regs.gpr[0], value);
    assert_eq!(bench.regs.gpr[2], value);
    assert_eq!(bench.regs.gpr[3], value + 0x1000);
    assert_eq!(bench.bytes(CODE + 0x100, 4)[1], PATTERN[1] + 0x10);
}

/// The pattern comes and goes, and so do the instructions around it.
#[test]
fn the_page_changes() {
    let mut bench = Bench::new(&loop_beside_the_pattern());
    let turns = |bench: &mut Bench, step: u64| {
        bench.regs.gpr[0] = 0;
        bench.regs.gpr[1] = 100;
        bench.call(CODE);
        assert_eq!(bench.regs.gpr[0], 100 * step);
    };
    turns(&mut bench, 3);
    for round in 0..4u8 {
        // By the host: the pattern, then the code.
        bench.write(CODE + 0x200, &[0x90]);
        turns(&mut bench, if round == 0 { 3 } else { 7 });
        bench.write(CODE + 3, &[5]);
        turns(&mut bench, 5);
        bench.write(CODE + 0x200, &PATTERN);
        turns(&mut bench, 5);
        bench.write(CODE + 3, &[6]);
        turns(&mut bench, 6);
        // By the guest, from another page: mov [rdi], al; hlt.
        bench.write(0x7000, &[0x88, 0x07, 0xf4]);
        bench.regs.gpr[0] = 7;
        bench.regs.gpr[7] = CODE + 3;
        bench.call(0x7000);
        turns(&mut bench, 7);
    }
    // The loop's end becomes the pattern: #UD there.
    bench.write(CODE + 12, &PATTERN);
    bench.regs.rip = CODE;
    bench.regs.gpr[1] = 100;
    let exit = bench.run(u64::MAX);
    assert!(matches!(exit.cause, Cause::Invalid), "{exit:?}");
    assert_eq!(bench.regs.rip, CODE + 12);
}

/// There is room for a number of copies only: the others' code runs all the same.
#[test]
fn more_pages_than_copies() {
    const PAGES: u64 = 300;
    let page = |n: u64| 0x1_0000 + n * PAGE;
    let mut bench = Bench::new(&[0xf4]);
    for n in 0..PAGES {
        // add eax, 1; hlt
        let mut code = vec![0x83, 0xc0, 1, 0xf4];
        code.extend(PATTERN);
        bench.write(page(n), &code);
    }
    bench.regs.gpr[0] = 0;
    for round in 1..3 {
        for n in 0..PAGES {
            bench.call(page(n));
        }
        assert_eq!(bench.regs.gpr[0], round * PAGES);
    }
}
