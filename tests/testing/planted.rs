//! Seven mistakes in a handler, each of which is found and named.

use iretrace::arch::Vector;
use iretrace::testing::{Case, Code, Context, DefectKind, Raise};

use crate::support::*;

#[test]
fn the_handler_without_mistakes_passes() {
    let program = Code::assembly(PAGE_FAULT).build().unwrap();
    let case = Case::new(&program)
        .handler(Vector::PF, "page_fault")
        .context(Context::user())
        .raise(Raise::page_fault(ADDRESS, CODE));
    let run = case.assert();
    let calls = run.calls("do_page_fault");
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].arguments[..2], [ADDRESS, CODE.into()]);
    // From the kernel, too.
    case.context(Context::kernel()).assert();
}

/// Each change, the kind of mistake, and words of the message.
#[track_caller]
fn planted(changes: &[(&str, &str)], kind: DefectKind, words: &[&str]) {
    let case = case(&program(&changed(changes))).named("page fault of the user's");
    let failure = failure(&case);
    let text = failure.to_string();
    println!("{text}");
    assert_eq!(
        failure.problems[0].expected,
        format!("no {}", kind.name()),
        "{text}"
    );
    for word in words {
        assert!(
            failure.headline().contains(word),
            "{word:?} is not in\n{text}"
        );
    }
    // The place, the code around it, and the trace.
    assert!(
        text.contains("    --> page_fault+0x") && text.contains("handler.S:"),
        "{text}"
    );
    assert!(failure.code.contains("  > page_fault+0x"), "{text}");
    assert!(
        failure
            .trace
            .contains("#PF#1 (fault) delivered to page_fault"),
        "{text}"
    );
}

#[test]
fn the_error_code_is_not_popped() {
    planted(
        &[("2:  add     $8, %rsp", "2:")],
        DefectKind::ErrorCodeNotPopped,
        &["the error code is still on the stack", "(0x6) as RIP"],
    );
}

#[test]
fn a_register_is_not_restored() {
    let changes = [("pop     %rdx", "add     $8, %rsp")];
    let case = case(&program(&changed(&changes)));
    let failure = failure(&case);
    let text = failure.to_string();
    println!("{text}");
    assert!(
        failure
            .headline()
            .starts_with("rdx is not restored: a called function"),
        "{text}"
    );
    assert_eq!(failure.problems.len(), 1, "{text}");
    let diff = &failure.problems[0].diff;
    assert_eq!(diff.len(), 1);
    assert_eq!(diff[0].0, "rdx");
    assert!(failure.code.contains("iretq"), "{text}");
}

#[test]
fn the_stack_is_misaligned_at_the_call() {
    planted(
        &[
            ("push    %rbx", ""),
            ("pop     %rbx", ""),
            ("mov     80(%rsp)", "mov 72(%rsp)"),
        ],
        DefectKind::MisalignedCall,
        &["misaligned at the call of do_page_fault", "multiple of 16"],
    );
}

#[test]
fn swapgs_is_missing() {
    planted(
        &[
            ("jz      1f\n    swapgs", "jz      1f"),
            ("jz      2f\n    swapgs", "jz 2f"),
        ],
        DefectKind::WrongGs,
        &["the user's GS base", "SWAPGS is missing"],
    );
    // Without an access through GS, the call tells.
    planted(
        &[
            ("jz      1f\n    swapgs", "jz      1f"),
            ("jz      2f\n    swapgs", "jz 2f"),
            ("incq    %gs:16", ""),
        ],
        DefectKind::WrongGs,
        &["do_page_fault is called", "SWAPGS is missing"],
    );
}

#[test]
fn iret_comes_too_early() {
    planted(
        &[
            (
                "pop     %rcx\n    pop     %rax\n    testb   $3, 16(%rsp)",
                "testb   $3, 32(%rsp)",
            ),
            ("2:  add     $8, %rsp", "2:"),
        ],
        DefectKind::IretTooEarly,
        &["RSP is 24 bytes below the frame", "push %rcx", "push %rax"],
    );
}

#[test]
fn cr2_is_read_too_late() {
    planted(
        &[(
            "mov     %cr2, %rdi",
            "call    enter_from_user\n    mov     %cr2, %rdi",
        )],
        DefectKind::Cr2TooLate,
        &[
            "CR2 is read too late",
            "since the call of enter_from_user",
            "0x12345678",
        ],
    );
}

#[test]
fn the_direction_flag_is_not_cleared() {
    planted(
        &[("    cld\n", "")],
        DefectKind::DirectionFlag,
        &[
            "direction flag is set at the call of do_page_fault",
            "CLD is missing",
        ],
    );
}

/// IRET without a suffix is IRETD for the assemblers, in 64-bit mode too (SDM vol. 2, IRET).
#[test]
fn iret_is_not_iretq() {
    planted(
        &[("    iretq", "    iretl")],
        DefectKind::IretSize,
        &["IRET", "pops values of 32 bits", "IRETQ is needed"],
    );
}
