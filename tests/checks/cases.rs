//! Cases of rules that the programs in `programs/checks` do not show.

use super::sources::{findings_of, run};

const START: &str = "\
.include \"kernel.inc\"
.include \"apic.inc\"
.include \"user.inc\"
VECTOR_TIMER = 0x20
.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    call apic_init
    call user_init
";

/// What a page fault needs: `unmapped` is mapped by it.
const PAGE_FAULT: &str = "
page_fault_entry:
    push rax
    push rcx
    mov  rax, cr2
    mov  rcx, rax
    and  rcx, -4096
    or   rcx, PRESENT + WRITE
    shr  rax, 12
    mov  [low_pt + rax * 8], rcx
    pop  rcx
    pop  rax
    add  rsp, 8
page_fault_return:
    iretq
.section .bss
.balign 4096
unmapped: .skip 4096
.text
";

const UNMAP: &str = "
    gate PF, page_fault_entry
    mov  eax, offset unmapped
    shr  eax, 12
    mov  qword ptr [low_pt + rax * 8], 0
";

const NO_SYSCALL: &str = "\nentry_syscall:\n    ud2\n";

fn kernel(body: &str) -> String {
    format!("{START}{body}{NO_SYSCALL}")
}

/// The user at `user_start` on a page of its own.
fn user(before: &str, user: &str, after: &str) -> String {
    format!(
        "{START}    allow_user user_start\n{before}
    push_user_frame user_start
    swapgs
    iretq
.balign 4096
user_start:
{user}
.balign 4096
entry_syscall:
{after}"
    )
}

fn check(source: &str, options: &str, expected: &[&str]) {
    assert_eq!(run(source, options), expected, "{source}");
}

/// CPL 3 is entered with one SWAPGS too few or too many, after the kernel has been seen to have a base.
#[test]
fn the_user_gets_the_kernel_s_gs() {
    let source = |exit: &str| {
        let user_code = "    syscall\n    mov eax, 1\n    syscall\n";
        let after = format!(
            "    cmp  eax, 1
    je   1f
    swapgs
    {exit}
leave:
    sysretq
1:  succeed \"twice\"
"
        );
        user("", user_code, &after)
    };
    check(&source("swapgs"), "", &[]);
    check(&source("nop"), "", &["error wrong-gs leave"]);
}

/// Which base is whose cannot be told.
#[test]
fn equal_gs_bases_draw_nothing() {
    let source = |kernel_base: &str| {
        user(
            "",
            "    syscall\n",
            &format!(
                "    set_msr IA32_KERNEL_GS_BASE, 0, \"{kernel_base}\"
through_gs:
    mov  rax, gs:[8]
    succeed \"read\"
"
            ),
        )
    };
    check(&source("offset user_data"), "", &[]);
    check(
        &source("offset user_data + 8"),
        "",
        &["error wrong-gs through_gs"],
    );
}

/// LEA computes an address, and accesses nothing.
#[test]
fn an_address_is_no_access() {
    let after = "    lea  rax, gs:[8]\n    swapgs\n    mov  rax, gs:[8]\n    succeed \"loaded\"\n";
    check(&user("", "    syscall\n", after), "", &[]);
}

/// The user's RSP may be an address of the kernel's: no page tells, but SYSCALL has just brought it.
#[test]
fn a_user_may_choose_a_kernel_s_address_as_its_stack() {
    let source = |ist: &str| {
        let before = format!("    gate NMI, nmi_entry{ist}\n");
        let user_code = "    mov  rsp, offset spare_stack_top\n    syscall\n";
        let after = "\
    nop
in_gap:
    mov  rsp, offset kernel_stack_top
own_stack:
    nop
    succeed \"on a stack of its own\"
nmi_entry:
    iretq
";
        user(&before, user_code, after)
    };
    let found = ["error user-stack-in-kernel in_gap"];
    check(&source(""), "--nmi at=in_gap", &found);
    check(&source(""), "--nmi at=own_stack", &[]);
    check(&source(", ist=1"), "--nmi at=in_gap", &[]);
}

/// What RSP was between two boundaries counts, not how often somebody looks: the kernel has loaded this
/// RSP itself, though it is the one that the user had.
#[test]
fn a_stack_that_the_kernel_has_loaded_is_its_own() {
    let after = "\
    nop
    mov  rsp, offset kernel_stack_top
    mov  rsp, offset spare_stack_top
own_stack:
    nop
    succeed \"on a stack of its own\"
nmi_entry:
    iretq
";
    let user_code = "    mov  rsp, offset spare_stack_top\n    syscall\n";
    let source = user("    gate NMI, nmi_entry\n", user_code, after);
    check(&source, "--nmi at=own_stack", &[]);
}

