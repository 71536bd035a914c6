//! Exceptions that Unicorn raises: each with its own vector however many came before, precise, and
//! with its error code (SDM vol. 3, chapter 6, and the instructions' pages of vol. 2).

use crate::support::{Bench, CODE};
use iretrace::arch::CpuState;
use iretrace::arch::bits::{cr0, cr4, rflags};
use iretrace::engine::Cause;

const DE: u8 = 0;
const BR: u8 = 5;
const NM: u8 = 7;
const GP: u8 = 13;
const MF: u8 = 16;

/// xor ecx, ecx; div ecx
const DIV: &[u8] = &[0x31, 0xc9, 0xf7, 0xf1];
const CLI: &[u8] = &[0xfa];
const FLD1: &[u8] = &[0xd9, 0xe8];
/// fninit; fldcw [0x8000]; fld1; fldz; fdivp; nop; fwait
const FPU: &[u8] = &[
    0xdb, 0xe3, 0xd9, 0x2c, 0x25, 0, 0x80, 0, 0, 0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9, 0x90, 0x9b,
];
/// All x87 exceptions masked but #Z.
const UNMASKED: u16 = 0x037b;

#[track_caller]
fn vector(cause: &Cause) -> (u8, u32) {
    match *cause {
        Cause::Exception { vector, error_code } => (vector, error_code),
        _ => panic!("no exception: {cause:?}"),
    }
}

fn place(bench: &mut Bench, code: &[u8]) {
    bench.write(CODE, code);
    bench.write(CODE + code.len() as u64, &[0x90, 0xf4]);
    bench.regs = CpuState::long_mode();
    bench.regs.rip = CODE;
    bench.regs.gpr[4] = 0x9000;
}

#[test]
fn exceptions_in_a_row_keep_their_vectors() {
    // Contributory ones among them: Unicorn would make #DF of the second, and nothing of the third.
    let mut bench = Bench::new(&[]);
    bench.write(0x8000, &UNMASKED.to_le_bytes());
    let mut retired = 0;
    for n in 0..40 {
        for step in [false, true] {
            let (code, wanted, before): (_, _, u64) = match n % 5 {
                0 | 1 => (DIV, DE, 1),
                2 | 3 => (CLI, GP, 0),
                _ => (FPU, MF, 6),
            };
            place(&mut bench, code);
            if wanted == GP {
                bench.regs.cpl = 3;
            }
            for _ in 0..if step { before } else { 0 } {
                assert!(matches!(bench.step().cause, Cause::Stepped));
            }
            let exit = if step {
                bench.step()
            } else {
                bench.run(u64::MAX)
            };
            let (vector, error_code) = vector(&exit.cause);
            assert_eq!(vector, wanted, "round {n}");
            if wanted == GP {
                assert_eq!(error_code, 0);
            }
            retired += before;
            assert_eq!(bench.engine.icount(), retired, "round {n}");
        }
    }
}

#[test]
fn the_same_instruction_faults_with_the_same_vector_again_and_again() {
    let mut bench = Bench::new(&[]);
    place(&mut bench, DIV);
    for _ in 0..10 {
        assert_eq!(vector(&bench.run(u64::MAX).cause).0, DE);
        assert_eq!((bench.regs.rip, bench.engine.icount()), (CODE + 2, 1));
    }
}

#[test]
fn a_refused_page_between_two_exceptions_is_a_refused_page() {
    // A page fault after a contributory exception would be #DF to Unicorn.
    let mut bench = Bench::new(&[]);
    bench.pages.absent.insert(0xa000);
    for _ in 0..5 {
        place(&mut bench, DIV);
        assert_eq!(vector(&bench.run(u64::MAX).cause).0, DE);
        place(&mut bench, &[0xa0, 0, 0xa0, 0, 0, 0, 0, 0, 0]); // mov al, [0xa000]
        let exit = bench.run(u64::MAX);
        assert!(matches!(exit.cause, Cause::Data { .. }), "{exit:?}");
    }
}

