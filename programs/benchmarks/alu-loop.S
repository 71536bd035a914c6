# alu-loop: a benchmark: arithmetic in registers, `loops` times
#
# Five instructions a turn, no memory access. Expect no event. Success: the sum is right.

.include "kernel.inc"

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    xor  eax, eax
    xor  edx, edx
    mov  rcx, [loops]
    jrcxz done

again:
    add  rax, rcx
    xor  rdx, rax
    ror  rdx, 7
    dec  rcx
    jnz  again

done:
    mov  rcx, [loops]                   # rax is the sum of 1 to n: 2 * rax = n * (n + 1), modulo 2^64
    lea  rdx, [rcx + 1]
    imul rcx, rdx
    add  rax, rax
    cmp  rax, rcx
    jne  .Lwrong
    succeed "alu-loop: done"
.Lwrong:
    fail "alu-loop: the sum is wrong"

.section .data
.globl loops
loops:
    .quad 10000000