/// SDM vol. 2, SYSRET: #GP(0) at CPL 0 if RCX is not canonical, on whatever stack RSP points at. On AMD's
/// (APM vol. 3, SYSRET) it comes at CPL 3.
#[test]
fn a_sysret_that_faults_is_on_the_user_s_stack() {
    let before = "    gate GP, general_protection_entry\n    gate NMI, nmi_entry\n";
    let user_code = "    mov  rsp, offset spare_stack_top\n    syscall\n";
    let source = |sysret: &str| {
        let after = format!(
            "\
    mov  rax, rsp
    mov  rsp, offset kernel_stack_top
    movabs rcx, 1 << 47
    mov  rsp, rax
leave:
    {sysret}
general_protection_entry:
    succeed \"it faulted\"
nmi_entry:
    iretq
"
        );
        user(before, user_code, &after)
    };
    // The handler does not return.
    let found = [
        "error user-stack-in-kernel leave",
        "note never-resumed leave",
    ];
    check(&source("sysretq"), "", &found);
    check(&source("sysretq"), "--cpu amd", &["note never-resumed ?"]);
    // Without REX.W it returns to ECX, 0, where the user faults; before it, the NMI is on that stack.
    let found = ["error user-stack-in-kernel leave", "note never-resumed ?"];
    check(&source(".byte 0x0f, 0x07"), "--nmi at=leave", &found);
}

/// As long as nothing runs at CPL 3, U/S does no harm.
#[test]
fn without_a_user_any_page_will_do() {
    let source = kernel(
        "    gate NMI, nmi_entry
    mov  rsp, offset user_stack_top
    nop
here:
    succeed \"on a page that a user could reach\"
nmi_entry:
    iretq
",
    );
    check(&source, "--nmi at=here", &[]);
}

/// A page fault is tried again: its handler must restore everything. One that returns elsewhere is a
/// fix-up, and may change what it likes.
#[test]
fn a_retried_page_fault_restores_registers() {
    let source = |change: &str| {
        let body = format!(
            "{UNMAP}touch:\n    mov  rax, [unmapped]\nfixed:\n    succeed \"read\"\n{PAGE_FAULT}"
        );
        kernel(&body).replace(
            "page_fault_return:\n",
            &format!("{change}\npage_fault_return:\n"),
        )
    };
    check(&source(""), "", &[]);
    check(
        &source("    inc  r15"),
        "",
        &["error state-leak page_fault_return"],
    );
    let found = ["error state-leak page_fault_return"];
    check(&source("    or   qword ptr [rsp + 16], 0x400"), "", &found);
    check(
        &source("    inc  r15\n    mov  qword ptr [rsp], offset fixed"),
        "",
        &[],
    );
}

/// Each thing that an NMI handler must leave alone.
#[test]
fn an_nmi_leaves_no_trace() {
    for (change, leaks) in [
        ("nop", false),
        ("inc  r8", true),
        ("dec  rbp", true),
        ("swapgs", true),
        (
            "mov  rbx, cr3\n    or  rbx, 8\n    mov  cr3, rbx\n    xor  ebx, ebx",
            true,
        ),
        (
            "mov  ebx, 0x401\n    mov  dr7, rbx\n    xor  ebx, ebx",
            true,
        ),
        (
            "mov  ebx, 0x400\n    mov  dr7, rbx\n    xor  ebx, ebx",
            false,
        ),
        ("push rax\n    pop  rax", false),
    ] {
        let source = kernel(&format!(
            "    gate NMI, nmi_entry, ist=1
    xor  ebx, ebx
    nop
here:
    succeed \"back\"
nmi_entry:
    {change}
nmi_return:
    iretq
"
        ));
        let found = ["error state-leak nmi_return"];
        check(&source, "--nmi at=here", if leaks { &found } else { &[] });
    }
}

/// CR2 matters to nobody but a page-fault handler: only noted.
#[test]
fn cr2_alone_is_a_note() {
    let source = kernel(
        "    gate NMI, nmi_entry, ist=1
    nop
here:
    succeed \"back\"
nmi_entry:
    push rax
    mov  eax, 0x1234
    mov  cr2, rax
    pop  rax
nmi_return:
    iretq
",
    );
    check(&source, "--nmi at=here", &["note state-leak nmi_return"]);
}

