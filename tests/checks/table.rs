//! What each program draws, exactly: severity, rule, place.
//!
//! The places follow from the sources in `programs`, whose headers say what happens where.

use super::command::told;

#[rustfmt::skip]
const TABLE: &[(&str, &[&str])] = &[
    ("@nested-nmi", &[
        "note nmi-unblocked-early page_fault_return",
        "note nmi-reentered touch",
        "note frame-overwritten touch",
        "error frame-lost nmi_return",
    ]),
    // Its handler does not put CR2 back.
    ("@nested-nmi-popf", &["note state-leak nmi_return"]),
    ("@int3-in-nmi", &[
        "note nmi-unblocked-early breakpoint_return",
        "note nmi-reentered after_int3",
        "note nmi-unblocked-early breakpoint_return",
    ]),
    // CVE-2018-8897: #DB on the stack of #BP, at its handler's first instruction.
    ("@mov-ss-int3", &[
        "note frame-overwritten breakpoint_entry",
        "error frame-lost breakpoint_entry",
    ]),
    ("@iret-faults", &[
        "note nmi-unblocked-early faulting_iret",
        "note nmi-reentered general_protection_entry",
    ]),
    // AMD: an IRET that faults does not unblock NMIs, but the one of the fault's handler does.
    ("@iret-faults --cpu amd", &[
        "note nmi-unblocked-early general_protection_return",
        "note nmi-reentered faulting_iret",
    ]),
    ("@lazy-fill", &[]),
    ("@user-mode", &[]),
    ("@hlt-wakes", &[]),
    ("@mov-ss-shadow", &[]),
    ("@nmi-merged", &["note nmi-merged merged"]),
    ("@nmi-merged.ok", &[]),
    ("@frame-returned-twice", &["error frame-returned-twice second_return"]),
    ("@frame-returned-twice.ok", &[]),
    ("@nmi-stuck", &["error nmi-stuck interrupted"]),
    ("@nmi-stuck.ok", &[]),
    ("@nmi-unserved --nmi-body nmi_body", &["error nmi-unserved interrupted"]),
    ("@nmi-unserved.ok --nmi-body nmi_body", &[]),
    // Nobody has said where its work is.
    ("@nmi-unserved", &[]),
    ("@state-leak", &["error state-leak timer_return"]),
    ("@state-leak.ok", &[]),
    ("@cr2-clobbered", &["error cr2-clobbered read_cr2"]),
    ("@cr2-clobbered.ok", &[]),
    ("@wrong-gs", &["error wrong-gs count"]),
    ("@wrong-gs.ok", &[]),
    ("@user-stack-in-kernel", &["error user-stack-in-kernel entry_syscall"]),
    ("@user-stack-in-kernel.ok", &[]),
    ("@delivery-failed", &["warning delivery-failed software_interrupt"]),
    ("@delivery-failed.ok", &[]),
    ("@double-fault", &[
        "warning delivery-failed overflow",
        "warning double-fault overflow",
        "note never-resumed overflow",
    ]),
    ("@triple-fault", &["warning delivery-failed overflow", "error shutdown overflow"]),
    ("@red-zone-clobbered", &["error red-zone-clobbered in_use"]),
    ("@red-zone-clobbered.ok", &[]),
    ("@nmi-stuck.ok --nmi at=nmi_return", &["note unreachable-stimulus nmi_return"]),
    ("@nmi-stuck.ok --nmi at=quiet", &[]),
];

#[test]
fn programs_draw_exactly_these_findings() {
    for (words, expected) in TABLE {
        assert_eq!(told(words), *expected, "{words}");
    }
}

#[test]
fn every_rule_has_a_program_and_a_twin_in_the_table() {
    for rule in &iretrace::check::RULES {
        let row = |words: &str| {
            let row = TABLE.iter().find(|(w, _)| *w == words);
            row.unwrap_or_else(|| panic!("{}: {words} is not in the table", rule.name))
                .1
        };
        let named = |line: &&str| line.split(' ').nth(1) == Some(rule.name);
        let found: Vec<&&str> = row(rule.program).iter().filter(|l| named(l)).collect();
        assert!(
            !found.is_empty(),
            "{} does not show {}",
            rule.program,
            rule.name
        );
        for line in found {
            assert!(
                line.starts_with(rule.severity.name()),
                "{}: {line}",
                rule.name
            );
        }
        let twin = row(rule.twin);
        assert!(!twin.iter().any(named), "{} shows {}", rule.twin, rule.name);
    }
}