#[test]
fn a_fault_leaves_every_register_and_flag() {
    // xor ecx, ecx; (ZF, PF) nop; div ecx: with the block's lazy flags pending
    let mut bench = Bench::new(&[]);
    place(&mut bench, &[0x31, 0xc9, 0x90, 0xf7, 0xf1]);
    bench.regs.gpr = std::array::from_fn(|n| 0x1111 * n as u64 + 5);
    bench.regs.rflags = rflags::FIXED | rflags::CF | rflags::DF | rflags::IF;
    let mut wanted = bench.regs.clone();
    let exit = bench.run(u64::MAX);
    assert_eq!(vector(&exit.cause).0, DE);
    wanted.gpr[1] = 0;
    wanted.rip = CODE + 3;
    // XOR: AF is undefined, CF and OF cleared (SDM vol. 2).
    wanted.rflags = rflags::FIXED | rflags::DF | rflags::IF | rflags::ZF | rflags::PF;
    bench.regs.rflags &= !rflags::AF;
    assert_eq!(bench.regs, wanted);
}

#[test]
fn a_quotient_that_does_not_fit_is_a_divide_error() {
    let mut bench = Bench::new(&[]);
    place(&mut bench, &[0x48, 0xf7, 0xfb]); // idiv rbx
    bench.regs.gpr[0] = 1 << 63;
    bench.regs.gpr[2] = u64::MAX;
    bench.regs.gpr[3] = u64::MAX;
    let before = bench.regs.clone();
    assert_eq!(vector(&bench.run(u64::MAX).cause).0, DE);
    assert_eq!(bench.regs, before);
}

#[test]
fn device_not_available_follows_cr0() {
    // SDM vol. 3, tables 2-2 and 13-1: x87 with EM or TS, WAIT with MP and TS, SSE with TS.
    const WAIT: &[u8] = &[0x9b];
    const XORPS: &[u8] = &[0x0f, 0x57, 0xc0];
    let base = cr0::PE | cr0::ET | cr0::NE | cr0::WP | cr0::PG;
    for (code, bits, faults) in [
        (FLD1, cr0::MP, false),
        (FLD1, cr0::TS, true),
        (FLD1, cr0::EM, true),
        (FLD1, cr0::TS | cr0::MP, true),
        (WAIT, cr0::MP, false),
        (WAIT, cr0::TS, false),
        (WAIT, cr0::TS | cr0::MP, true),
        (WAIT, cr0::EM, false),
        (XORPS, cr0::MP, false),
        (XORPS, cr0::TS, true),
        (XORPS, cr0::TS | cr0::MP, true),
    ] {
        let mut bench = Bench::new(&[]);
        place(&mut bench, code);
        bench.regs.cr0 = base | bits;
        let exit = bench.run(u64::MAX);
        if faults {
            assert_eq!(vector(&exit.cause).0, NM, "{code:x?} {bits:#x}");
            assert_eq!((bench.regs.rip, bench.engine.icount()), (CODE, 0));
        } else {
            assert!(
                matches!(exit.cause, Cause::Intercept(_)),
                "{code:x?} {bits:#x}: {exit:?}"
            );
        }
    }
}

#[test]
fn sse_is_undefined_with_em_or_without_osfxsr() {
    // SDM vol. 3, table 13-1.
    for (cr0, cr4) in [(cr0::EM, cr4::OSFXSR), (0, 0)] {
        let mut bench = Bench::new(&[]);
        place(&mut bench, &[0x90, 0x0f, 0x57, 0xc0]);
        bench.regs.cr0 |= cr0;
        bench.regs.cr4 = bench.regs.cr4 & !cr4::OSFXSR | cr4;
        let exit = bench.run(u64::MAX);
        assert!(
            matches!(
                exit.cause,
                Cause::Invalid | Cause::Exception { vector: 6, .. }
            ),
            "{exit:?}"
        );
        assert_eq!((bench.regs.rip, bench.engine.icount()), (CODE + 1, 1));
    }
}

