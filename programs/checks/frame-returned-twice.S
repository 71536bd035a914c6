# frame-returned-twice: two tasks share one saved frame, so that one context is resumed twice
#
# A breakpoint stops a task, and its frame is the task's saved context. Another task is made of it, a copy; but only the
# pointer to the frame was copied. Both tasks return through the same five words: the second time they are those of an
# event that is long over, and whatever has used that stack meanwhile may have changed them.
#
#     #BP#1            at after_int3, on IST3
#     IRET             to after_int3: the first task goes on
#     IRET             at second_return, of the other task: with the same frame (the twin's task has one of its own)
#
# It ends in the second task. Success: two came back.

.include "kernel.inc"

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    gate BP, breakpoint_entry, ist=3

    int3
after_int3:
    inc  qword ptr [tasks]
    cmp  qword ptr [tasks], 2
    je   .Lboth
    mov  rsp, [other_task]              # the first task stops, the other goes on
second_return:
    iretq
.Lboth:
    succeed "frame-returned-twice: both tasks came back"

breakpoint_entry:
.ifdef MENDED
    pop  qword ptr [copy]
    pop  qword ptr [copy + 8]
    pop  qword ptr [copy + 16]
    pop  qword ptr [copy + 24]
    pop  qword ptr [copy + 32]
    sub  rsp, 40
    mov  qword ptr [other_task], offset copy
.else
    mov  [other_task], rsp
.endif
breakpoint_return:
    iretq

.section .data
tasks:
    .quad 0
other_task:
    .quad 0
copy:
    .quad 0, 0, 0, 0, 0
