# state-leak: an interrupt handler that does not restore RCX, and a loop that counts in it
#
# An interrupt comes between any two instructions, and the code there does not expect it: all of its registers must be
# as before. (The end-of-interrupt macro needs RCX for the number of the MSR.)
#
#     INT 0x20#1       at interrupted, by the timer
#     IRET             to interrupted; RCX is X2APIC_EOI (the twin's handler restores it)
#
# It ends in the interrupted code. Success: RCX is as predicted.

.include "kernel.inc"
.include "apic.inc"

VECTOR_TIMER = 0x20
.ifdef MENDED
EXPECTED = 7
.else
EXPECTED = X2APIC_EOI
.endif

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    call apic_init
    gate TIMER, timer_entry

    irq_after VECTOR_TIMER, 3
    mov  ecx, 7                         # 1
    sti                                 # 2
    nop                                 # 3
interrupted:
    cmp  ecx, EXPECTED
    jne  .Lwrong
    succeed "state-leak: RCX is what was predicted"
.Lwrong:
    fail "state-leak: RCX is not what was predicted"

timer_entry:
    push rax
    push rdx
.ifdef MENDED
    push rcx
    end_of_interrupt
    pop  rcx
.else
    end_of_interrupt
.endif
    pop  rdx
    pop  rax
timer_return:
    iretq
