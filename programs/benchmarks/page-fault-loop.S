# page-fault-loop: a benchmark: a page fault that is mended, retried and taken back, `loops` times
#
# Five instructions and a fault a turn, and four more in its handler:
#
#     #PF       at touch, error code 2 (a write, not present), CR2 = page
#     IRET      to touch
#     INVLPG    of page
#
# Success: one fault a turn.

.include "kernel.inc"

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    gate PF, page_fault_entry

    mov  ebx, offset page
    mov  eax, ebx
    shr  eax, 12
    lea  rdi, [low_pt + rax * 8]        # the page's entry,
    mov  rsi, [rdi]                     # and its value when it is present
    xor  edx, edx                       # faults
    mov  qword ptr [rdi], 0
    invlpg [rbx]
    mov  rcx, [loops]
    jrcxz done

again:
touch:
    mov  [rbx], rcx                     # faults every time
    mov  qword ptr [rdi], 0
    invlpg [rbx]
    dec  rcx
    jnz  again

done:
    cmp  rdx, [loops]
    jne  .Lwrong
    succeed "page-fault-loop: done"
.Lwrong:
    fail "page-fault-loop: there was not one fault a turn"

page_fault_entry:
    inc  rdx
    mov  [rdi], rsi
    add  rsp, 8                         # the error code
page_fault_return:
    iretq

.section .data
.globl loops
loops:
    .quad 1000

.section .bss
.balign 4096
page:
    .skip 4096
