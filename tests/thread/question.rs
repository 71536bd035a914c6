//! "I allocated 8192 bytes per cpu in a x86-32 system that has only 2 GB ... But still it faults once".
//!
//! It is not how much is mapped, but where: per-CPU areas come from the end of the vmalloc area, below a private entry
//! that nobody has. A private entry is one that each task has a copy of: a PDE with PRIVATE=pd (2 MiB; i386 with PAE
//! and unshared PMDs), a PML4E with 4 levels (512 GiB).

use iretrace::trace::{EventClass, EventKind, Walk, WalkOutcome};

use crate::guest::{Tables, load, usual};
use crate::machine::PF;

use iretrace::machine::Until;

const VMALLOC: u64 = 0xffff_c900_0000_0000;

/// The walks that ended in a page fault, with the icount of each.
fn failed_walks(define: &[&str]) -> (Vec<(u64, Walk)>, crate::machine::Bench) {
    let mut bench = load(define, usual() | EventClass::WALK);
    bench.machine.run(Until::Never);
    let events = bench.events();
    let walks = events.into_iter().filter_map(|e| match e.kind {
        EventKind::Walk(w) if matches!(w.outcome, WalkOutcome::PageFault { .. }) => {
            Some((e.at.icount, w))
        }
        _ => None,
    });
    (walks.collect(), bench)
}

#[test]
fn eight_kilobytes_at_the_end_of_the_area_need_an_entry_that_nobody_has() {
    // The level at which the walk ends, 2: the PDE; 4: the PML4E. The span of an entry. Its index: the last.
    for (pages, level, span, index) in [
        ("lower", 2, 2 << 20, 63),
        ("lazy", 4, 512_u64 << 30, 402 + 63),
    ] {
        let define = format!("PAGES={pages}");
        let (walks, bench) = failed_walks(&[&define, "STORY=yes", "TASKS=2", "FORKS=0"]);
        let buffer = bench.quad("sample_buffer");
        // 64 entries; 8192 bytes below the end.
        assert_eq!(buffer, VMALLOC + 64 * span - 8192, "{pages}");
        // A, B and C are sampled twice each, and fault once each, in the first round.
        assert_eq!(walks.len(), 3, "{pages}: {walks:#x?}");
        let tables = Tables::of(&bench, level == 2);
        let own = ["task_a", "task_b", "task_c"].map(|t| tables.task(t));
        for ((_, walk), top) in walks.iter().zip(own) {
            assert_eq!(walk.address.0, buffer);
            let last = walk.steps.last().expect("a step");
            assert_eq!((last.level, last.entry.0), (level, 0), "{pages}");
            assert_eq!(last.entry_at.0 % 4096 / 8, index, "{pages}");
            assert_eq!(
                walk.steps[0].entry_at.0 & !0xfff,
                top,
                "{pages}: in the task's own table"
            );
        }
        let rounds: Vec<u64> = bench
            .events()
            .iter()
            .filter_map(|e| match &e.kind {
                EventKind::Delivered(d) if d.id.vector.0 == 2 => Some(e.at.icount),
                _ => None,
            })
            .collect();
        assert_eq!(rounds.len(), 6);
        assert!(
            walks.iter().all(|(at, _)| *at < rounds[3]),
            "{pages}: the second time nobody faults"
        );
        // All page faults were these: the areas at the bottom, older and younger ones, cost none.
        let faults = bench
            .deliveries()
            .iter()
            .filter(|d| d.id.vector.0 == PF)
            .count();
        assert_eq!(faults, 3, "{pages}");
    }
}

/// Areas at the bottom fault as well where they come to a new private entry: with 12 KiB each (a page is left unmapped),
/// 2 MiB hold 170 and a part. With 512 GiB, no number of them that fits into RAM does.
#[test]
fn many_areas_at_the_bottom_fault_once_an_entry() {
    let areas = 400_u64;
    // One area is older than the tasks.
    let entries = ((areas + 1) * 3 * 4096).div_ceil(2 << 20);
    let mappings = format!("MAPPINGS={areas}");
    for (pages, new) in [("lower", entries - 1), ("lazy", 0)] {
        let ran = crate::guest::run(&[&format!("PAGES={pages}"), &mappings], &[]);
        let (in_nmi, elsewhere) = ran.faults();
        assert_eq!(in_nmi, 3);
        // A and B are older than the areas, C is forked after them.
        assert_eq!(elsewhere as u64, 2 * new, "{pages}");
    }
}
