//! What a block depends on besides its bytes: privilege, mode, segment bases, flags.

use crate::support::{Bench, CODE, STACK, data};
use iretrace::arch::bits::{cr4, rflags};
use iretrace::arch::{AccessKind, Segment};
use iretrace::engine::Cause;

fn ends_well(cause: &Cause) {
    assert!(matches!(cause, Cause::Intercept(_)), "{cause:?}");
}

#[test]
fn cli_depends_on_cpl_and_iopl() {
    // SDM vol. 2, CLI: #GP(0) if CPL > IOPL.
    let mut bench = Bench::new(&[0x90, 0xfa, 0xf4]);
    for _ in 0..2 {
        for (cpl, iopl) in [(0, 0), (3, 0), (3, 3), (1, 0), (3, 2), (2, 2), (0, 3)] {
            bench.regs.rip = CODE;
            bench.regs.cpl = cpl;
            bench.regs.rflags = rflags::FIXED | rflags::IF | (iopl << 12);
            let exit = bench.run(u64::MAX);
            if u64::from(cpl) <= iopl {
                ends_well(&exit.cause);
                assert_eq!(bench.regs.rflags & rflags::IF, 0);
            } else {
                assert!(
                    matches!(
                        exit.cause,
                        Cause::Exception {
                            vector: 13,
                            error_code: 0
                        }
                    ),
                    "{cpl} {iopl}: {exit:?}"
                );
                assert_eq!(bench.regs.rip, CODE + 1);
                assert_ne!(bench.regs.rflags & rflags::IF, 0);
            }
        }
    }
}

#[test]
fn what_one_privilege_level_was_granted_is_not_anothers() {
    // mov rax, [0xa000]; hlt. No flush between the levels: SDM vol. 3, 4.6.
    let mut bench = Bench::new(&[0x48, 0x8b, 0x04, 0x25, 0, 0xa0, 0, 0, 0xf4]);
    bench.pages.supervisor.insert(0xa000);
    for cpl in [0, 3, 0, 1, 3, 2, 3] {
        bench.pages.questions.borrow_mut().clear();
        bench.regs.rip = CODE;
        bench.regs.cpl = cpl;
        let exit = bench.run(u64::MAX);
        if cpl == 3 {
            assert_eq!(data(&exit), (0xa000, AccessKind::Read));
        } else {
            ends_well(&exit.cause);
        }
        let questions = bench.pages.questions.borrow();
        assert!(questions.iter().all(|q| q.1 == cpl), "{questions:x?}");
    }
}

#[test]
fn smap_and_ac_decide_for_each_access() {
    // mov rax, [0xa000]; hlt: supervisor access to a user page (SDM vol. 3, 4.6.1)
    let mut bench = Bench::new(&[0x48, 0x8b, 0x04, 0x25, 0, 0xa0, 0, 0, 0xf4]);
    bench.pages.user.insert(0xa000);
    bench.regs.cr4 |= cr4::SMAP;
    for (cpl, ac) in [
        (0, true),
        (0, false),
        (3, false),
        (0, false),
        (0, true),
        (3, true),
        (0, false),
    ] {
        bench.regs.rip = CODE;
        bench.regs.cpl = cpl;
        bench.regs.rflags = rflags::FIXED | if ac { rflags::AC } else { 0 };
        let exit = bench.run(u64::MAX);
        if cpl == 3 || ac {
            ends_well(&exit.cause);
        } else {
            assert_eq!(data(&exit), (0xa000, AccessKind::Read), "{cpl} {ac}");
        }
    }
}

#[test]
fn compatibility_mode_decodes_32_bit_code() {
    // inc eax; mov ebx, [0x8000]; push eax; mov ecx, [ebx + 0xfffff000]; hlt
    let code = [
        0x40, 0x8b, 0x1d, 0, 0x80, 0, 0, 0x50, 0x8b, 0x8b, 0, 0xf0, 0xff, 0xff, 0xf4,
    ];
    for step in [false, true] {
        let mut bench = Bench::new(&code);
        bench.write(0x8000, &0x9800u32.to_le_bytes());
        bench.write(0x8800, &[0x78, 0x56, 0x34, 0x12, 0xff, 0xff]);
        bench.regs.seg[1] = Segment::flat_code32(0x18, 0);
        bench.regs.gpr[0] = 0xffff_ffff;
        if step {
            for _ in 0..4 {
                assert!(matches!(bench.step().cause, Cause::Stepped));
            }
        } else {
            ends_well(&bench.run(u64::MAX).cause);
        }
        assert_eq!(
            (bench.regs.gpr[0], bench.regs.gpr[3], bench.regs.gpr[1]),
            (0, 0x9800, 0x1234_5678),
            "the address wraps at 4 GiB"
        );
        assert_eq!((bench.regs.gpr[4], bench.engine.icount()), (STACK - 4, 4));
    }
}

#[test]
fn the_same_bytes_mean_other_instructions_in_each_mode() {
    // 48 ff c0: inc rax, or dec eax; inc eax. b8 34 12 f4 .. : mov ax, or mov eax.
    let mut bench = Bench::new(&[0x48, 0xff, 0xc0, 0xb8, 0x34, 0x12, 0xf4, 0x00, 0xf4]);
    let code16 = Segment {
        attr: Segment::flat_code32(0x18, 0).attr & !Segment::DB,
        ..Segment::flat_code32(0x18, 0)
    };
    let modes = [
        (Segment::flat_code64(8, 0), 2, 8, 0x00f4_1234),
        (Segment::flat_code32(0x18, 0), 3, 8, 0x00f4_1234),
        (code16, 3, 6, 0x1234),
    ];
    for _ in 0..3 {
        for (cs, count, offset, rax) in modes {
            bench.regs.seg[1] = cs;
            bench.regs.gpr[0] = 0;
            let before = bench.engine.icount();
            bench.call(CODE);
            assert_eq!(
                (
                    bench.engine.icount() - before,
                    bench.regs.rip - CODE,
                    bench.regs.gpr[0]
                ),
                (count, offset, rax)
            );
        }
    }
}

