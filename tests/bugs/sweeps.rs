//! The bugs that take an NMI at the wrong moment: a sweep finds it.
//!
//! At how many instructions behind a symbol an NMI does harm follows from the sources.

use std::collections::BTreeMap;
use std::time::Instant;

use iretrace::load::builtin::{self, Group};
use serde_json::Value;

use crate::command::{iretrace, told};
use crate::tries::words;

struct Bug {
    name: &'static str,
    /// What a class of bad cases must say: a verdict, and words of what it was.
    says: &'static [(&'static str, &'static str)],
    /// Symbols, and at how many instructions from there to the next symbol an NMI does harm.
    places: &'static [(&'static str, usize)],
}

const SYSCALL_GAPS: &[(&str, usize)] = &[("entry_syscall", 3), ("return_by_sysret", 2)];

#[rustfmt::skip]
const BUGS: [Bug; 11] = [
    // All of the handler: the page fault's IRET unblocks NMIs, and NMIs before it are latched.
    Bug {
        name: "fault-in-nmi",
        says: &[("hung", "frame-lost")],
        places: &[
            ("nmi_entry", 4), ("touch", 3), ("nmi_return", 1),
            ("page_fault_entry", 3), ("page_fault_read", 12), ("page_fault_return", 1),
        ],
    },
    Bug {
        name: "breakpoint-in-nmi",
        says: &[("hung", "frame-lost")],
        places: &[
            ("nmi_entry", 4), ("nmi_return", 1), ("traced", 1), ("traced_1", 2), ("breakpoint_entry", 1),
        ],
    },
    // Up to the store of the second half, which comes after `neg`.
    Bug {
        name: "nmi-not-reentrant",
        says: &[("differs", "guest-failure")],
        places: &[("nmi_entry", 6), ("after_int3", 2), ("breakpoint_entry", 1), ("breakpoint_return", 1)],
    },
    // Up to MOV from CR2.
    Bug {
        name: "cr2-lost-to-nmi",
        says: &[("finding", "cr2-clobbered")],
        places: &[("page_fault_entry", 3), ("page_fault_read", 1)],
    },
    // SWAPGS, a store, the load of RSP; SWAPGS and SYSRET.
    Bug {
        name: "user-rsp-on-nmi-stack",
        says: &[("finding", "nmi-unserved")],
        places: SYSCALL_GAPS,
    },
    Bug {
        name: "syscall-gap",
        says: &[("finding", "user-stack-in-kernel")],
        places: SYSCALL_GAPS,
    },
    // GS is the user's up to SWAPGS, and again before SYSRET.
    Bug {
        name: "negative-gs-base",
        says: &[("finding", "wrong-gs")],
        places: &[("entry_syscall", 1), ("return_by_sysret", 1)],
    },
    // CR3 is the user's up to the fourth instruction, and again behind the second from return_to_user.
    Bug {
        name: "cr3-not-restored",
        says: &[("finding", "state-leak")],
        places: &[("entry_syscall", 4), ("return_to_user", 1), ("return_by_sysret", 2)],
    },
    // All of the handler up to the IRET that faults, which unblocks NMIs (Intel), and the fault's handler.
    Bug {
        name: "iret-fault-on-nmi-stack",
        says: &[("hung", "the same state again and again")],
        places: &[
            ("nmi_entry", 3), ("nmi_detect_user", 2), ("nmi_setup", 10), ("nmi_repeat", 8), ("nmi_run", 15),
            ("nmi_run_gs", 7), ("nmi_run_body", 1), ("nmi_body", 2), ("nmi_run_restore", 17), ("nmi_leave", 4),
            ("nmi_leave_mark", 1), ("nmi_leave_flag", 1), ("nmi_leave_iret", 1),
            ("stack_fault_entry", 2), ("stack_fault_iret", 1),
        ],
    },
    // With 0 to 4 words copied. With none the IRET leads back to the copy, else an exception comes of it.
    Bug {
        name: "iret-not-atomic",
        says: &[("hung", "the same state again and again"), ("finding", "never-resumed")],
        places: &[("nmi_leave_iret", 5)],
    },
    // All of the handler and of the #DB's.
    Bug {
        name: "watchpoint-on-nmi-stack",
        says: &[("hung", "frame-lost")],
        places: &[
            ("nmi_entry", 1), ("nmi_pushed", 3), ("nmi_return", 1), ("debug_entry", 4), ("debug_return", 1),
        ],
    },
];

