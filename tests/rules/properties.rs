//! Each delivery and each IRET ends as the step list says.

use std::time::Instant;

use iretrace::arch::state::gpr;
use iretrace::arch::{Exception, Trap};
use iretrace::system::{InterruptShadow, PendingEvent};
use proptest::prelude::*;
use proptest::test_runner::{
    FileFailurePersistence, RngAlgorithm, RngSeed, TestCaseError, TestError, TestRunner,
};

use super::compare;
use super::coverage::Coverage;
use super::generate::{self, Op};
use super::manual::{self, Attempt, End, Returned};
use super::stimulus::Stimulus;
use super::world::{Both, World};

const REGRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rules/regressions.txt");

pub fn config(cases: u32) -> ProptestConfig {
    let given = ProptestConfig::default();
    ProptestConfig {
        cases: if std::env::var_os("PROPTEST_CASES").is_some() {
            given.cases
        } else {
            cases
        },
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(REGRESSIONS))),
        rng_algorithm: RngAlgorithm::ChaCha,
        rng_seed: match given.rng_seed {
            RngSeed::Random => RngSeed::Fixed(0x1e7),
            fixed => fixed,
        },
        source_file: Some(file!()),
        ..given
    }
}

/// Runs `check` over `cases` and shows the least case that fails.
pub fn run<S: Strategy>(
    config: ProptestConfig,
    cases: &S,
    check: impl Fn(S::Value) -> Result<(), String>,
) {
    let started = Instant::now();
    let number = config.cases;
    let result =
        TestRunner::new(config).run(cases, |case| check(case).map_err(TestCaseError::fail));
    match result {
        Ok(()) => println!("{number} cases in {:?}", started.elapsed()),
        Err(TestError::Fail(why, case)) => panic!("{why}\n{case:x?}"),
        Err(other) => panic!("{other}"),
    }
}

/// Delivers on both machines and compares.
fn deliver(both: &mut Both, event: PendingEvent) -> Result<(End, Vec<Attempt>), String> {
    both.bus.events.clear();
    let got = iretrace::system::deliver(&mut both.cpu, &mut both.bus, event);
    let (want, attempts) = manual::deliver(&mut both.model, &event);
    compare::delivery(both, &got, &want, &attempts)?;
    compare::same(both).map_err(|e| format!("{e}\n{want:#x?} {attempts:#x?}"))?;
    let left = (both.cpu.halted, both.cpu.shadow, both.cpu.pending_db);
    if left != (false, InterruptShadow::None, 0) {
        return Err(format!("halted, shadow, #DB: {left:?}"));
    }
    Ok((want, attempts))
}

fn check_delivery(world: &World, stimulus: Stimulus, seen: &Coverage) -> Result<(), String> {
    let mut both = world.build();
    let Some(event) = stimulus.event(&both.cpu, world.modes.amd) else {
        seen.count("INTO without OF");
        return Ok(());
    };
    seen.count(format!("kind {:?}", event.kind));
    let (end, attempts) = deliver(&mut both, event)?;
    if let (Some(name), End::Handler(h)) = (stimulus.name(world.modes.amd), &end) {
        seen.count_if(h.vector == event.vector.0, name);
    }
    count_attempts(&end, &attempts, seen);
    count_frames(world, &end, &attempts, seen);
    Ok(())
}

/// What the settings of frames make of it.
fn count_frames(world: &World, end: &End, attempts: &[Attempt], seen: &Coverage) {
    let frames = world.modes.frames;
    let raised = |step| attempts.iter().any(|a| a.raised.step == step);
    let (first, later) = (raised("13 first push #PF"), raised("13 later push #PF"));
    seen.count_if(!frames.atomic && later, "frame refused after a push");
    seen.count_if(
        frames.implicit && (first || later),
        "frame refused to the system",
    );
    seen.count_if(
        frames.implicit && *end != End::Shutdown,
        "frame pushed by the system",
    );
    seen.count_if(
        !frames.rsp_checked && raised("13 push not canonical"),
        "frame refused by its pushes alone",
    );
}

