# delivery-failed: an interrupt whose gate is not present: a segment-not-present fault comes instead
#
# Delivery reads the gate, the code segment and the stack pointer, and writes the frame. Each of these can fail, and then
# another exception is delivered, of the same instruction. Its error code names the gate.
#
#     INT 0x21         at software_interrupt: the gate is not present
#     #NP#1            delivered instead, error code 0x10a (gate 0x21 of the IDT); its handler skips the instruction
#                      (the twin's gate is present)
#
# It ends after the instruction. Success: the handler that was entered is the one predicted.

.include "kernel.inc"

VECTOR_NP = 11
VECTOR_CALL = 0x21
.ifdef MENDED
ENTERED = 1
.else
ENTERED = 2
.endif

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    gate NP, not_present_entry
    gate CALL, call_entry
.ifndef MENDED
    and  byte ptr [idt + 16 * VECTOR_CALL + 5], 0x7f    # P
.endif

software_interrupt:
    int  VECTOR_CALL
after_interrupt:
    cmp  qword ptr [entered], ENTERED
    jne  .Lwrong
    succeed "delivery-failed: the handler predicted was entered"
.Lwrong:
    fail "delivery-failed: another handler was entered"

call_entry:
    mov  qword ptr [entered], 1
    iretq

not_present_entry:
    cmp  dword ptr [rsp], 8 * VECTOR_CALL + 2
    jne  .Lwrong
    mov  qword ptr [entered], 2
    add  rsp, 8                         # the error code
    add  qword ptr [rsp], 2             # the length of INT n
    iretq

.section .data
entered:
    .quad 0
