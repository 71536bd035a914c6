//! What is counted in a cell and in a cost run, against what the stand-in's source says.

use std::sync::atomic::AtomicBool;

use iretrace::load::{Define, Image, LoadError, LoadOptions};
use iretrace::matrix::{
    Axis, BURST, Cell, CostSeries, Matrix, MatrixPlan, MatrixReport, NMI, PAGES, Strategy, find,
};
use iretrace::sweep::Verdict;

const STAND_IN: &str = include_str!("stand-in.S");

fn open(define: &[Define]) -> Result<Image, LoadError> {
    let options = LoadOptions {
        define: define.to_vec(),
        ..LoadOptions::default()
    };
    Image::from_bytes("stand-in.S", STAND_IN.as_bytes(), &options)
}

fn of(all: &'static [Strategy], words: &[&str]) -> Vec<&'static Strategy> {
    words.iter().map(|w| find(w, all).expect("known")).collect()
}

fn report(pages: &[&str], nmi: &[&str], costs: Vec<CostSeries>, jobs: usize) -> MatrixReport {
    let plan = MatrixPlan {
        pages: of(&PAGES, pages),
        nmi: of(&NMI, nmi),
        cost_nmi: find("naive", &NMI).expect("known"),
        costs,
        ..MatrixPlan::default()
    };
    let matrix = Matrix {
        open: &open,
        program: vec!["stand-in.S".to_owned()],
        plan: &plan,
    };
    let report = matrix.run(jobs, &AtomicBool::new(false), &mut |_| {});
    report.expect("a matrix")
}

fn cell(pages: &str, nmi: &str) -> Cell {
    report(&[pages], &[nmi], Vec::new(), 1).cells.remove(0)
}

/// Linux's bug of 2010: the fault's IRET lets the second NMI in, on the first one's stack (SDM vol. 3,
/// 6.7.1 and 6.14.5).
#[test]
fn a_lazy_fill_in_a_naive_handler_loses_a_frame() {
    let c = cell("lazy", "naive");
    assert!(c.undisturbed.success && c.is_bad() && !c.is_undecided());
    let worst = c.worst.as_ref().expect("a case");
    // NMI#2's IRET leads into NMI#1's handler, whose IRET pops NMI#2's frame, for ever.
    assert_eq!(worst.verdict, Verdict::Hung);
    assert!(worst.what.contains("frame-lost"), "{}", worst.what);
    assert_eq!(worst.schedule.len(), 2);
    let counts = worst.run.counts;
    assert_eq!(
        (counts.faults, counts.nmis_raised, counts.nmis_delivered),
        (1, 2, 2)
    );
    assert_eq!(
        (counts.early_unblocks, counts.reentries, counts.frames_lost),
        (1, 1, 1)
    );
    assert_eq!((counts.nmis_merged, counts.nmis_lost), (0, 0));
    // Four boundaries in the window.
    assert_eq!(c.sweep.boundaries, 4);
    // Each level-1 run unblocks early, and so does each in which another NMI comes besides.
    assert_eq!(c.sweep.census.early_unblocks, c.sweep.runs);
    assert_eq!(c.sweep.census.frames_lost, c.sweep.census.reentries);
    let text = worst.command.join(" ");
    assert!(text.starts_with("iretrace run stand-in.S --define PAGES=lazy --define NMI=naive"));
    assert!(
        text.contains("--time frozen --nmi-body=nmi_body --max-insns "),
        "{text}"
    );
    assert!(text.ends_with(&worst.schedule.join(" ")), "{text}");
}

#[test]
fn without_a_fault_nothing_comes_of_it() {
    for (pages, nmi) in [("prealloc", "naive"), ("lazy", "no-touch")] {
        let c = cell(pages, nmi);
        assert_eq!(c.verdict(), "fine", "{pages} {nmi}");
        let counts = c.representative().counts;
        assert_eq!((counts.faults, counts.nmis_delivered), (0, 1));
        let census = c.sweep.census;
        assert_eq!(
            (census.early_unblocks, census.nmis_lost, census.frames_lost),
            (0, 0, 0)
        );
        // The program ends before all are due; each that came is delivered or merged with one that waits.
        let burst = c.burst.run.counts;
        assert!((2..=BURST).contains(&burst.nmis_raised), "{burst:?}");
        assert_eq!(burst.nmis_delivered + burst.nmis_merged, burst.nmis_raised);
    }
}

#[test]
fn an_nmi_costs_its_handler_s_instructions() {
    // push, mov, inc, inc, pop, iretq; with the fault inc is not retired before it, but push, inc, mov,
    // mov, pop, add, iretq are.
    let cost = |pages, nmi| cell(pages, nmi).nmi_cost.expect("it returns");
    for (pages, nmi, insns) in [
        ("prealloc", "naive", 6),
        ("lazy", "naive", 13),
        ("lazy", "no-touch", 5),
    ] {
        let cost = cost(pages, nmi);
        assert_eq!((cost.least, cost.most, cost.cr3_writes), (insns, insns, 0));
    }
}

#[test]
fn a_program_that_fails_by_itself_is_told_apart() {
    let c = cell("stack", "naive");
    assert!(c.is_bad() && !c.undisturbed.success);
    assert_eq!(c.short_verdict(), "fails alone");
    assert_eq!(c.representative(), &c.undisturbed);
}

fn series() -> Vec<CostSeries> {
    let series = |axis, sizes: &[u64], define: &[&str]| CostSeries {
        axis,
        sizes: sizes.to_vec(),
        define: define.iter().map(|d| d.parse().expect("good")).collect(),
    };
    vec![
        series(Axis::Tasks, &[1, 7, 1000], &[]),
        series(Axis::Mappings, &[1, 5], &["TASKS=3"]),
    ]
}

#[test]
fn costs_are_those_of_the_source() {
    let report = report(&["prealloc", "walk", "stack"], &["naive"], series(), 1);
    assert!(report.complete);
    assert_eq!(report.costs.len(), 15);
    for run in &report.costs {
        let (tasks, mappings) = match run.axis {
            Axis::Tasks => (run.n, 1),
            _ => (3, run.n),
        };
        let Some(cost) = run.cost else {
            assert_eq!(
                (run.pages.as_str(), run.end.as_str()),
                ("stack", "guest-failure")
            );
            continue;
        };
        let walked = if run.pages == "walk" {
            tasks * mappings
        } else {
            0
        };
        assert_eq!(cost.fill_writes, walked, "{run:?}");
        assert_eq!(cost.pte_writes, mappings + walked, "{run:?}");
        assert_eq!(cost.table_bytes, 4096 * tasks, "{run:?}");
        // mov; for each mapping inc and loop; the walk: mov, and inc, inc, dec, jnz a task.
        let walk = if run.pages == "walk" {
            mappings + 4 * walked
        } else {
            0
        };
        assert_eq!(cost.map, 1 + 2 * mappings + walk, "{run:?}");
        assert_eq!(
            (cost.boot, cost.fork, cost.r#use),
            (1, 1 + 2 * tasks, 5),
            "{run:?}"
        );
    }
}

#[test]
fn the_report_is_the_same_for_any_number_of_threads() {
    let make = |jobs| report(&["lazy", "walk"], &["naive", "no-touch"], series(), jobs);
    let one = make(1);
    let four = make(4);
    assert_eq!(one, four);
    let text = |r| serde_json::to_string(r).expect("JSON");
    assert_eq!(text(&one), text(&four));
    assert_eq!(iretrace::matrix::html(&one), iretrace::matrix::html(&four));
}

#[test]
fn an_interrupted_matrix_has_what_is_done() {
    let plan = MatrixPlan {
        pages: of(&PAGES, &["lazy", "prealloc", "walk"]),
        nmi: of(&NMI, &["naive"]),
        costs: Vec::new(),
        ..MatrixPlan::default()
    };
    let matrix = Matrix {
        open: &open,
        program: vec!["stand-in.S".to_owned()],
        plan: &plan,
    };
    let stop = AtomicBool::new(false);
    let report = matrix
        .run(1, &stop, &mut |progress| {
            stop.store(progress.done >= 1, std::sync::atomic::Ordering::Relaxed);
        })
        .expect("a matrix");
    assert!(!report.complete && !report.cells.is_empty() && report.cells.len() < 3);
    assert_eq!(report.cells[0].pages, "lazy");
    let partial = report.partial().expect("it is said");
    assert!(iretrace::matrix::text(&report, false).contains(&partial));
    assert!(iretrace::matrix::markdown(&report).contains(&partial));
    assert!(iretrace::matrix::html(&report).contains(&partial));
}
