# nmi-unserved: an NMI handler takes a first NMI for a nested one, and does nothing for it (--nmi-body nmi_body)
#
# A handler that may be nested has to find out whether it is. The interrupted RSP is no proof: a user may point RSP into
# the NMI stack and make a system call, and an NMI before the kernel has loaded its own RSP looks as if it had come
# inside the handler (CVE-2015-3291). "Nested" means "the outer one will do the work", but there is no outer one.
#
#     NMI#1            at interrupted, whose RSP lies in the NMI stack
#     IRET             to interrupted, without a call of nmi_body (the twin asks for a flag that the handler sets)
#
# It ends in the interrupted code. Success: as predicted.

.include "kernel.inc"
.include "apic.inc"

.ifdef MENDED
SERVED = 1
.else
SERVED = 0
.endif

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    call apic_init
    gate NMI, nmi_entry, ist=1

    mov  rsp, offset nmi_stack + 256    # as a user may choose it
    send_nmi
interrupted:
    mov  rsp, offset kernel_stack_top
    cmp  qword ptr [served], SERVED
    jne  .Lwrong
    succeed "nmi-unserved: the work was done as often as predicted"
.Lwrong:
    fail "nmi-unserved: the work was not done as often as predicted"

nmi_entry:
.ifdef MENDED
    cmp  qword ptr [executing], 1
    je   nmi_return
.else
    cmp  qword ptr [rsp + 24], offset nmi_stack
    jb   .Lfirst
    cmp  qword ptr [rsp + 24], offset nmi_stack_top
    jbe  nmi_return                     # "nested"
.Lfirst:
.endif
    mov  qword ptr [executing], 1
    call nmi_body
    mov  qword ptr [executing], 0
nmi_return:
    iretq

nmi_body:
    inc  qword ptr [served]
    ret

.section .data
served:
    .quad 0
executing:
    .quad 0
