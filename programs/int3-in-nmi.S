# int3-in-nmi: a breakpoint inside an NMI handler lets a second NMI into the middle of it, and a log record is lost
#
# It takes no page fault to unblock NMIs too early: the IRET of a breakpoint handler (a tracer's INT3 patched into code
# that the NMI handler runs) does as well. Here NMIs use no IST stack, as on i386: they nest on the current stack and
# every frame survives. The handler is still wrong, as it counts on not being interrupted by itself: both NMIs take the
# same slot of the log.
#
#     NMI#1              at interrupted, on the kernel stack
#       NMI              arrives in the handler, blocked: latched
#       #BP#1            at after_int3, by INT3
#       IRET of #BP#1    to after_int3; NMIs unblocked early
#       NMI#2            at after_int3, on the same stack, below; no frame is overwritten
#         #BP#2          at after_int3, and its IRET
#       IRET of NMI#2    to after_int3: slot 0 is NMI#2's
#     IRET of NMI#1      to interrupted: slot 0 is NMI#1's now
#
# It ends in the interrupted code. Success: two NMIs, one record, and it is the first's.

.include "kernel.inc"
.include "apic.inc"

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    call apic_init
    gate NMI, nmi_entry
    gate BP, breakpoint_entry

    send_nmi
interrupted:
    cmp  qword ptr [nmis], 2
    jne  .Lnot_two
    cmp  qword ptr [records], 1
    jne  .Lnot_lost
    cmp  qword ptr [log], 1
    jne  .Lnot_lost
    succeed "int3-in-nmi: NMI #2 came inside NMI #1, and its log record was lost, as predicted"
.Lnot_two:
    fail "int3-in-nmi: there were not two NMIs"
.Lnot_lost:
    fail "int3-in-nmi: both NMIs left their records"

nmi_entry:
    push rax
    push rcx
    push rdx
    inc  qword ptr [nmis]
    cmp  qword ptr [nmis], 1
    jne  .Lnot_first
    send_nmi                            # the second NMI; it has to wait for an IRET
.Lnot_first:
    mov  rdx, [nmis]                    # who we are
    mov  rcx, [records]                 # take the next slot ...
    int3                                # (traced code)
after_int3:
    mov  [log + rcx * 8], rdx           # ... write it ...
    inc  rcx
    mov  [records], rcx                 # ... and say so
    pop  rdx
    pop  rcx
    pop  rax
nmi_return:
    iretq

breakpoint_entry:
    inc  qword ptr [breakpoints]
breakpoint_return:
    iretq                               # unblocks NMIs, whatever it returns to

.section .data
nmis:
    .quad 0
breakpoints:
    .quad 0
records:
    .quad 0
log:
    .quad 0, 0