/// An NMI from CPL 3 that leaves by SYSRET.
#[test]
fn sysret_does_not_unblock_nmis() {
    let source = user(
        "    gate NMI, nmi_entry, ist=1\n",
        "    nop\nhere:\n    syscall\n",
        "    succeed \"left\"
nmi_entry:
    mov  rcx, [rsp]
    mov  r11, [rsp + 16]
    mov  rsp, [rsp + 24]
nmi_return:
    sysretq
",
    );
    let options = "--nmi at=here --allow state-leak";
    check(&source, options, &["error nmi-stuck nmi_return"]);
}

/// The NMI was not delivered, but its blocking holds; the fault's handler stands for it.
#[test]
fn what_is_delivered_instead_of_an_nmi_stands_for_it() {
    let source = |leave: &str| {
        kernel(&format!(
            "    VECTOR_NP = 11
    gate NP, not_present_entry
    and  byte ptr [idt + 16 * 2 + 5], 0x7f
    nop
here:
    nop
    succeed \"back\"
not_present_entry:
    add  rsp, 8
inside:
    nop
    {leave}
"
        ))
    };
    let failed = "warning delivery-failed here";
    check(
        &source("iretq"),
        "--nmi at=here",
        &[failed, "note nmi-unblocked-early inside+0x1"],
    );
    // Something nested returns without IRET, which unblocks nothing; the fault's handler goes on.
    let nested = "int3
after_int3:
    mov  rsp, [rsp + 24]
    jmp  here
breakpoint_entry:
    mov  rsp, [rsp + 24]
    jmp  after_int3";
    let stuck = "error nmi-stuck here";
    let source_nested =
        source(nested).replace("    gate NP", "    gate BP, breakpoint_entry\n    gate NP");
    check(&source_nested, "--nmi at=here", &[failed, stuck]);
    let jump = "mov  rsp, [rsp + 24]\n    jmp  here";
    check(
        &source(jump),
        "--nmi at=here",
        &[failed, "error nmi-stuck here"],
    );
}

/// An interrupt where IF is 0, or right behind STI.
#[test]
fn an_interrupt_may_be_unreachable() {
    let source = kernel(
        "    gate TIMER, timer_entry
masked:
    nop
    sti
shadow:
    nop
open:
    nop
    succeed \"done\"
timer_entry:
    push rax
    push rcx
    push rdx
    end_of_interrupt
    pop  rdx
    pop  rcx
    pop  rax
    iretq
",
    );
    for (place, found) in [("masked", true), ("shadow", true), ("open", false)] {
        let note = format!("note unreachable-stimulus {place}");
        let expected: &[&str] = if found { &[&note] } else { &[] };
        check(&source, &format!("--irq 0x20@at={place}"), expected);
    }
}

/// What is written first, what RSP has moved below, and what lies above RSP is no red zone.
#[test]
fn free_stack_is_no_red_zone() {
    let source = |after: &str| {
        kernel(&format!(
            "    gate NMI, nmi_entry
    nop
here:
    {after}
    succeed \"done\"
nmi_entry:
    iretq
"
        ))
    };
    for (after, found) in [
        ("mov  rax, [rsp - 8]", true),
        ("nop\n    mov  al, [rsp - 33]", true),
        ("add  qword ptr [rsp - 16], 1", true),
        ("mov  rsi, rsp\n    sub  rsi, 8\n    lodsq", true),
        // Between frame and RSP, and below the frame.
        ("mov  rax, [rsp - 48]", false),
        (
            "mov  qword ptr [rsp - 8], 1\n    mov  rax, [rsp - 8]",
            false,
        ),
        ("push rax\n    pop  rax", false),
        ("pushfq\n    pop  rax", false),
        ("push qword ptr [rsp - 8]", true),
        ("call 1f\n1:  pop  rax", false),
        // The operand that is read is another one than the one that is written.
        ("push [rsp + 8]\n    pop  rax", false),
        (
            "call [target]\n1:  pop  rax\n    .pushsection .data\ntarget: .quad 1b\n    .popsection",
            false,
        ),
        ("xadd [rsp - 8], rax", true),
        // A memory barrier (SDM vol. 3, 9.2.5) leaves what is there, and does not care.
        ("lock add dword ptr [rsp - 4], 0", false),
        ("lock or qword ptr [rsp - 8], 0", false),
        ("lock and byte ptr [rsp - 8], -1", false),
        ("lock add dword ptr [rsp - 4], 1", true),
        (
            "lock add dword ptr [rsp - 4], 0\n    mov  rax, [rsp - 8]",
            true,
        ),
        // Allocated after the NMI; that it is read uninitialised is nothing to the NMI.
        ("sub  rsp, 8\n    pop  rax", false),
        ("mov  rax, [rsp]", false),
    ] {
        let expected: &[&str] = &["error red-zone-clobbered here"];
        let found_now = run(&source(after), "--nmi at=here");
        let place = found_now
            .iter()
            .map(|f| f.split('+').next().unwrap_or_default());
        let place: Vec<&str> = place.collect();
        assert_eq!(place, if found { expected } else { &[] }, "{after}");
    }
}

