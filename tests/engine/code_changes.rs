//! Code that changes after it was translated (SDM vol. 3, "Handling Self- and Cross-Modifying
//! Code"): by the host, by the guest, through another address, or because another frame is mapped.

use crate::support::{Bench, CODE, PAGE};
use iretrace::engine::Cause;

/// mov eax, n; hlt
fn give(n: u8) -> [u8; 6] {
    [0xb8, n, 0, 0, 0, 0xf4]
}

const ALIAS: u64 = 0x20_0000;

/// Runs what lies at `at` twice, so that it is cached, and gives EAX.
fn eax(bench: &mut Bench, at: u64) -> u64 {
    bench.call(at);
    let first = bench.regs.gpr[0];
    bench.regs.gpr[0] = 0;
    bench.call(at);
    assert_eq!(bench.regs.gpr[0], first);
    first
}

#[test]
fn the_host_writes_over_code() {
    let mut bench = Bench::new(&give(1));
    for n in 1..20 {
        assert_eq!(eax(&mut bench, CODE), u64::from(n));
        bench.write(CODE + 1, &[n + 1]);
    }
    // The last byte of a page and the first of the next belong to one instruction.
    let at = CODE + PAGE - 2;
    bench.write(at, &give(1));
    assert_eq!(eax(&mut bench, at), 1);
    bench.write(at + 2, &[2]);
    assert_eq!(eax(&mut bench, at), 0x201);
    bench.write(at, &[0xb8, 7, 0, 0]);
    assert_eq!(eax(&mut bench, at), 7);
}

#[test]
fn the_host_writes_over_code_that_has_two_addresses() {
    let mut bench = Bench::new(&give(1));
    bench.pages.moved.insert(ALIAS, CODE);
    for n in 1..6 {
        assert_eq!(eax(&mut bench, ALIAS), u64::from(n));
        assert_eq!(eax(&mut bench, CODE), u64::from(n));
        bench.write(CODE + 1, &[n + 1]);
    }
    // And where only the alias was ever run, and is no longer mapped there when the write comes.
    let mut bench = Bench::new(&give(1));
    bench.pages.moved.insert(ALIAS, CODE);
    assert_eq!(eax(&mut bench, ALIAS), 1);
    bench.pages.moved.insert(ALIAS, 0x8000);
    bench.engine.flush_tlb();
    bench.write(CODE + 1, &[2]);
    bench.write(0x8000, &give(9));
    assert_eq!(eax(&mut bench, ALIAS), 9);
    bench.pages.moved.insert(ALIAS, CODE);
    bench.engine.flush_tlb();
    assert_eq!(eax(&mut bench, ALIAS), 2);
}

#[test]
fn the_host_puts_an_interception_where_none_was() {
    // nop; nop; nop; hlt, then nop; cpuid; hlt
    let mut bench = Bench::new(&[0x90, 0x90, 0x90, 0xf4]);
    bench.call(CODE);
    assert_eq!((bench.regs.rip, bench.engine.icount()), (CODE + 3, 3));
    bench.write(CODE + 1, &[0x0f, 0xa2]);
    bench.call(CODE);
    assert_eq!((bench.regs.rip, bench.engine.icount()), (CODE + 1, 4));
    bench.write(CODE + 1, &[0x90, 0x90]);
    bench.call(CODE);
    assert_eq!((bench.regs.rip, bench.engine.icount()), (CODE + 3, 7));
}

#[test]
fn code_goes_back_with_ram() {
    let mut bench = Bench::new(&give(1));
    bench.pages.moved.insert(ALIAS, CODE);
    assert_eq!(eax(&mut bench, CODE), 1);
    bench.engine.begin_undo();
    for n in 2..5 {
        // By the host.
        bench.write(CODE + 1, &[n]);
        assert_eq!(eax(&mut bench, CODE), u64::from(n));
        assert_eq!(eax(&mut bench, ALIAS), u64::from(n));
        bench.engine.rewind_ram();
        assert_eq!(eax(&mut bench, ALIAS), 1);
        assert_eq!(eax(&mut bench, CODE), 1);
        // By the guest, from another page: mov byte [CODE + 1], n; hlt
        bench.write(0x6000, &[0xc6, 0x04, 0x25, 1, 0x40, 0, 0, n, 0xf4]);
        bench.call(0x6000);
        assert_eq!(eax(&mut bench, CODE), u64::from(n));
        bench.engine.rewind_ram();
        assert_eq!(eax(&mut bench, CODE), 1);
    }
}

#[test]
fn the_guest_writes_over_code_that_has_run() {
    // mov [rbx], al; jmp to the page of the changed code. Directly, and through an alias; CPUID
    // between them serializes, which the alias needs.
    for target in [CODE + 1, ALIAS + 1] {
        let mut bench = Bench::new(&give(1));
        bench.pages.moved.insert(ALIAS, CODE);
        // mov [rbx], cl; cpuid
        bench.write(0x6000, &[0x88, 0x0b, 0x0f, 0xa2]);
        for n in 2..9 {
            assert_eq!(eax(&mut bench, CODE), n - 1);
            assert_eq!(eax(&mut bench, ALIAS), n - 1);
            bench.regs.gpr[3] = target;
            bench.regs.gpr[1] = n;
            bench.call(0x6000);
            assert_eq!(bench.regs.rip, 0x6002);
        }
        assert_eq!(eax(&mut bench, CODE), 8);
    }
}

