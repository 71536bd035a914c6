# nmi-merged: three NMIs are sent and two arrive, as the latch holds one
#
# While NMIs are blocked one more is latched, and any others are merged with it (SDM vol. 3, "Handling Multiple NMIs").
# So the number of NMIs says nothing about the number of their causes: a handler has to look for all of them.
#
#     NMI#1            at interrupted
#       NMI            arrives in the handler: latched
#       NMI            arrives at merged: lost (the twin waits for the latched one to be delivered)
#     IRET             to interrupted
#     NMI#2            at interrupted
#
# It ends in the interrupted code. Success: as many NMIs as that.

.include "kernel.inc"
.include "apic.inc"

.ifdef MENDED
ARRIVED = 3
.else
ARRIVED = 2
.endif

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    call apic_init
    gate NMI, nmi_entry, ist=1

    send_nmi
interrupted:
    cmp  qword ptr [nmis], ARRIVED
    jne  .Lwrong
    succeed "nmi-merged: as many NMIs arrived as predicted"
.Lwrong:
    fail "nmi-merged: another number of NMIs arrived"

nmi_entry:
    push rax
    push rcx
    push rdx
    inc  qword ptr [nmis]
    cmp  qword ptr [nmis], 1
    jne  .Lnot_first
    send_nmi                            # latched
.ifndef MENDED
    send_nmi                            # the latch is full
merged:
.endif
.Lnot_first:
.ifdef MENDED
    cmp  qword ptr [nmis], 2
    jne  .Lnot_second
    send_nmi                            # latched
.Lnot_second:
.endif
    pop  rdx
    pop  rcx
    pop  rax
nmi_return:
    iretq

.section .data
nmis:
    .quad 0
