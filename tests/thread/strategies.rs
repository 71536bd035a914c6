//! What each page-table strategy has done when the tasks begin to work.

use iretrace::arch::{Access, AccessKind, VirtAddr};
use iretrace::trace::{EventKind, WalkOutcome};

use crate::guest::{PRIVATE_ENTRIES, Tables, load, run, usual};

/// For each task, the oldest first: whether it has the reference's entry for the profiler's buffer, at `window`.
/// The tasks are the four of TASKS, C, and one of FORKS.
fn have_the_entry(pages: &str, pd: bool) -> Vec<bool> {
    let mut define = vec![format!("PAGES={pages}")];
    if pd {
        define.push("PRIVATE=pd".to_owned());
    }
    let define: Vec<&str> = define.iter().map(String::as_str).collect();
    let mut bench = load(&define, usual());
    bench.run_to("window");
    let tables = Tables::of(&bench, pd);
    let last = PRIVATE_ENTRIES as usize - 1;
    let reference = tables.private(tables.reference());
    assert_eq!(
        reference[last] & 1,
        1,
        "{pages}: the buffer is at the end of the area"
    );
    assert_eq!(
        reference[0] & 1,
        1,
        "{pages}: the first areas are at its bottom"
    );
    // What is between is mapped beforehand, or not at all.
    let between = reference[1..last].iter().filter(|e| *e & 1 != 0).count();
    assert_eq!(between, if pages == "prealloc" { 62 } else { 0 });
    let tasks = tables.tasks();
    assert_eq!(tasks.len(), 6);
    let of = |top: &u64| {
        let own = tables.private(*top);
        // Below private entries all is shared.
        assert_eq!(own[0], reference[0]);
        assert!(own[last] == 0 || own[last] == reference[last]);
        own[last] != 0
    };
    tasks.iter().map(of).collect()
}

#[test]
fn who_has_the_new_private_entry() {
    for pd in [false, true] {
        // A task that is forked afterwards always has it.
        for (pages, expected) in [
            ("lazy", [false, false, false, false, false, true]),
            ("switch", [false, false, false, false, false, true]),
            // Task A has touched it: nobody else has.
            ("pretouch", [true, false, false, false, false, true]),
            ("prealloc", [true; 6]),
            ("walk", [true; 6]),
            // C is copied before the entry is there, and listed after the walk.
            ("walk-racy", [true, true, true, true, false, true]),
        ] {
            assert_eq!(have_the_entry(pages, pd), expected, "{pages}, {pd}");
        }
    }
}

/// The timer comes at the same moment: an open race is hit, a closed one makes it wait.
#[test]
fn the_lock_of_the_fork_holds_the_timer() {
    for (pages, from, to) in [
        ("walk", "fork_unlocked", "fork_unlocked"),
        ("walk-racy", "fork_copied", "fork_listed"),
        ("lazy", "fork_copied", "fork_listed"),
    ] {
        let ran = run(&[&format!("PAGES={pages}")], &[]);
        let timer = ran.of(0x20);
        assert_eq!(timer.len(), 1, "{pages}");
        let rip = timer[0].pushed.rip.0;
        let (from, to) = (ran.bench.at(from), ran.bench.at(to));
        assert!((from..=to).contains(&rip), "{pages}: {rip:#x}");
    }
}

/// At any boundary of the fork, not only where the program's own timer comes: walk-racy is wrong at some, walk at none.
#[test]
fn wherever_the_fork_is_preempted() {
    for (pages, wrong) in [("walk-racy", true), ("walk", false)] {
        let mut bench = load(&[&format!("PAGES={pages}")], usual());
        bench.run_to("phase_map");
        // The fork of C is the fifth.
        let begin = bench.run_to("fork");
        let end = bench.run_to("fork_unlocked");
        // The copy's boundaries are alike: some of them, and all behind it.
        let mut failed = Vec::new();
        for icount in (begin..end).filter(|i| i % 40 == 0 || end - i < 10) {
            // One interrupt more: of the two (or one, if both wait), the first starts the profiler.
            let irq = format!("--irq 0x20@icount={icount}");
            let ran = run(&[&format!("PAGES={pages}")], &[&irq]);
            assert!(!ran.of(0x20).is_empty());
            failed.push(!ran.succeeded());
        }
        assert_eq!(failed.contains(&true), wrong, "{pages}");
        // Before the last entry is copied, it is in time; from there on it is not.
        assert!(!failed[0] && failed.is_sorted(), "{pages}: {failed:?}");
    }
}

#[test]
fn switch_writes_cr3_twice_and_cannot_reach_user_memory() {
    let mut bench = load(&["PAGES=switch"], usual());
    let user = VirtAddr(0x80_0000_0000);
    bench.run_to("window");
    bench.run_to("work");
    assert!(bench.machine.translate_plain(user).is_some());
    let task = bench.machine.cpu().regs.cr3;
    bench.forget_events();
    bench.run_to("nmi_touch");
    assert_eq!(bench.machine.cpu().regs.cr3, bench.at("reference_pml4"));
    assert!(bench.machine.translate_plain(user).is_none());
    let buffer = VirtAddr(bench.quad("sample_buffer"));
    let write = Access::explicit(AccessKind::Write, 0);
    let walk = bench.machine.walk(buffer, write);
    assert!(
        matches!(walk.outcome, WalkOutcome::Mapped { .. }),
        "{walk:?}"
    );
    bench.run_to("nmi_return");
    assert_eq!(bench.machine.cpu().regs.cr3, task);
    let cr3 =
        |k: &EventKind| matches!(k, EventKind::ControlWrite { register, .. } if register == "cr3");
    assert_eq!(bench.count(cr3), 2);
}

#[test]
fn direct_memory_is_in_every_table() {
    let mut bench = load(&["PAGES=direct"], usual());
    bench.run_to("window");
    let buffer = bench.quad("sample_buffer");
    // The direct map: RAM at its own address, from 0xffff888000000000 on.
    let phys = bench
        .machine
        .translate_plain(VirtAddr(buffer))
        .expect("mapped");
    assert_eq!(buffer - phys.0, 0xffff_8880_0000_0000);
    let tables = Tables::of(&bench, false);
    let entry = |top: u64| tables.quad(top + 8 * 273) & !0x60;
    assert!(
        tables
            .tasks()
            .into_iter()
            .all(|t| entry(t) == entry(tables.reference()))
    );
}
