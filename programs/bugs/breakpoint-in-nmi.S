# breakpoint-in-nmi: a tracer patches INT3 into code that an NMI handler runs: its IRET lets the next NMI in
#
# Any IRET unblocks NMIs, also that of a breakpoint's handler. Tracers that patch the kernel's code with INT3 had to
# keep away from all that an NMI may run; kernel code cannot know what that is. The second NMI begins at the top of the
# IST stack, over the frame of the first. (Linux 3.3 made the NMI handler fit for it: commit 3f3c8b8c4b2a. The twin
# takes the way that was proposed in 2010: a handler that interrupted an NMI's returns without IRET.)
#
# Undisturbed, nothing goes wrong. With one more NMI from nmi_entry to nmi_return, for example at nmi_entry:
#
#     NMI#1            at interrupted, on IST1
#       NMI            arrives in the handler: latched
#       #BP            at traced_1, by INT3
#       IRET of #BP    to traced_1; NMIs unblocked early
#       NMI#2          at traced_1, on IST1 again: NMI#1's frame is overwritten
#         #BP          at traced_1, and its IRET
#       IRET of NMI#2  to traced_1
#     IRET of NMI#1    pops NMI#2's frame: to traced_1, and so for ever
#
# It ends at interrupted. Success: it came there.
#
# Try:
#     iretrace sweep @breakpoint-in-nmi --from ready                  # frame-lost, from nmi_entry to nmi_return
#     iretrace run @breakpoint-in-nmi --nmi at=nmi_entry --max-insns 900
#     iretrace sweep @breakpoint-in-nmi.ok --from ready               # nothing: NMI#2 waits

.include "kernel.inc"
.include "apic.inc"
.include "no-iret.inc"

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    call apic_init
    gate NMI, nmi_entry, ist=1
    gate BP, breakpoint_entry

ready:
    send_nmi
interrupted:
    succeed "breakpoint-in-nmi: the NMI has been handled"

nmi_entry:
    push rax
    mov  rax, [rsp + 8]                 # the saved RIP
    call traced
    pop  rax
nmi_return:
    iretq

traced:
    int3                                # the tracer's
traced_1:
    mov  [sample], rax
    ret

breakpoint_entry:
.ifdef MENDED
    cmp  qword ptr [rsp + 24], offset nmi_stack
    jb   breakpoint_iret
    cmp  qword ptr [rsp + 24], offset nmi_stack_top
    jbe  return_to_nmi                  # it interrupted an NMI handler
.endif
breakpoint_iret:
    iretq                               # unblocks NMIs, whatever it returns to

return_to_nmi:
    push 0                              # where a page fault has its error code
    push rax
    push rcx
    return_without_iret breakpoint_return

.section .data
sample:
    .quad 0
