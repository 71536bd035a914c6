//! Faults in random code: the same causes at the same places as in single steps.

use crate::counting::instruction;
use crate::support::{Bench, CODE, PAGE, STACK, data};
use iretrace::arch::AccessKind;
use iretrace::engine::{Cause, Exit, RunOptions};
use proptest::prelude::*;

const DATA: u64 = 0x8000;

/// Accesses to the pages from `DATA` on, which come and go.
fn access() -> impl Strategy<Value = Vec<u8>> {
    // rbp holds DATA; the displacement reaches 8 pages, and their ends.
    let at = prop_oneof![
        0u32..0x8000,
        (1u32..8, 0u32..32).prop_map(|(page, back)| page * 0x1000 - back),
    ];
    let code = prop::sample::select(vec![
        vec![0x48, 0x8b, 0x85],             // mov rax, m
        vec![0x48, 0x89, 0x85],             // mov m, rax
        vec![0x66, 0x89, 0x85],             // mov m, ax
        vec![0x48, 0x01, 0x85],             // add m, rax
        vec![0x48, 0x11, 0x85],             // adc m, rax
        vec![0xf0, 0x48, 0x0f, 0xc1, 0x85], // lock xadd m, rax
        vec![0x48, 0x0f, 0x44, 0x85],       // cmove rax, m
        vec![0x48, 0xd1, 0x95],             // rcl m, 1
        vec![0x48, 0xd3, 0xa5],             // shl m, cl
        vec![0x0f, 0x94, 0x85],             // sete m
        vec![0x48, 0xf7, 0xb5],             // div m
        vec![0xff, 0xb5],                   // push m
        vec![0x8f, 0x85],                   // pop m
        vec![0x0f, 0x10, 0x85],             // movups xmm0, m
        vec![0x0f, 0x11, 0x85],             // movups m, xmm0
        vec![0x0f, 0x28, 0x85],             // movaps xmm0, m
        vec![0x0f, 0x29, 0x85],             // movaps m, xmm0
        vec![0xdb, 0xbd],                   // fstp tbyte m
        vec![0xdd, 0x85],                   // fld qword m
        vec![0x48, 0x8d, 0xbd],             // lea rdi, m
        vec![0x48, 0x8d, 0xb5],             // lea rsi, m
        vec![0x48, 0x8d, 0xa5],             // lea rsp, m
    ]);
    (code, at).prop_map(|(mut code, at)| {
        code.extend(at.to_le_bytes());
        code
    })
}

fn other() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(vec![0xfa]),                   // cli: #GP at CPL 3
        Just(vec![0x31, 0xc9]),             // xor ecx, ecx
        Just(vec![0xf7, 0xf1]),             // div ecx
        Just(vec![0xb9, 40, 0, 0, 0]),      // mov ecx, 40
        Just(vec![0xf3, 0x48, 0xa5]),       // rep movsq
        Just(vec![0xf3, 0xaa]),             // rep stosb
        Just(vec![0xf3, 0xa6]),             // repe cmpsb
        Just(vec![0xaa]),                   // stosb
        Just(vec![0xc8, 16, 0, 1]),         // enter 16, 1
        Just(vec![0x48, 0x83, 0xec, 0x40]), // sub rsp, 64
        Just(vec![0x0f, 0xa2]),             // cpuid
        Just(vec![0xf0, 0x89, 0x03]),       // lock mov: undefined
        Just(vec![0x72, 0x05]),             // jc over whatever is there
    ]
}

/// One stop, normalised: of a run and of single steps it must be the same.
type Stop = (String, u64, u64);

struct Rig {
    bench: Bench,
    stops: Vec<Stop>,
    step: bool,
}

impl Rig {
    /// Until something other than progress. A guard is no stop: where it stops, and would not have
    /// in a single step, is open; the instruction is then run with the guard off.
    fn next(&mut self, limit: u64) -> Exit {
        loop {
            if self.bench.engine.icount() >= limit {
                return Exit {
                    cause: Cause::Limit,
                    rep_iterations: 0,
                };
            }
            let mut exit = if self.step {
                self.bench.step()
            } else {
                self.bench.advance(limit)
            };
            if matches!(exit.cause, Cause::Guard(..)) {
                exit = self.bench.with(RunOptions {
                    step: true,
                    force: true,
                    ..RunOptions::default()
                });
            }
            // (A REP instruction that overwrites itself stops between its iterations.)
            if !matches!(exit.cause, Cause::Stepped | Cause::RepSlice) {
                return exit;
            }
        }
    }

    /// Runs as a machine would that maps what is missing, steps over what it is asked to look at,
    /// and skips what it cannot execute.
    fn drive(&mut self, limit: u64) {
        for _ in 0..200 {
            let exit = self.next(limit);
            let name = match &exit.cause {
                Cause::Limit => "limit".into(),
                Cause::Data { page, kind } => {
                    self.bench.pages.absent.remove(&page.0);
                    let upgrade = self.bench.pages.read_only.remove(&page.0);
                    format!("{:#x} {kind:?} {upgrade}", page.0)
                }
                Cause::Fetch { page } => {
                    self.bench.pages.absent.remove(&page.0);
                    format!("fetch {:#x}", page.0)
                }
                Cause::Exception { vector, error_code } => {
                    let code = if *vector == 13 { *error_code } else { 0 };
                    format!("vector {vector} {code:#x}")
                }
                Cause::Intercept(insn) => format!("intercept {:?}", insn.code()),
                Cause::NonCanonicalTarget(insn) => format!("target {:?}", insn.code()),
                other => format!("{other:?}"),
            };
            let at = (self.bench.regs.rip, self.bench.engine.icount());
            self.stops.push((name, at.0, at.1));
            match exit.cause {
                Cause::Data { .. } | Cause::Fetch { .. } => {}
                Cause::Exception { .. } | Cause::Invalid => self.bench.regs.rip += 2,
                Cause::Intercept(insn) if insn.code() == iced_x86::Code::Hlt => return,
                Cause::Intercept(_) => self.bench.regs.rip += 2,
                _ => return,
            }
        }
    }
}

