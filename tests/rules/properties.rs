//! Each delivery and each IRET ends as the step list says.

use std::time::Instant;

use iretrace::arch::Trap;
use iretrace::system::{InterruptShadow, PendingEvent};
use proptest::prelude::*;
use proptest::test_runner::{
    FileFailurePersistence, RngAlgorithm, RngSeed, TestCaseError, TestError, TestRunner,
};

use super::compare;
use super::coverage::Coverage;
use super::generate;
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
        Err(TestError::Fail(why, case)) => panic!("{why}\n{case:#x?}"),
        Err(other) => panic!("{other}"),
    }
}

/// Delivers on both machines and compares.
fn deliver(both: &mut Both, event: PendingEvent) -> Result<(End, Vec<Attempt>), String> {
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
    count_attempts(&end, &attempts, seen);
    Ok(())
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

#[test]
fn deliveries() {
    let seen = Coverage::default();
    let config = config(6000);
    let cases = config.cases;
    run(config, &generate::delivery(), |(world, stimulus)| {
        check_delivery(&world, stimulus, &seen)
    });
    seen.check(cases, &[]);
}

fn check_iret(world: &World, seen: &Coverage) -> Result<(), String> {
    let mut both = world.build();
    let size = world.frame.map_or(8, |f| f.0);
    let got = iretrace::system::iret(&mut both.cpu, &mut both.bus, size);
    let want = manual::iret(&mut both.model, size.into());
    let shown = |e: String| format!("{e}\n{got:#x?}\n{want:#x?}");
    compare::same(&both).map_err(shown)?;
    match (&got, &want) {
        (Ok(()), Ok(returned)) => count_return(size, returned, seen),
        (Err(Trap::Exception(e)), Err(w)) => {
            let seen_here = (e.vector.0, e.error_code, e.address.map(|a| a.0));
            if seen_here != (w.vector, w.code, w.address) {
                return Err(shown("another exception".into()));
            }
            seen.count(format!("step {}", w.step));
            seen.count_if(
                !both.model.nmi_blocked && world.modes.nmi_blocked,
                "fault unblocks NMIs",
            );
            seen.count_if(both.model.nmi_blocked, "fault leaves NMIs blocked");
            let event = PendingEvent::exception(e, both.cpu.regs.rip);
            both.cpu.halted = false;
            let (end, attempts) = deliver(&mut both, event)?;
            seen.count(if end == End::Shutdown {
                "then shutdown"
            } else {
                "then a handler"
            });
            seen.count_if(
                attempts.iter().any(|a| a.then == Some(8)),
                "then double fault",
            );
        }
        _ => return Err(shown("another outcome".into())),
    }
    Ok(())
}

fn count_return(size: u8, r: &Returned, seen: &Coverage) {
    seen.count(format!("done with {size} bytes"));
    seen.count(format!("level {} to {}", r.old_cpl, r.new_cpl));
    let mode = |long: bool| if long { "64-bit" } else { "compatibility" };
    seen.count(format!("{} to {}", mode(r.from_64), mode(r.to_64)));
    seen.count_if(r.null_ss, "null SS loaded");
    seen.count_if(r.unblocked, "done unblocks NMIs");
}

#[test]
fn returns() {
    let seen = Coverage::default();
    let config = config(6000);
    let cases = config.cases;
    run(config, &generate::iret(), |world| check_iret(&world, &seen));
    seen.check(cases, &[]);
}