/// The first page fault is lost on a stack that is in use, with no copy of its frame; a copy is enough.
#[test]
fn a_frame_that_is_overwritten_is_lost_at_the_end() {
    let source = |copy: &str| {
        kernel(&format!(
            "    gate BP, breakpoint_entry, ist=3
    int3
after:
    fail \"came back\"
breakpoint_entry:
    inc  qword ptr [depth]
    cmp  qword ptr [depth], 2
    je   1f
    {copy}
    push rax
    int3
1:  succeed \"left\"
.section .data
depth:
    .quad 0
.text
"
        ))
    };
    let copy = "sub  rsp, 64
    push qword ptr [debug_stack_top - 8]
    push qword ptr [debug_stack_top - 16]
    push qword ptr [debug_stack_top - 24]
    push qword ptr [debug_stack_top - 32]
    push qword ptr [debug_stack_top - 40]";
    let end = "--deny error --allow never-resumed,frame-overwritten";
    let lost = run(&source("nop"), end);
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert!(
        lost[0].starts_with("error frame-lost breakpoint_entry"),
        "{lost:?}"
    );
    check(&source(copy), end, &[]);
}

/// The shutdown names the NMI that was pending.
#[test]
fn a_shutdown_tells_of_a_pending_nmi() {
    let source = |second: &str| {
        kernel(&format!(
            "    gate NMI, nmi_entry, ist=1
    send_nmi
    fail \"still there\"
nmi_entry:
    {second}
    lidt [empty]
broken:
    ud2
empty:
    .word 0
    .quad 0
"
        ))
    };
    for (second, pending) in [("nop", false), ("send_nmi", true)] {
        let all = findings_of(&source(second), "");
        let list = all["findings"].as_array().expect("a list");
        let last = list.iter().rfind(|f| f["rule"] == "shutdown").expect("one");
        assert_eq!(last["symbol"], "broken");
        let message = last["message"].as_str().expect("text");
        assert_eq!(
            message.ends_with("; an NMI was pending"),
            pending,
            "{message}"
        );
    }
}

/// The kernel has loaded its own RSP, and a fault comes before the machine has come to rest.
#[test]
fn behind_the_gap_the_stack_is_the_kernel_s() {
    let before = "    VECTOR_UD = 6
    gate UD, undefined_entry
    set_msr IA32_GS_BASE, 0, \"offset user_data\"
";
    let source = |load: &str| {
        let after = format!(
            "    {load}
undefined:
    ud2
undefined_entry:
    succeed \"reached\"
"
        );
        user(
            before,
            "    mov  rsp, offset spare_stack_top\n    syscall\n",
            &after,
        )
    };
    let allow = "--allow never-resumed";
    let found = ["error user-stack-in-kernel undefined"];
    check(&source("nop"), allow, &found);
    check(&source("mov  rsp, offset kernel_stack_top"), allow, &[]);
}

/// The first read of CR2 counts, and that of whoever is nested is its own.
#[test]
fn a_handler_may_read_cr2_late_if_nothing_came_between() {
    let source = |nested: &str| {
        let body = format!(
            "{UNMAP}    gate NMI, nmi_entry, ist=1
touch:
    mov  rax, [unmapped]
    succeed \"read\"
nmi_entry:
    push rax
    {nested}
    pop  rax
    iretq
{PAGE_FAULT}"
        );
        kernel(&body)
    };
    let options = "--nmi at=page_fault_entry --allow state-leak";
    check(&source("mov  rax, cr2"), options, &[]);
    check(&source("mov  rax, cr2\n    mov  cr2, rax"), options, &[]);
}
