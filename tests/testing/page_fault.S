# A page-fault handler: 20 instructions that do nothing wrong.
    .globl page_fault
page_fault:
    testb   $3, 16(%rsp)                # CS: from the user?
    jz      1f
    swapgs
1:  push    %rax
    push    %rcx
    push    %rdx
    push    %rsi
    push    %rdi
    push    %r8
    push    %r9
    push    %r10
    push    %r11
    push    %rbx                        # aligns the stack
    cld
    mov     %cr2, %rdi
    mov     80(%rsp), %rsi              # the error code
    incq    %gs:16
    call    do_page_fault
    pop     %rbx
    pop     %r11
    pop     %r10
    pop     %r9
    pop     %r8
    pop     %rdi
    pop     %rsi
    pop     %rdx
    pop     %rcx
    pop     %rax
    testb   $3, 16(%rsp)
    jz      2f
    swapgs
2:  add     $8, %rsp
    iretq