#[test]
fn an_unmasked_x87_exception_comes_at_the_next_waiting_instruction() {
    // SDM vol. 1, 8.7.1: native mode, CR0.NE.
    let mut bench = Bench::new(&[]);
    bench.write(0x8000, &UNMASKED.to_le_bytes());
    place(&mut bench, FPU);
    let exit = bench.run(u64::MAX);
    assert_eq!(vector(&exit.cause).0, MF);
    assert_eq!((bench.regs.rip, bench.engine.icount()), (CODE + 16, 6));
}

#[test]
fn what_is_no_instruction_is_said_before_it_runs() {
    for (name, code) in [
        ("ud2", &[0x0f, 0x0b][..]),
        ("int1", &[0xf1]),
        ("push es in 64-bit mode", &[0x06]),
        ("lock inc eax", &[0xf0, 0xff, 0xc0]),
        ("lock mov", &[0xf0, 0x89, 0x03]),
        ("mov cs, ax", &[0x8e, 0xc8]),
        ("eretu", &[0xf3, 0x0f, 0x01, 0xca]),
        ("erets", &[0xf2, 0x0f, 0x01, 0xca]),
        ("vmcall", &[0x0f, 0x01, 0xc1]),
        ("aaa in 64-bit mode", &[0x37]),
        ("vex", &[0xc5, 0xf8, 0x28, 0xc1]),
    ] {
        for step in [false, true] {
            let mut bench = Bench::new(&[]);
            place(&mut bench, &[&[0x90], code].concat());
            bench.regs.gpr[3] = 0x8000;
            let exit = if step {
                bench.step();
                bench.step()
            } else {
                bench.run(u64::MAX)
            };
            assert!(
                matches!(
                    exit.cause,
                    Cause::Invalid | Cause::Intercept(_) | Cause::Exception { vector: 6, .. }
                ),
                "{name}: {exit:?}"
            );
            assert_eq!(
                (bench.regs.rip, bench.engine.icount()),
                (CODE + 1, 1),
                "{name}"
            );
            assert_eq!(
                (bench.regs.gpr[0], bench.regs.gpr[4]),
                (0, 0x9000),
                "{name}"
            );
        }
    }
    // INT1 and UD2 are known by decoding, not by what Unicorn says.
    for code in [&[0xf1][..], &[0x0f, 0x0b]] {
        let mut bench = Bench::new(&[]);
        place(&mut bench, code);
        assert!(matches!(bench.run(9).cause, Cause::Intercept(i) if i.len() == code.len()));
    }
}

#[test]
fn bound_is_a_fault_in_compatibility_mode() {
    // bound eax, [0x8000] (SDM vol. 2, BOUND: #BR, RIP at the instruction)
    let mut bench = Bench::new(&[]);
    bench.write(0x8000, &[1, 0, 0, 0, 5, 0, 0, 0]);
    for (index, faults) in [(0, true), (1, false), (5, false), (6, true)] {
        place(&mut bench, &[0x62, 0x05, 0, 0x80, 0, 0]);
        bench.regs.seg[1] = iretrace::arch::Segment::flat_code32(0x18, 0);
        bench.regs.gpr[0] = index;
        let exit = bench.run(u64::MAX);
        if faults {
            assert_eq!((vector(&exit.cause).0, bench.regs.rip), (BR, CODE));
        } else {
            assert!(matches!(exit.cause, Cause::Intercept(_)), "{exit:?}");
        }
    }
}

#[test]
fn vex_before_an_opcode_it_does_not_have_is_no_legacy_instruction() {
    // VEX.128.0F 30, VEX.128.0F 31 and 32, all with three bytes: WRMSR, RDTSC and RDMSR have no VEX form
    // (SDM vol. 2, 2.3.6 and table A-3), so that these are #UD, a single step among blocks or not.
    for opcode in [0x30, 0x31, 0x32] {
        let mut bench = Bench::new(&[]);
        for step in [false, true] {
            place(&mut bench, &[0xc5, 0, opcode]);
            let exit = if step {
                bench.step()
            } else {
                bench.run(u64::MAX)
            };
            assert!(matches!(exit.cause, Cause::Invalid), "{exit:?}");
            assert_eq!(bench.regs.rip, CODE);
        }
    }
}
