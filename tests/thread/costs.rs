//! The counters say what the machine sees; and sizes are large in seconds.

use std::collections::BTreeSet;

use iretrace::machine::Until;
use iretrace::trace::{Direction, EventClass, EventKind};

use crate::guest::{NMIS, PAGE, PAGES, Tables, image, load, load_image, run};
use crate::machine::{NMI, PF};

/// Writes to page tables, told by the machine for each data access; tables, found in memory from the tasks' CR3 values.
#[test]
fn counters_are_what_the_machine_sees() {
    for pages in PAGES {
        for level in ["pml4", "pd"] {
            let pd = level == "pd" || matches!(pages, "lower" | "huge-stale");
            let define = [
                format!("PAGES={pages}"),
                format!("PRIVATE={level}"),
                "MAPPINGS=180".to_owned(),
            ];
            let define: Vec<&str> = define.iter().map(String::as_str).collect();
            let mut bench = load(
                &define,
                EventClass::MEM | EventClass::FAULT | EventClass::NMI,
            );
            bench.machine.run(Until::Never);
            let tables = Tables::of(&bench, pd);
            let by_level = tables.all();
            let all: BTreeSet<u64> = by_level.values().flatten().copied().collect();
            let written = bench.count(|k| match k {
                // RAM is mapped at its own address, and tables are written there.
                EventKind::Mem {
                    address,
                    direction: Direction::Write,
                    size,
                    ..
                } => {
                    let is_table = all.contains(&(address.0 & !(PAGE - 1)));
                    assert!(!is_table || *size == 8);
                    is_table
                }
                _ => false,
            });
            let quad = |symbol: &str| bench.quad(symbol);
            assert_eq!(quad("count_pte_writes"), written as u64, "{define:?}");
            let parts = ["clone", "map", "fill"].map(|k| quad(&format!("count_{k}_writes")));
            assert_eq!(
                parts.iter().sum::<u64>(),
                quad("count_pte_writes"),
                "{define:?}"
            );
            // The reference's own tables down to private entries are part of the image.
            let own = if pd { 3 } else { 1 };
            assert_eq!(
                quad("count_table_bytes"),
                PAGE * (all.len() as u64 - own),
                "{define:?}"
            );
            let count = |vector: u8| {
                bench
                    .deliveries()
                    .iter()
                    .filter(|d| d.id.vector.0 == vector)
                    .count() as u64
            };
            assert_eq!(quad("count_faults"), count(PF), "{define:?}");
            assert_eq!(quad("count_nmis"), count(NMI), "{define:?}");
        }
    }
}

#[test]
fn every_nmi_is_a_sample() {
    for nmi in NMIS {
        let ran = run(&[&format!("NMI={nmi}")], &[]);
        assert_eq!(
            (
                ran.bench.quad("count_nmis"),
                ran.bench.quad("count_samples")
            ),
            (3, 3),
            "{nmi}"
        );
        // The interrupted addresses, in their order: RSP and RIP of the frames, by the machine's word.
        let buffer = iretrace::arch::VirtAddr(ran.bench.quad("profile_buffer"));
        let mut bytes = [0; 32];
        // The run ends on the reference table.
        assert!(ran.bench.machine.peek_linear(buffer, &mut bytes), "{nmi}");
        let words: Vec<u64> = bytes
            .chunks(8)
            .map(|b| u64::from_le_bytes(b.try_into().expect("8 bytes")))
            .collect();
        let mut expected = vec![3];
        expected.extend(ran.of(NMI).iter().map(|d| d.pushed.rip.0));
        assert_eq!(words, expected, "{nmi}");
    }
}

/// 10,000 tasks, 3,000 areas, 2,000 later forks, with 2 MiB a private entry: who writes how many entries.
#[test]
fn thousands_of_tasks() {
    let (tasks, areas, forks) = (10_000_u64, 3_000_u64, 2_000_u64);
    let size = [
        format!("TASKS={tasks}"),
        format!("MAPPINGS={areas}"),
        format!("FORKS={forks}"),
    ];
    // Areas of 12 KiB from the bottom; the first is older than the tasks. And the buffer's, at the end.
    let at_bottom = ((areas + 1) * 3 * PAGE).div_ceil(2 << 20) - 1;
    for (pages, filled, faults) in [
        // A and B lack them all, C only the buffer's: it is forked while that is made.
        ("lazy", 2 * (at_bottom + 1) + 1, 2 * (at_bottom + 1) + 1),
        // All tasks get all; C, which is listed then, the last one.
        ("walk", tasks * (at_bottom + 1) + 1, 0),
        ("prealloc", 0, 0),
    ] {
        let pages = format!("PAGES={pages}");
        let mut define = vec![pages.as_str(), "PRIVATE=pd"];
        define.extend(size.iter().map(String::as_str));
        let mut bench = load_image(image(&define), EventClass::STOP, 100_000_000);
        let stop = bench.machine.run(Until::Never);
        assert!(
            matches!(
                stop,
                iretrace::machine::StopReason::GuestExit { success: true, .. }
            ),
            "{pages}: {stop}"
        );
        assert_eq!(bench.quad("count_fill_writes"), filled, "{pages}");
        assert_eq!(bench.quad("count_faults"), faults, "{pages}");
        // 64 private entries; RAM twice; and the way down to the PD.
        assert_eq!(
            bench.quad("count_clone_writes"),
            (tasks + 1 + forks) * (64 + 4),
            "{pages}"
        );
    }
}