fn count_attempts(end: &End, attempts: &[Attempt], seen: &Coverage) {
    for a in attempts {
        seen.count(format!("step {}", a.raised.step));
        seen.count(match a.then {
            None => "2.7 shutdown",
            Some(8) => "2.7 double fault",
            Some(_) => "2.7 serial",
        });
    }
    let depth = attempts.len();
    match end {
        End::Shutdown => seen.count("end shutdown"),
        End::Handler(h) => {
            seen.count(format!("end handler after {} failures", depth.min(4)));
            seen.count_if(
                h.ist != 0 && h.new_cpl == h.old_cpl,
                "stack IST, same level",
            );
            seen.count_if(
                h.ist != 0 && h.new_cpl < h.old_cpl,
                "stack IST, inner level",
            );
            seen.count_if(h.ist == 0 && h.new_cpl == h.old_cpl, "stack same");
            seen.count_if(h.ist == 0 && h.new_cpl < h.old_cpl, "stack of inner level");
            seen.count(format!("level {} to {}", h.old_cpl, h.new_cpl));
            seen.count(if h.interrupt_gate {
                "gate interrupt"
            } else {
                "gate trap"
            });
            seen.count_if(h.conforming, "conforming handler");
            seen.count_if(h.code.is_some(), "error code pushed");
            seen.count_if(h.crosses, "frame crosses pages");
        }
    }
}

/// Everything that the cases of [`deliveries`] must reach.
#[rustfmt::skip]
const DELIVERY: [&str; 56] = [
    "step 2 IDT limit", "step 3 gate not canonical", "step 3 gate #PF", "step 4 gate type",
    "step 5 gate DPL", "step 6 gate P", "step 7 null CS", "step 7 CS limit",
    "step 7 descriptor #PF", "step 7 CS not code", "step 7 CS DPL", "step 7 CS L, D",
    "step 7 CS P", "step 9 TSS limit", "step 9 TSS not canonical", "step 9 TSS #PF",
    "step 10 RSP not canonical", "step 11 handler not canonical", "step 13 push not canonical",
    "step 13 later push not canonical", "step 13 first push #PF", "step 13 later push #PF",
    "step 15 CS accessed #PF", "2.7 serial", "2.7 double fault", "2.7 shutdown",
    "stack same", "stack of inner level", "stack IST, same level", "stack IST, inner level",
    "conforming handler", "error code pushed", "frame crosses pages", "gate interrupt", "gate trap",
    "end handler after 3 failures",
    "kind External", "kind Nmi", "kind Fault", "kind Trap", "kind Abort",
    "kind SoftwareInterrupt", "kind SoftwareException", "kind PrivilegedSoftwareException",
    "INTO without OF", "event #VC, #SX", "event #VE", "event #PF", "event #DF", "event #MC",
    "event instruction breakpoint", "event general detect", "frame refused after a push",
    "frame refused to the system", "frame pushed by the system", "frame refused by its pushes alone",
];

#[test]
fn deliveries() {
    let seen = Coverage::default();
    let config = config(3000);
    let cases = config.cases;
    run(config, &generate::delivery(false), |(world, stimulus)| {
        check_delivery(&world, stimulus, &seen)
    });
    seen.check(cases, &DELIVERY);
}

fn check_iret(world: &World, seen: &Coverage) -> Result<(), String> {
    let mut both = world.build();
    let size = world.frame.map_or(8, |f| f.0);
    let Err(e) = return_on_both(&mut both, size, seen)? else {
        return Ok(());
    };
    seen.count_if(
        !both.model.nmi_blocked && world.modes.nmi_blocked,
        "fault unblocks NMIs",
    );
    seen.count_if(both.model.nmi_blocked, "fault leaves NMIs blocked");
    // What the fault itself does then, with all that IRET has touched.
    let event = PendingEvent::exception(&e, both.cpu.regs.rip);
    let (end, attempts) = deliver(&mut both, event)?;
    seen.count(if end == End::Shutdown {
        "then shutdown"
    } else {
        "then a handler"
    });
    let doubled = attempts.iter().any(|a| a.then == Some(8));
    seen.count_if(doubled, "then double fault");
    Ok(())
}

/// Returns on both machines and compares; the exception, if there is one.
fn return_on_both(
    both: &mut Both,
    size: u8,
    seen: &Coverage,
) -> Result<Result<(), Exception>, String> {
    let got = iretrace::system::iret(&mut both.cpu, &mut both.bus, size);
    let want = manual::iret(&mut both.model, size.into());
    compare::same(both).map_err(|e| format!("{e}\n{got:x?}\n{want:x?}"))?;
    match (&got, &want) {
        (Ok(()), Ok(returned)) => {
            count_return(size, returned, seen);
            Ok(Ok(()))
        }
        (Err(Trap::Exception(e)), Err(w)) => {
            let raised = (e.vector.0, e.error_code, e.address.map(|a| a.0));
            if raised != (w.vector, w.code, w.address) {
                return Err(format!("raised {raised:x?}, not {w:x?}"));
            }
            seen.count(format!("step {}", w.step));
            Ok(Err(*e))
        }
        _ => Err(format!("{got:x?}, not {want:x?}")),
    }
}