/// The report of the sweep among the commands to try that names `program`, with `more` words, and its exit
/// code.
fn swept(program: &str, header: &str, more: &[&str]) -> (Option<i32>, Value) {
    let begin = format!("iretrace sweep @{program} ");
    let tries = builtin::find(header).expect("a program").tries();
    let mut sweeps = tries.filter(|line| line.starts_with(&begin));
    let command = sweeps.next().unwrap_or_else(|| panic!("{begin}…"));
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("report.json");
    let mut words = words(command);
    words.extend(["--json", json.to_str().expect("UTF-8")]);
    // The longest handler has some hundred instructions; what takes more hangs.
    words.extend(["--patience", "5k"]);
    words.extend(more);
    let run = iretrace(words);
    let report = std::fs::read_to_string(&json);
    let report = report.unwrap_or_else(|e| panic!("{command}: {e}: {run:?}"));
    (
        run.status.code(),
        serde_json::from_str(&report).expect("JSON"),
    )
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().expect("a string")
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().expect("a list")
}

fn is_bad(verdict: &str) -> bool {
    !matches!(verdict, "same" | "same-except")
}

/// Instructions at which a case was not the same, by the symbol before them.
fn bad_places(report: &Value) -> BTreeMap<String, usize> {
    let verdicts = iretrace::sweep::Verdict::ALL.map(iretrace::sweep::Verdict::name);
    let mut places = BTreeMap::new();
    for row in list(report, "listing") {
        let counts = row["counts"][0].as_array().expect("one for each verdict");
        assert_eq!(counts.len(), verdicts.len());
        let bad = counts.iter().zip(verdicts);
        if bad.clone().any(|(n, v)| is_bad(v) && n.as_u64() != Some(0)) {
            let symbol = text(row, "place").split('+').next().expect("a symbol");
            *places.entry(symbol.to_owned()).or_default() += 1;
        }
    }
    places
}

#[test]
fn each_is_found_where_it_is() {
    for bug in &BUGS {
        let begin = Instant::now();
        let (code, report) = swept(bug.name, bug.name, &[]);
        assert_eq!(code, Some(100), "{}", bug.name);
        assert_eq!(report["complete"], true);
        let places = bug.places.iter().map(|&(s, n)| (s.to_owned(), n));
        assert_eq!(bad_places(&report), places.collect(), "{}", bug.name);
        for &(verdict, words) in bug.says {
            let classes = list(&report, "classes").iter();
            let mut classes = classes.filter(|c| text(c, "verdict") == verdict);
            let says = classes.any(|c| text(c, "what").contains(words));
            assert!(says, "{}: {verdict}, {words}: {report:#}", bug.name);
        }
        for class in list(&report, "classes") {
            let verdict = text(class, "verdict");
            let known = bug.says.iter().any(|s| s.0 == verdict);
            assert!(known || !is_bad(verdict), "{}: {class:#}", bug.name);
        }
        println!("{:26} {:5.2} s", bug.name, begin.elapsed().as_secs_f64());
    }
}

#[test]
fn each_twin_survives_an_nmi_anywhere() {
    for bug in &BUGS {
        let begin = Instant::now();
        let twin = format!("{}.ok", bug.name);
        let (code, report) = swept(&twin, bug.name, &[]);
        assert_eq!(code, Some(0), "{twin}: {report:#}");
        nothing_is_bad(&twin, &report);
        assert!(report["cases"].as_u64() > Some(200), "{twin}");
        println!("{twin:26} {:5.2} s", begin.elapsed().as_secs_f64());
    }
}

fn nothing_is_bad(twin: &str, report: &Value) {
    for (verdict, n) in report["verdicts"].as_object().expect("counts") {
        assert!(!is_bad(verdict), "{twin}: {n} x {verdict}");
    }
    assert_eq!(list(report, "undisturbed_findings").len(), 0, "{twin}");
}

/// A second NMI anywhere in the handler of the first: the cure is no matter of luck. The one that takes a page
/// fault in its NMI handler cannot stand that, as its header says.
#[test]
fn each_twin_survives_two_nmis() {
    let two = ["--to", "console_write", "--then", "nmi"];
    for bug in BUGS.iter().filter(|b| b.name != "cr2-lost-to-nmi") {
        let begin = Instant::now();
        let twin = format!("{}.ok", bug.name);
        let (code, report) = swept(&twin, bug.name, &two);
        assert_eq!(code, Some(0), "{twin}: {report:#}");
        nothing_is_bad(&twin, &report);
        println!("{twin:26} {:5.2} s, two", begin.elapsed().as_secs_f64());
    }
}

/// What an NMI at the wrong moment takes is not there undisturbed, and a run cannot tell the twins apart.
#[test]
fn undisturbed_nothing_is_found() {
    for bug in &BUGS {
        for name in [bug.name.to_owned(), format!("{}.ok", bug.name)] {
            let found = told(&format!("@{name}"));
            let loud: Vec<&String> = found.iter().filter(|f| !f.starts_with("note ")).collect();
            assert!(loud.is_empty(), "{name}: {loud:?}");
        }
    }
}

#[test]
fn every_bug_is_swept_or_run() {
    for b in builtin::list().iter().filter(|b| b.group == Group::Bugs) {
        let name = b.name.trim_end_matches(".ok");
        let swept = BUGS.iter().any(|bug| bug.name == name);
        assert!(swept != crate::runs::names().any(|n| n == name), "{name}");
    }
}
