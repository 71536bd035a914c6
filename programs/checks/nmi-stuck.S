# nmi-stuck: an NMI handler that leaves without IRET, and no NMI ever arrives again
#
# To come back from a page fault inside an NMI handler by POPFQ and RET keeps NMIs blocked, which is the point of it (see
# nested-nmi-popf). To come back from the NMI itself in that way keeps them blocked as well: only IRET unblocks them.
#
#     NMI#1            at interrupted, on IST1
#     POPFQ and RET    to interrupted; NMIs stay blocked (the twin's handler ends with IRET)
#     NMI              latched, and never delivered
#
# It ends in the interrupted code. Success: as many NMIs were handled as predicted.

.include "kernel.inc"
.include "apic.inc"

.ifdef MENDED
HANDLED = 2
.else
HANDLED = 1
.endif

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    call apic_init
    gate NMI, nmi_entry, ist=1
quiet:
    nop

    send_nmi
interrupted:
    send_nmi
after_second:
    cmp  qword ptr [nmis], HANDLED
    jb   .Lwrong
    succeed "nmi-stuck: as many NMIs were handled as predicted"
.Lwrong:
    fail "nmi-stuck: another number of NMIs was handled"

nmi_entry:
    inc  qword ptr [nmis]
.ifdef MENDED
nmi_return:
    iretq
.else
    push rax
    push rcx                            # RSP: rcx, rax, RIP, CS, RFLAGS, RSP, SS
    mov  rax, [rsp + 40]                # the interrupted RSP
    mov  rcx, [rsp + 16]
    mov  [rax - 8], rcx                 # RIP, for RET
    mov  rcx, [rsp + 32]
    mov  [rax - 16], rcx                # RFLAGS, for POPFQ
    sub  rax, 16
    mov  [rsp + 40], rax
    pop  rcx
    pop  rax
    mov  rsp, [rsp + 24]
    popfq
nmi_return:
    ret
.endif

.section .data
nmis:
    .quad 0