#[test]
fn the_guest_writes_over_its_own_block() {
    // inc byte [rip + 1]; add al, 0; dec ecx; jnz; hlt: the very next instruction changes
    let code = [
        0xfe, 0x05, 1, 0, 0, 0, 0x04, 0, 0xff, 0xc9, 0x75, 0xf4, 0xf4,
    ];
    let mut bench = Bench::new(&code);
    bench.regs.gpr[1] = 9;
    let exit = bench.run(1000);
    assert!(matches!(exit.cause, Cause::Intercept(_)), "{exit:?}");
    assert_eq!(
        (bench.regs.gpr[0], bench.engine.icount()),
        ((1..=9).sum(), 4 * 9)
    );
}

#[test]
fn one_frame_runs_at_each_of_its_addresses() {
    // lea rax, [rip]; jmp +0; lea rbx, [rip]; hlt
    let code = [
        0x48, 0x8d, 0x05, 0, 0, 0, 0, 0xeb, 0, 0x48, 0x8d, 0x1d, 0, 0, 0, 0, 0xf4,
    ];
    let mut bench = Bench::new(&code);
    for n in 0..3 {
        bench.pages.moved.insert(ALIAS + n * PAGE, CODE);
    }
    for round in 0..3 {
        for page in [CODE, ALIAS, ALIAS + PAGE, ALIAS + 2 * PAGE] {
            let before = bench.engine.icount();
            bench.call(page);
            assert_eq!(
                (bench.regs.gpr[0], bench.regs.gpr[3]),
                (page + 7, page + 16)
            );
            assert_eq!(bench.engine.icount() - before, 3, "round {round}");
        }
    }
}

#[test]
fn another_frame_is_mapped_in_the_place_of_code() {
    // Blocks of the same address and size, with other instructions: 2, 6 and 1 before an
    // interception.
    let frames: [(u64, &[u8], u64, u64); 4] = [
        // inc rax; inc rax; hlt
        (0x6000, &[0x48, 0xff, 0xc0, 0x48, 0xff, 0xc0, 0xf4], 2, 6),
        // six nops; hlt
        (0x7000, &[0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xf4], 6, 6),
        // nop; cpuid; nop; nop; nop; hlt
        (0x8000, &[0x90, 0x0f, 0xa2, 0x90, 0x90, 0x90, 0xf4], 1, 1),
        // mov ebx, 3; nop; hlt
        (0x9000, &[0xbb, 3, 0, 0, 0, 0x90, 0xf4], 2, 6),
    ];
    let mut bench = Bench::new(&[]);
    for (frame, code, ..) in frames {
        bench.write(frame, code);
    }
    // A caller in another page, so that its block is chained to the changing one: jmp rdx
    bench.write(0x5000, &[0x90, 0xff, 0xe2]);
    for n in 0..24usize {
        let (frame, _, count, offset) = frames[n * 7 % 5 % 4];
        bench.pages.moved.insert(ALIAS, frame);
        bench.engine.flush_tlb();
        for _ in 0..3 {
            bench.regs.gpr[2] = ALIAS;
            bench.regs.gpr[0] = 0;
            let before = bench.engine.icount();
            bench.call(0x5000);
            assert_eq!(bench.regs.rip, ALIAS + offset, "frame {frame:#x}");
            assert_eq!(
                bench.engine.icount() - before,
                2 + count,
                "frame {frame:#x}"
            );
            assert_eq!(bench.regs.gpr[0], if frame == 0x6000 { 2 } else { 0 });
        }
    }
}

#[test]
fn the_second_page_of_a_block_changes_its_frame() {
    // mov eax, imm32 over the page end: its immediate lies in the second page
    let at = ALIAS + PAGE - 1;
    let mut bench = Bench::new(&[]);
    bench.write(0x6fff, &[0xb8]);
    for (frame, n) in [(0x8000u64, 1u8), (0x9000, 2)] {
        bench.write(frame, &[n, 0, 0, 0, 0xf4]);
    }
    bench.pages.moved.insert(ALIAS, 0x6000);
    for n in [1, 2, 1, 2] {
        bench.pages.moved.insert(ALIAS + PAGE, 0x7000 + n * PAGE);
        bench.engine.flush_tlb();
        assert_eq!(eax(&mut bench, at), n);
    }
}

/// A bit test is stepped, behind a hook; where it changes its own bytes it is still done once, and ends.
#[test]
fn a_hooked_instruction_changes_itself() {
    // bts qword ptr [rdi], 52: bit 4 of byte 6, which is the next instruction's; hlt becomes it.
    let code = [0x48, 0x0f, 0xba, 0x2f, 52, 0x90, 0xe4, 0];
    let mut bench = Bench::new(&code);
    bench.regs.gpr[7] = CODE;
    let exit = bench.run(2);
    assert!(matches!(exit.cause, Cause::Limit), "{exit:?}");
    assert_eq!(bench.regs.rip, CODE + 6);
    assert_eq!(bench.bytes(CODE + 6, 1), [0xf4]);
    assert!(matches!(bench.run(3).cause, Cause::Intercept(_)));
}

