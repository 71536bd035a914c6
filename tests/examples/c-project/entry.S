/* The entry of page faults: saves what C may change, and passes address and error code. */
    .globl page_fault
page_fault:
    testb   $3, 16(%rsp)
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
    push    %rbp
    mov     %rsp, %rbp
    and     $-16, %rsp
    cld
    mov     %cr2, %rdi
    mov     80(%rbp), %rsi
    call    handle_page_fault
    mov     %rbp, %rsp
    pop     %rbp
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

    .section .note.GNU-stack,"",@progbits