fn count_return(size: u8, r: &Returned, seen: &Coverage) {
    seen.count(format!("done with {size} bytes"));
    seen.count(format!("level {} to {}", r.old_cpl, r.new_cpl));
    let mode = |long: bool| if long { "64-bit" } else { "compatibility" };
    seen.count(format!("{} to {}", mode(r.from_64), mode(r.to_64)));
    seen.count_if(r.null_ss, "null SS loaded");
    seen.count_if(r.unblocked, "done unblocks NMIs");
}

/// Everything that the cases of [`returns`] must reach.
#[rustfmt::skip]
const RETURN: [&str; 46] = [
    "step 1 NT", "step 2 pop not canonical, or beyond the limit", "step 2 pop #AC",
    "step 2 pop #PF", "step 2 later pop", "step 3 CS null", "step 4 CS descriptor #PF",
    "step 4 CS limit", "step 4 CS not code", "step 4 CS RPL < CPL", "step 4 CS conforming DPL",
    "step 4 CS DPL", "step 4 CS L = D = 1", "step 5 CS P", "step 6 pop of RSP",
    "step 6 pop of SS", "step 7 SS null, not to 64-bit mode", "step 7 SS null, to CPL 3",
    "step 7 SS null, RPL", "step 8 SS descriptor #PF", "step 8 SS limit", "step 8 SS RPL",
    "step 8 SS not writable data", "step 8 SS DPL", "step 9 SS P", "step 10 RIP not canonical",
    "step 10 EIP beyond limit", "step 12 A of CS #PF", "step 12 A of SS #PF",
    "done with 8 bytes", "done with 4 bytes", "done with 2 bytes", "done unblocks NMIs",
    "fault unblocks NMIs", "fault leaves NMIs blocked", "null SS loaded",
    "64-bit to 64-bit", "64-bit to compatibility", "compatibility to 64-bit",
    "compatibility to compatibility", "level 0 to 0", "level 0 to 3", "level 3 to 3",
    "then a handler", "then double fault", "then shutdown",
];

#[test]
fn returns() {
    let seen = Coverage::default();
    let config = config(3000);
    let cases = config.cases;
    run(config, &generate::iret(), |world| check_iret(&world, &seen));
    seen.check(cases, &RETURN);
}

/// Several events and returns on one machine: nested handlers, NMIs between them, translations
/// that are cached by now.
fn check_sequence(world: &World, ops: &[Op], seen: &Coverage) -> Result<(), String> {
    let mut both = world.build();
    let mut code_pushed = false;
    let mut open = 0u32;
    for (i, op) in ops.iter().enumerate() {
        let at = |e: String| format!("operation {i}: {e}");
        match *op {
            Op::Deliver(stimulus) => {
                if stimulus.is_instruction_breakpoint() && both.cpu.regs.rflags >> 16 & 1 == 1 {
                    continue;
                }
                let Some(event) = stimulus.event(&both.cpu, world.modes.amd) else {
                    continue;
                };
                let (end, _) = deliver(&mut both, event).map_err(at)?;
                let End::Handler(entered) = end else {
                    seen.count("shutdown");
                    return Ok(());
                };
                code_pushed = entered.code.is_some();
                open += 1;
                seen.count_if(open > 1, "nested");
            }
            Op::Iret(size) => {
                let long = both.cpu.regs.is_64bit();
                let size = if long { size } else { size.min(4) };
                if code_pushed && long {
                    for regs in [&mut both.cpu.regs, &mut both.model.regs] {
                        regs.gpr[gpr::RSP] = regs.gpr[gpr::RSP].wrapping_add(8);
                    }
                    code_pushed = false;
                }
                match return_on_both(&mut both, size, seen).map_err(at)? {
                    Ok(()) => {
                        seen.count_if(open > 1, "returned from nested");
                        open = open.saturating_sub(1);
                    }
                    Err(e) => {
                        let event = PendingEvent::exception(&e, both.cpu.regs.rip);
                        let (end, _) = deliver(&mut both, event).map_err(at)?;
                        let End::Handler(entered) = end else {
                            seen.count("shutdown");
                            return Ok(());
                        };
                        code_pushed = entered.code.is_some();
                        open += 1;
                    }
                }
            }
        }
    }
    seen.count("to the end");
    Ok(())
}

#[test]
fn sequences() {
    let seen = Coverage::default();
    let config = config(1500);
    let cases = config.cases;
    run(config, &generate::sequence(), |(world, ops)| {
        check_sequence(&world, &ops, &seen)
    });
    let wanted = [
        "nested",
        "returned from nested",
        "to the end",
        "done unblocks NMIs",
    ];
    seen.check(cases, &wanted);
}