proptest! {
    #![proptest_config(crate::support::proptest_config())]

    /// Random code over random pages that are absent or read-only, mapped as it asks for them:
    /// every stop, every register and all of RAM agree with single steps, beside hooks of somebody else, too.
    #[test]
    fn random_faults_are_those_of_single_steps(
        body in prop::collection::vec(prop_oneof![3 => access(), 2 => instruction(), 1 => other()], 1..40),
        at in 0u64..60,
        absent in prop::collection::btree_set(0u64..9, 0..6),
        read_only in prop::collection::btree_set(0u64..9, 0..4),
        next_code in any::<bool>(),
        cpl in prop::sample::select(vec![0u8, 3]),
        seed in any::<u64>(),
    ) {
        let mut code = body.concat();
        code.extend([0xf4; 8]);
        let run = |step: bool, hooked: bool| {
            let start = CODE + PAGE - 60 + at;
            let mut bench = Bench::at(start, &code);
            bench.regs.cpl = cpl;
            bench.regs.gpr = std::array::from_fn(|n| seed.rotate_left(4 * n as u32));
            bench.regs.gpr[5] = DATA;
            bench.regs.gpr[4] = DATA + 0x4000 + (seed & 0xfff);
            bench.regs.gpr[6] = DATA + 0x1000 + (seed >> 12 & 0xfff);
            bench.regs.gpr[7] = DATA + 0x6000 + (seed >> 24 & 0xfff);
            bench.regs.gpr[1] = seed >> 40 & 0x3f;
            bench.pages.absent = absent.iter().map(|n| DATA + n * PAGE).collect();
            bench.pages.read_only = read_only.iter().map(|n| DATA + n * PAGE).collect();
            if next_code {
                bench.pages.absent.insert(CODE + PAGE);
            }
            if hooked {
                bench.engine.unicorn();
            }
            let mut rig = Rig { bench, stops: Vec::new(), step };
            rig.drive(300);
            (rig.stops, rig.bench.regs.clone(), rig.bench.engine.icount(), rig.bench.bytes(CODE, 0x20000))
        };
        let slow = run(true, false);
        for hooked in [false, true] {
        let fast = run(false, hooked);
        prop_assert_eq!(&fast.0, &slow.0, "hooked: {}", hooked);
        prop_assert_eq!(&fast.1, &slow.1, "hooked: {}", hooked);
        prop_assert_eq!(fast.2, slow.2);
        prop_assert!(fast.3 == slow.3, "RAM differs");
        }
    }
}
/// A guard that lets its instruction run on, arithmetic behind it, and a fault behind that.
#[test]
fn flags_behind_a_guard_survive_a_fault() {
    const MOVUPS: &[u8] = &[0x0f, 0x11, 0x85, 0, 0, 0, 0]; // movups [rbp], xmm0
    const ADD: &[u8] = &[0x48, 0x01, 0xc2]; // add rdx, rax
    const PUSH: &[u8] = &[0x50]; // push rax
    const STORE: &[u8] = &[0xc6, 0x05, 0, 0, 0, 0, 0x90]; // mov byte [rip], 0x90
    for parts in [[MOVUPS, ADD, PUSH], [MOVUPS, ADD, STORE]] {
        let mut code = parts.concat();
        code.extend([0x90, 0xf4]);
        let run = |step: bool| {
            let bench = Bench::at(CODE, &code);
            let mut rig = Rig {
                bench,
                stops: Vec::new(),
                step,
            };
            rig.bench.regs.gpr[5] = DATA;
            rig.bench.regs.gpr[4] = DATA + 0x4008;
            rig.bench.regs.gpr[0] = 0;
            rig.bench.pages.read_only.insert(DATA + 4 * PAGE);
            rig.drive(300);
            (rig.stops, rig.bench.regs)
        };
        assert_eq!(run(false), run(true));
    }
}

/// A PUSHF that fills the TLB between two instructions that are looked at: the flags of a fault behind
/// it are those of the addition.
#[test]
fn a_pushf_in_hooked_code_keeps_the_flags() {
    let mut bench = Bench::new(&[
        0x0f, 0x11, 0x45, 0, // movups [rbp], xmm0: guarded
        0x48, 0x01, 0x85, 0, 0x20, 0, 0,    // add [rbp+0x2000], rax: 0 + 0
        0x9c, // pushfq
        0xaa, // stosb: no page there
        0xf4,
    ]);
    bench.regs.gpr = [0; 16];
    bench.regs.gpr[4] = STACK;
    bench.regs.gpr[5] = DATA;
    bench.regs.gpr[7] = DATA + 0x6000;
    bench.pages.absent.insert(DATA + 0x6000);
    let exit = bench.run(u64::MAX);
    assert_eq!(data(&exit), (DATA + 0x6000, AccessKind::Write));
    assert_eq!((bench.regs.rip, bench.engine.icount()), (CODE + 12, 3));
    // ZF and PF.
    assert_eq!(bench.regs.rflags, 0x46);
    assert_eq!(bench.bytes(STACK - 8, 1), [0x46]);
}