/// An unaligned read-modify-write over the block that it is in is made once.
#[test]
fn a_store_over_its_own_block_is_made_once() {
    for distance in 0..24u64 {
        for step in [false, true] {
            // mov rcx, rcx; nop; add [rdi], rax; nop ...; hlt
            let mut code = vec![0x90; 40];
            code[..3].copy_from_slice(&[0x48, 0x89, 0xc9]);
            code[4..7].copy_from_slice(&[0x48, 0x01, 0x07]);
            code[39] = 0xf4;
            let mut bench = Bench::new(&code);
            bench.regs.gpr[7] = CODE + distance;
            // Adds to a single byte, without carry: 0x90 + 1 is XCHG ECX,EAX, 0x48 + 1 another REX.
            bench.regs.gpr[0] = 1 << 32;
            let before = bench.bytes(CODE, 40);
            if step {
                for _ in 0..3 {
                    assert!(matches!(bench.step().cause, Cause::Stepped));
                }
            } else {
                assert!(matches!(bench.run(3).cause, Cause::Limit));
            }
            let mut expected = before.clone();
            let at = distance as usize;
            let value = u64::from_le_bytes(before[at..at + 8].try_into().unwrap());
            expected[at..at + 8].copy_from_slice(&value.wrapping_add(1 << 32).to_le_bytes());
            assert_eq!(bench.bytes(CODE, 40), expected, "{distance} {step}");
            assert_eq!((bench.regs.rip, bench.engine.icount()), (CODE + 7, 3));
        }
    }
}

/// LOCK BT, BTS, BTR, BTC of a register: #UD where control comes to them, and no harm where not.
#[test]
fn what_the_translator_does_not_survive_is_not_translated() {
    for bytes in [
        &[0xf0, 0x65, 0x66, 0x0f, 0xba, 0xe7, 0x15][..],
        &[0xf0, 0x4f, 0x48, 0x0f, 0xb3, 0xd3],
        &[0xf0, 0x0f, 0xab, 0xc0],
        &[0x66, 0xf0, 0x0f, 0xa3, 0xc0],
        &[0xf0, 0x0f, 0xbb, 0xff],
    ] {
        // At a place in the page's middle, and over its end.
        for at in (CODE + 0x100..CODE + 0x102).chain(CODE + PAGE - 6..CODE + PAGE) {
            // nop; nop; the instruction
            let mut bench = Bench::at(at - 2, &[&[0x90, 0x90], bytes].concat());
            let exit = bench.run(100);
            assert!(matches!(exit.cause, Cause::Invalid), "{exit:?}");
            assert_eq!((bench.regs.rip, bench.engine.icount()), (at, 2));
            // jmp over it; hlt
            let mut bench = Bench::at(
                at - 2,
                &[&[0xeb, bytes.len() as u8], bytes, &[0xf4]].concat(),
            );
            let exit = bench.run(100);
            assert!(matches!(exit.cause, Cause::Intercept(_)), "{exit:?}");
            assert_eq!(bench.regs.rip, at + bytes.len() as u64);
            assert_eq!(bench.engine.icount(), 1);
            // Put there while its page runs: by the host, and by the guest (mov [rdi], eax; nop ...).
            let mut bench = Bench::at(at - 5, &[0x89, 0x07, 0x90, 0x90, 0x90, 0xf4]);
            bench.call(at - 5 + 2);
            bench.write(at, bytes);
            let exit = bench.run(100);
            assert!(matches!(exit.cause, Cause::Invalid), "{exit:?}");
            if bytes.len() == 4 {
                bench.write(at, &[0xf4, 0, 0, 0]);
                bench.call(at - 3);
                bench.regs.rip = at - 5;
                bench.regs.gpr[7] = at;
                bench.regs.gpr[0] = u32::from_le_bytes(bytes.try_into().unwrap()).into();
                let exit = bench.run(100_000);
                assert!(matches!(exit.cause, Cause::Invalid), "{exit:?}");
                assert_eq!(bench.regs.rip, at);
            }
        }
    }
}

/// What is known of code is forgotten with a change of breakpoints; it is code again when it runs.
#[test]
fn the_host_and_the_guest_write_over_code_after_breakpoints_have_changed() {
    let mut bench = Bench::new(&give(1));
    // mov [rbx], cl; cpuid
    bench.write(0x6000, &[0x88, 0x0b, 0x0f, 0xa2]);
    for n in 1..8 {
        assert_eq!(eax(&mut bench, CODE), n);
        bench.engine.set_breakpoints(vec![0x1_0000 + n]);
        assert_eq!(eax(&mut bench, CODE), n);
        if n % 2 == 0 {
            bench.write(CODE + 1, &[n as u8 + 1]);
        } else {
            bench.regs.gpr[3] = CODE + 1;
            bench.regs.gpr[1] = n + 1;
            bench.call(0x6000);
        }
    }
}
