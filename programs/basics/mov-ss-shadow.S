# mov-ss-shadow: an NMI that becomes due right after MOV SS waits until the next instruction, the MOV to RSP, is done
#
# A switch of stacks takes two instructions, and between them SS and RSP do not belong together. So MOV SS holds off
# NMIs, interrupts and debug traps for one instruction (SDM vol. 3, "Masking Exceptions and Interrupts When Switching
# Stacks"). In 64-bit mode SS hardly matters any more, but the shadow is still there.
#
#     NOP         at no_shadow; as it retires, the watchdog raises an NMI
#     NMI#1       at after_nop: at once
#     IRET        to after_nop
#     MOV SS      at load_ss; as it retires, the watchdog raises an NMI, and it is latched: held by the shadow
#     MOV RSP     at load_rsp
#     NMI#2       at switched, on IST1; the saved RSP is the new one, other_stack_top
#     IRET        to switched
#
# It ends there. Success: saved RIP and RSP are those.

.include "kernel.inc"
.include "apic.inc"

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    call apic_init
    gate NMI, nmi_entry, ist=1

    nmi_after 1
no_shadow:
    nop                                 # 1: the NMI is raised here
after_nop:
    nop
    cmp  qword ptr [nmi_at], offset after_nop
    jne  .Lnot_at_once

    mov  ebx, KERNEL_DS
    nmi_after 1
load_ss:
    mov  ss, ebx                        # 1: the NMI is raised here
load_rsp:
    mov  rsp, offset other_stack_top
switched:
    nop
    cmp  qword ptr [nmi_at], offset load_rsp
    je   .Lin_shadow
    cmp  qword ptr [nmi_at], offset switched
    jne  .Lelsewhere
    cmp  qword ptr [nmi_rsp], offset other_stack_top
    jne  .Lelsewhere
    succeed "mov-ss-shadow: the NMI waited until both SS and RSP were loaded"
.Lnot_at_once:
    fail "mov-ss-shadow: without a shadow the NMI did not come at once"
.Lin_shadow:
    fail "mov-ss-shadow: the NMI came between MOV SS and MOV RSP"
.Lelsewhere:
    fail "mov-ss-shadow: the NMI did not come at the switch of stacks"

nmi_entry:
    push rax
    mov  rax, [rsp + 8]                 # the saved RIP
    mov  [nmi_at], rax
    mov  rax, [rsp + 32]                # the saved RSP: rax, RIP, CS, RFLAGS, RSP
    mov  [nmi_rsp], rax
    pop  rax
nmi_return:
    iretq

.section .data
nmi_at:
    .quad 0
nmi_rsp:
    .quad 0

.section .bss
.balign 16
other_stack:
    .skip 256
other_stack_top:
