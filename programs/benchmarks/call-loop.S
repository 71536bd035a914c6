# call-loop: a benchmark: calls, returns, loads and stores, `loops` times
#
# Nine instructions a turn. Expect no event. Success: every call counted.

.include "kernel.inc"

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    mov  rcx, [loops]
    jrcxz done

again:
    call count
    dec  rcx
    jnz  again

done:
    mov  rax, [counter]
    cmp  rax, [loops]
    jne  .Lwrong
    succeed "call-loop: done"
.Lwrong:
    fail "call-loop: the count is wrong"

count:
    push rcx
    mov  rax, [counter]
    inc  rax
    mov  [counter], rax
    pop  rcx
    ret

.section .data
.globl loops
loops:
    .quad 1000000
counter:
    .quad 0
