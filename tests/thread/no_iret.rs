//! The page-fault handler that returns without IRET: NMIs stay blocked, and what it cannot restore.

use iretrace::machine::Until;
use iretrace::trace::{EventKind, UnblockedBy};

use crate::guest::{image, load, load_image, run, usual};
use crate::machine::{Bench, NMI, RF, TF};

const DB: u8 = 1;

fn early(bench: &Bench) -> usize {
    bench.count(|k| {
        matches!(
            k,
            EventKind::NmiUnblocked {
                by: UnblockedBy::OtherIret,
                ..
            }
        )
    })
}

fn overwritten(bench: &Bench) -> usize {
    bench.count(|k| matches!(k, EventKind::FrameOverwritten { .. }))
}

/// A second NMI in the fault's handler waits for the first one's IRET; with naive it takes its frame.
#[test]
fn the_second_nmi_waits() {
    for (nmi, is_lost) in [("no-iret", false), ("naive", true)] {
        let ran = run(&[&format!("NMI={nmi}")], &["--nmi at=page_fault_entry"]);
        assert_eq!(overwritten(&ran.bench) > 0, is_lost, "{nmi}");
        assert_eq!(early(&ran.bench) > 0, is_lost, "{nmi}");
        if !is_lost {
            let second = &ran.of(NMI)[1];
            let work = ran.bench.at("work")..ran.bench.at("flush_samples") + 1000;
            assert!(ran.succeeded() && work.contains(&second.pushed.rip.0));
            assert_eq!(ran.nmis(), 4);
        }
    }
}

/// Wherever the second NMI comes while task A works: NMIs are unblocked by an NMI's own IRET alone.
#[test]
fn no_nmi_is_unblocked_early() {
    for (nmi, never) in [
        ("no-iret", true),
        ("no-touch", true),
        ("nestable", false),
        ("three-state", false),
    ] {
        let define = format!("NMI={nmi}");
        let image = image(&[&define]);
        let load = || load_image(image.clone(), usual(), 1_000_000);
        let mut bench = load();
        let begin = bench.run_to("work");
        let end = bench.run_to("switch_to");
        for icount in (begin..end).step_by(4) {
            let mut bench = load().schedule(&[&format!("--nmi icount={icount}")]);
            bench.run_to("phase_end");
            let nmis = bench
                .deliveries()
                .iter()
                .filter(|d| d.id.vector.0 == NMI)
                .count();
            assert!((3..=4).contains(&nmis), "{nmi}");
            // Without that, each of the three tasks' first faults does it.
            assert_eq!(early(&bench) == 0, never, "{nmi} at {icount}");
        }
    }
}

/// SDM vol. 3, 17.3.1.1: a fault's frame has RF set, so that its IRET resumes without the instruction's breakpoint.
/// POPF clears RF (SDM vol. 2, POPF): the breakpoint is met twice.
#[test]
fn rf_is_not_restored() {
    for (nmi, times) in [("three-state", 1), ("no-iret", 2)] {
        let mut bench = load(&[&format!("NMI={nmi}")], usual());
        bench.run_to("window");
        let touch = bench.at("nmi_touch");
        let regs = &mut bench.machine.cpu_mut().regs;
        regs.dr[0] = touch;
        regs.dr7 |= 1;
        bench.run_to("nmi_sampled");
        let met: Vec<u64> = bench
            .deliveries()
            .iter()
            .filter(|d| d.id.vector.0 == DB)
            .map(|d| d.pushed.rip.0)
            .collect();
        assert_eq!(met, vec![touch; times], "{nmi}");
        let fault = bench
            .deliveries()
            .into_iter()
            .find(|d| d.id.vector.0 == 14)
            .expect("a fault");
        assert_ne!(fault.pushed.rflags.0 & RF, 0);
    }
}

/// SDM vol. 3, 17.3.1.4: TF that an instruction sets traps after the next one. After IRET that is the retried
/// instruction; after POPF it is RET, and the trap comes before the retry.
#[test]
fn tf_takes_effect_before_the_retry() {
    for (nmi, retried) in [("three-state", true), ("no-iret", false)] {
        let mut bench = load(&[&format!("NMI={nmi}")], usual());
        let touch = bench.at("nmi_touch");
        bench.run_to("window");
        bench.run_to("nmi_touch");
        bench.machine.cpu_mut().regs.rflags |= TF;
        let debug = bench.at("debug_entry");
        bench
            .machine
            .run(Until::Address(iretrace::arch::VirtAddr(debug)));
        let trap = bench
            .deliveries()
            .into_iter()
            .find(|d| d.id.vector.0 == DB)
            .expect("a trap");
        assert_eq!(
            trap.pushed.rip.0 != touch,
            retried,
            "{nmi}: {:#x}",
            trap.pushed.rip.0
        );
    }
}

/// A machine check is not held by the blocking of NMIs, and its handler's IRET ends it: between POPF and RET, too.
#[test]
fn a_machine_check_between_popf_and_ret_unblocks() {
    let nmi = "--nmi at=page_fault_read";
    let quiet = run(&["NMI=no-iret"], &[nmi]);
    assert_eq!((early(&quiet.bench), overwritten(&quiet.bench)), (0, 0));
    let ran = run(&["NMI=no-iret"], &[nmi, "--mce @at=page_fault_return"]);
    let at = ran.bench.at("page_fault_return");
    let check = ran.of(18);
    assert_eq!((check.len(), check[0].pushed.rip.0), (1, at));
    assert_eq!((early(&ran.bench), overwritten(&ran.bench)), (1, 1));
    // The NMI that was latched comes at the RET, over the frame of the one that it interrupts.
    assert_eq!(ran.of(NMI)[1].pushed.rip.0, at);
}
