//! Correct code draws nothing above a note.

use super::sources::run;

/// A handler of NMIs that may be nested at every instruction after its first few: a frame of its own, a
/// copy that IRET pops and that a nested NMI sends round again, and a word that says that it executes.
/// Its body takes a page fault, which unblocks NMIs, and two more NMIs, one of them by its latch.
const NESTABLE: &str = r#"
.include "kernel.inc"
.include "apic.inc"
.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    call apic_init
    gate NMI, nmi_entry, ist=1
    gate PF, page_fault_entry
    mov  eax, offset lazy
    shr  eax, 12
    mov  qword ptr [low_pt + rax * 8], 0
    send_nmi
interrupted:
    cmp  qword ptr [bodies], 2
    jb   .Lwrong
    succeed "the nested NMIs were served"
.Lwrong:
    fail "an NMI was not served"

# T-40..T-8: written by every NMI. T-48: rdx. T-56: executing. T-96..T-64: what IRET pops. T-136..T-104: the outermost.
nmi_entry:
    cld
    push rdx
    cmp  qword ptr [rsp + 8], offset repeat_nmi
    jb   1f
    cmp  qword ptr [rsp + 8], offset end_repeat_nmi
    jb   nested_out
1:  cmp  qword ptr [nmi_stack_top - 56], 1
    je   nested
    test dword ptr [rsp + 24], 0x400    # DF: the outer one is about to leave
    jz   first_nmi
    cmp  qword ptr [rsp + 32], offset nmi_stack
    jb   first_nmi
    cmp  qword ptr [rsp + 32], offset nmi_stack_top
    ja   first_nmi
nested:
    mov  qword ptr [nmi_stack_top - 64], KERNEL_DS
    mov  qword ptr [nmi_stack_top - 72], offset nmi_stack_top - 136
    mov  qword ptr [nmi_stack_top - 80], 2
    mov  qword ptr [nmi_stack_top - 88], KERNEL_CS
    mov  qword ptr [nmi_stack_top - 96], offset repeat_nmi
nested_out:
    pop  rdx
nested_return:
    iretq
first_nmi:
    mov  rdx, [rsp]
    push 0
    sub  rsp, 40
    push qword ptr [nmi_stack_top - 8]
    push qword ptr [nmi_stack_top - 16]
    push qword ptr [nmi_stack_top - 24]
    push qword ptr [nmi_stack_top - 32]
    push qword ptr [nmi_stack_top - 40]
repeat_nmi:
    mov  qword ptr [nmi_stack_top - 56], 1
    mov  rsp, offset nmi_stack_top - 56
    push qword ptr [nmi_stack_top - 104]
    push qword ptr [nmi_stack_top - 112]
    push qword ptr [nmi_stack_top - 120]
    push qword ptr [nmi_stack_top - 128]
    push qword ptr [nmi_stack_top - 136]
    mov  rsp, offset nmi_stack_top - 136
end_repeat_nmi:
    push rax
    push rcx
    push rdx
    mov  rax, cr2
    push rax
    call body
    pop  rax
    mov  cr2, rax
    pop  rdx
    pop  rcx
    pop  rax
    mov  rsp, offset nmi_stack_top - 96
    std
    mov  qword ptr [nmi_stack_top - 56], 0
nmi_return:
    iretq

body:
    inc  qword ptr [bodies]
    cmp  qword ptr [bodies], 1
    jne  2f
    send_nmi                            # latched until the page fault returns
touch:
    mov  qword ptr [lazy], 1
    send_nmi                            # nested at once
2:  ret

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

.section .data
bodies:
    .quad 0
.section .bss
.balign 4096
lazy:
    .skip 4096
"#;

#[test]
fn a_handler_that_rewrites_its_own_frames_is_only_noted() {
    let found = run(NESTABLE, "--nmi-body body");
    assert!(
        found.contains(&"note nmi-reentered touch".to_owned()),
        "{found:?}"
    );
    assert!(
        found.contains(&"note frame-overwritten touch".to_owned()),
        "{found:?}"
    );
    for f in &found {
        assert!(f.starts_with("note "), "{found:#?}");
    }
}

/// One more NMI, at every boundary.
#[test]
fn wherever_an_nmi_comes_it_is_only_noted() {
    // From the first NMI, when all gates are there, to well past the end of the handler's second round.
    for icount in 848..970 {
        for f in run(NESTABLE, &format!("--nmi icount={icount} --nmi-body body")) {
            assert!(f.starts_with("note "), "{icount}: {f}");
        }
    }
}

/// Without DF, an NMI between the last two instructions is taken for a first one, and writes over
/// what the outer one is about to return through.
#[test]
fn without_one_of_its_safeguards_it_is_not() {
    let mutant = NESTABLE.replace("    std\n", "    nop\n");
    let found: Vec<String> = (848..970)
        .flat_map(|icount| run(&mutant, &format!("--nmi icount={icount} --nmi-body body")))
        .filter(|f| f.starts_with("error "))
        .collect();
    assert!(
        found.iter().any(|f| f.starts_with("error frame-lost ")),
        "{found:?}"
    );
}

/// A frame that software builds where an event's frame was, with the same five values: Linux's way to
/// serialise the processor. The interrupt comes right behind the IRET.
#[test]
fn a_frame_that_is_built_again_is_no_old_frame() {
    let again = r#"
.include "kernel.inc"
VECTOR_TIMER = 0x20
.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    gate TIMER, timer_entry
    gate BP, given_up
    nop
given_up:
    mov  rsp, offset kernel_stack_top
    mov  ebx, 3
    sti
    mov  eax, 1
    test eax, eax                       # the flags of the comparisons below
    jmp  behind
again:
    mov  rax, rsp
    push KERNEL_DS
    push rax
    pushfq
    push KERNEL_CS
    push offset behind
    iretq
behind:
    lea  rbx, [rbx - 1]
    jrcxz 1f
1:  cmp  rbx, 0
    jne  again
    succeed "serialised"
timer_entry:
    iretq
"#;
    for nth in 1..=3 {
        let options = format!("--irq 0x20@at=behind#{nth} --allow never-resumed,frame-overwritten");
        assert_eq!(run(again, &options), [""; 0], "{nth}");
        // The interrupt's frame lies where another one was given up.
        let over = again.replace("    nop\ngiven_up", "    int3\ngiven_up");
        assert_eq!(run(&over, &options), [""; 0], "{nth}");
    }
}

/// A handler that gives up what it interrupted, and starts its stack afresh.
#[test]
fn an_abandoned_context_is_only_noted() {
    let source = r#"
.include "kernel.inc"
.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    gate BP, breakpoint_entry
    int3
breakpoint_entry:
    inc  qword ptr [count]
    cmp  qword ptr [count], 3
    je   1f
    mov  rsp, offset kernel_stack_top
    int3
1:  succeed "given up twice"
.section .data
count:
    .quad 0
"#;
    let found = run(source, "--deny error");
    assert!(
        found
            .iter()
            .any(|f| f.starts_with("note frame-overwritten ")),
        "{found:?}"
    );
    for f in &found {
        assert!(f.starts_with("note "), "{found:?}");
    }
}