#[test]
fn segment_bases_count_where_the_mode_has_them() {
    // mov eax, ds:[rbx]; mov ecx, fs:[rbx]; mov edx, gs:[rbx]; hlt (SDM vol. 1, 3.4.2.1)
    let code = [0x8b, 0x03, 0x64, 0x8b, 0x0b, 0x65, 0x8b, 0x13, 0xf4];
    let mut bench = Bench::new(&code);
    for page in 0..4u64 {
        bench.write(0x8010 + page * 0x100, &[page as u8 + 1]);
    }
    for (wide, ds) in [(true, 1), (false, 2), (true, 1)] {
        bench.regs.seg[1] = if wide {
            Segment::flat_code64(8, 0)
        } else {
            Segment::flat_code32(0x18, 0)
        };
        bench.regs.seg[3].base = 0x100;
        bench.regs.seg[4].base = 0x200;
        bench.regs.seg[5].base = 0x300;
        bench.regs.gpr[3] = 0x8010;
        bench.call(CODE);
        assert_eq!(
            (bench.regs.gpr[0], bench.regs.gpr[1], bench.regs.gpr[2]),
            (ds, 3, 4)
        );
    }
    // All 64 bits of a base count, and they wrap.
    bench.regs.seg[4].base = 0u64.wrapping_sub(0x10_0000);
    bench.regs.gpr[3] = 0x10_8010;
    bench.write(0x8010, &[0x77]);
    bench.regs.rip = CODE + 2;
    bench.regs.seg[5].base = bench.regs.seg[4].base;
    bench.call(CODE + 2);
    assert_eq!((bench.regs.gpr[1], bench.regs.gpr[2]), (0x77, 0x77));
}

#[test]
fn pushf_never_shows_rf_and_rf_ends_with_the_instruction() {
    // pushfq; nop; hlt. SDM vol. 2, PUSHF: RF and VM are cleared in the image. Vol. 3, 17.3.1.1:
    // RF is cleared by the successful execution of the instruction.
    for step in [false, true] {
        let mut bench = Bench::new(&[0x9c, 0x90, 0xf4]);
        bench.regs.rflags = rflags::FIXED | rflags::CF | rflags::RF | rflags::IF | rflags::NT;
        if step {
            bench.step();
        } else {
            bench.run(1);
        }
        assert_eq!(bench.regs.rflags & rflags::RF, 0);
        let image = bench.bytes(STACK - 8, 8);
        assert_eq!(
            u64::from_le_bytes(image.try_into().unwrap()),
            rflags::FIXED | rflags::CF | rflags::IF | rflags::NT
        );
    }
    // A fault keeps it: the instruction has not executed.
    let mut bench = Bench::new(&[0x9c, 0xf4]);
    bench.regs.rflags |= rflags::RF;
    bench.pages.absent.insert(STACK - 0x1000);
    assert_eq!(data(&bench.run(9)).0, STACK - 0x1000);
    assert_ne!(bench.regs.rflags & rflags::RF, 0);
}

#[test]
fn pushf_shows_the_guests_trap_flag_and_not_the_engines() {
    for guest in [0, rflags::TF] {
        for step in [false, true] {
            let mut bench = Bench::new(&[0x90, 0x9c, 0xf4]);
            bench.regs.rflags |= guest;
            // With TF a #DB follows each instruction (SDM vol. 3, 17.3.1.4), so a run ends there, too.
            if step || guest != 0 {
                for n in 1..3 {
                    let exit = if step {
                        bench.step()
                    } else {
                        bench.run(u64::MAX)
                    };
                    assert!(matches!(exit.cause, Cause::Stepped), "{exit:?}");
                    assert_eq!(bench.engine.icount(), n);
                }
            } else {
                ends_well(&bench.run(u64::MAX).cause);
            }
            let image = bench.bytes(STACK - 8, 8);
            assert_eq!(
                u64::from_le_bytes(image.try_into().unwrap()),
                rflags::FIXED | guest
            );
            assert_eq!(bench.regs.rflags & rflags::TF, guest);
        }
    }
}

#[test]
fn every_flag_comes_back_as_it_was() {
    // nop; hlt
    let all = [
        rflags::CF,
        rflags::PF,
        rflags::AF,
        rflags::ZF,
        rflags::SF,
        rflags::IF,
        rflags::DF,
        rflags::OF,
        rflags::IOPL,
        rflags::NT,
        rflags::AC,
        rflags::VIF,
        rflags::VIP,
        rflags::ID,
    ];
    let every = all.iter().fold(0, |sum, bit| sum | bit);
    let mut bench = Bench::new(&[0x90, 0xf4]);
    for value in all.into_iter().chain([0, every]) {
        bench.regs.rflags = rflags::FIXED | value;
        bench.call(CODE);
        assert_eq!(bench.regs.rflags, rflags::FIXED | value, "{value:#x}");
    }
}
