//! `--deny`, `--warn`, `--allow`, `--no-checks`, and what they make of exit codes.

use super::command::{iretrace, told};

fn code(words: &str) -> Option<i32> {
    iretrace(["run", "-q"].into_iter().chain(words.split(' ')))
        .status
        .code()
}

#[test]
fn nothing_is_denied_unless_it_is_asked_for() {
    assert_eq!(code("@nested-nmi"), Some(0));
}

#[test]
fn what_is_denied_is_100() {
    assert_eq!(code("@nested-nmi --deny error"), Some(100));
    assert_eq!(code("@nested-nmi --deny frame-lost"), Some(100));
    assert_eq!(code("@nested-nmi --deny nmi-reentered"), Some(100));
    assert_eq!(code("@nested-nmi --deny nmi-stuck"), Some(0));
    assert_eq!(code("@nested-nmi-popf --deny warning"), Some(0));
    assert_eq!(code("@nested-nmi-popf --deny note"), Some(100));
    assert_eq!(code("@double-fault --deny error"), Some(0));
    assert_eq!(code("@double-fault --deny warning"), Some(100));
}

#[test]
fn the_last_level_holds() {
    assert_eq!(code("@nested-nmi --deny error --allow frame-lost"), Some(0));
    assert_eq!(
        code("@nested-nmi --allow frame-lost --deny frame-lost"),
        Some(100)
    );
    assert_eq!(code("@nested-nmi --deny error --warn frame-lost"), Some(0));
    let warned = told("@nested-nmi --warn frame-lost,nmi-reentered --allow frame-overwritten");
    assert_eq!(
        warned,
        [
            "note nmi-unblocked-early page_fault_return",
            "warning nmi-reentered touch",
            "warning frame-lost nmi_return",
        ]
    );
}

/// The table of exit codes has them in this order.
#[test]
fn a_triple_fault_goes_before_findings() {
    assert_eq!(code("@triple-fault --deny error"), Some(102));
}

#[test]
fn without_checks_there_are_none() {
    let run = iretrace(["run", "-q", "@nested-nmi", "--no-checks"]);
    let said = String::from_utf8(run.stderr).expect("UTF-8");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn wrong_words_are_usage() {
    for words in [
        "@nested-nmi --deny frame-list",
        "@nested-nmi --warn error",
        "@nested-nmi --transparent page-falut",
        "@nested-nmi --nmi-body nmi_enrty",
        "@nested-nmi --no-checks --deny error",
    ] {
        assert_eq!(code(words), Some(2), "{words}");
    }
}

/// #BP is a trap that a program asks for: what its handler changes may be its result.
#[test]
fn transparency_is_opted_into() {
    let source = "\
.include \"kernel.inc\"
.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    gate BP, breakpoint_entry
    int3
    succeed \"back\"
breakpoint_entry:
    inc  rbx
breakpoint_return:
    iretq
";
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bp.S");
    std::fs::write(&path, source).expect("written");
    let path = path.to_str().expect("UTF-8");
    assert_eq!(told(path), [""; 0]);
    let leak = ["error state-leak breakpoint_return"];
    assert_eq!(told(&format!("{path} --transparent breakpoint")), leak);
    assert_eq!(told(&format!("{path} --transparent 3")), leak);
}
