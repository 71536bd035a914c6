# red-zone-clobbered: kernel code keeps a value below RSP, and an NMI without an IST stack writes its frame there
#
# The System V ABI lets a function use the 128 bytes below RSP without moving RSP, as signal handlers keep clear of them.
# Hardware does not: an event at the same CPL without IST pushes its frame right below RSP. So kernels are compiled with
# -mno-red-zone.
#
#     MOV              to the quadword below RSP
#     NMI#1            at in_use, on the same stack: SS goes to that quadword (the twin's gate names IST1)
#     IRET             to in_use, which reads it
#
# It ends there. Success: the value is as predicted.

.include "kernel.inc"
.include "apic.inc"

.ifdef MENDED
EXPECTED = 42
.else
EXPECTED = KERNEL_DS
.endif

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    call apic_init
.ifdef MENDED
    gate NMI, nmi_entry, ist=1
.else
    gate NMI, nmi_entry
.endif

    mov  qword ptr [rsp - 8], 42
    send_nmi
in_use:
    mov  rax, [rsp - 8]
    cmp  rax, EXPECTED
    jne  .Lwrong
    succeed "red-zone-clobbered: the value is what was predicted"
.Lwrong:
    fail "red-zone-clobbered: the value is not what was predicted"

nmi_entry:
    iretq
