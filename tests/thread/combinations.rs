//! Every page-table strategy with every NMI strategy: how it ends, and how often it faults.

use iretrace::trace::{EventKind, UnblockedBy};

use crate::guest::{NMIS, PAGES, run};
use crate::machine::NMI;

/// What an undisturbed run does.
#[derive(PartialEq, Eq, Debug)]
struct Outcome {
    success: bool,
    /// NMIs delivered.
    nmis: usize,
    /// Page faults in them, and elsewhere.
    faults: (usize, usize),
    /// NMIs unblocked by an IRET that is not theirs.
    early: usize,
    double_faults: usize,
}

/// The tasks A, B and C work and are sampled once each; all are older than the buffer's private entry.
fn expected(pages: &str, nmi: &str) -> Outcome {
    // Tasks that lack the entry when they are sampled.
    let lacking = match pages {
        "lazy" | "lower" | "switch" => 3,
        "pretouch" => 2,
        "walk-racy" => 1,
        _ => 0,
    };
    // Who writes: the NMI handler on the task's tables, on the reference tables, or the task itself.
    let in_nmi = if nmi == "no-touch" || pages == "switch" {
        0
    } else {
        lacking
    };
    let elsewhere = if nmi == "no-touch" { lacking } else { 0 };
    let pretouched = usize::from(pages == "pretouch");
    // Of the NMI strategies that fault, one returns from the fault without IRET. With walk-racy nothing returns.
    let early = if nmi == "no-iret" || pages == "walk-racy" {
        0
    } else {
        in_nmi
    };
    if pages == "stack" {
        // The scheduler's pop faults, and so does the fault's frame: nothing is delivered but #DF.
        return Outcome {
            success: false,
            nmis: 0,
            faults: (0, 0),
            early: 0,
            double_faults: 1,
        };
    }
    Outcome {
        success: !matches!(pages, "walk-racy" | "huge-stale"),
        nmis: 3,
        faults: (in_nmi, elsewhere + pretouched),
        early,
        double_faults: 0,
    }
}

#[test]
fn each_ends_as_its_mechanism_says() {
    for pages in PAGES {
        for nmi in NMIS {
            let ran = run(&[&format!("PAGES={pages}"), &format!("NMI={nmi}")], &[]);
            let early = |k: &EventKind| {
                matches!(
                    k,
                    EventKind::NmiUnblocked {
                        by: UnblockedBy::OtherIret,
                        ..
                    }
                )
            };
            let seen = Outcome {
                success: ran.succeeded(),
                nmis: ran.nmis(),
                faults: ran.faults(),
                early: ran.bench.count(early),
                double_faults: ran.of(8).len(),
            };
            assert_eq!(seen, expected(pages, nmi), "{pages}, {nmi}: {}", ran.stop);
            assert_eq!(ran.said().len(), 1, "{pages}, {nmi}: {:?}", ran.said());
            // SDM vol. 3, 6.14.5: with an IST index the stack is always the same.
            let ist = u8::from(nmi != "three-state");
            assert!(ran.of(NMI).iter().all(|d| d.ist == ist));
        }
    }
}

/// The 2 MiB case, few tasks, no areas, many: each of them is a program that ends the same way.
#[test]
fn sizes_and_the_level_change_nothing_in_that() {
    for pages in PAGES {
        for sizes in [
            &["PRIVATE=pd"][..],
            &["MAPPINGS=0", "FORKS=0"],
            &["TASKS=1", "FORKS=0", "PRIVATE=pd"],
            &["TASKS=300", "MAPPINGS=100", "FORKS=50"],
        ] {
            let define = format!("PAGES={pages}");
            let mut all = vec![define.as_str(), "NMI=nestable"];
            all.extend(sizes);
            let ran = run(&all, &[]);
            let expected = expected(pages, "nestable").success;
            assert_eq!(ran.succeeded(), expected, "{all:?}: {}", ran.stop);
        }
    }
}

#[test]
fn every_combination_has_the_symbols_that_are_promised() {
    for pages in PAGES {
        for nmi in NMIS {
            let ran = run(
                &[&format!("PAGES={pages}"), &format!("NMI={nmi}")],
                &["--nmi at=window"],
            );
            for symbol in [
                "phase_boot",
                "phase_fork",
                "phase_map",
                "phase_use",
                "phase_end",
                "window",
                "nmi_entry",
                "nmi_body",
                "nmi_touch",
                "nmi_return",
                "page_fault_entry",
                "page_fault_return",
                "fork",
                "vmalloc",
                "switch_to",
                "count_faults",
                "count_pte_writes",
                "count_table_bytes",
                "count_nmis",
                "count_samples",
            ] {
                if symbol == "page_fault_return"
                    && ["prealloc", "walk", "walk-racy", "huge-stale"].contains(&pages)
                {
                    continue;
                }
                ran.bench.at(symbol);
            }
            // The end of the window is reached.
            let mut bench = crate::guest::load(
                &[&format!("PAGES={pages}"), &format!("NMI={nmi}")],
                crate::guest::usual(),
            );
            let window = bench.run_to("window");
            assert!(bench.run_to("window_end") > window + 20, "{pages}, {nmi}");
        }
    }
}

#[test]
fn what_is_not_known_is_told() {
    use iretrace::load::{Image, LoadOptions};
    for (define, told) in [
        ("PAGES=lzay", "PAGES is none of: lazy,prealloc,walk,"),
        ("PAGES=1", "PAGES is none of: "),
        ("NMI=none", "NMI is none of: naive,no_iret,"),
        ("TASKS=0", "TASKS is not from 1 to 50000"),
        ("TASKS=many", "TASKS is not from 1 to 50000"),
        ("TASK=1", "TASK=1: the source nowhere asks for TASK"),
    ] {
        let options = LoadOptions {
            define: vec![define.parse().expect(define)],
            ..LoadOptions::default()
        };
        let e = Image::open("@thread", &options)
            .expect_err(define)
            .to_string();
        assert!(e.contains(told), "{e}");
    }
}
