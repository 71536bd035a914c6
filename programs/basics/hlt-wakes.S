# hlt-wakes: what ends a HLT: an interrupt after STI, and an NMI although interrupts are off
#
# STI holds interrupts back for one more instruction, so that none can slip in between STI and HLT and leave the
# processor asleep. A processor that halts with interrupts off wakes for an NMI, but for no interrupt.
#
#     STI, HLT           halted
#     INT 0x20           by the timer; at after_sti_hlt
#     IRET               to after_sti_hlt
#     CLI, HLT           halted
#     NMI#1              by the watchdog; at after_cli_hlt, on IST1
#     IRET               to after_cli_hlt
#
# It ends there. Success: each came when it should, and found the processor halted.

.include "kernel.inc"
.include "apic.inc"

VECTOR_TIMER = 0x20
DELAY = 1000                            # instructions, far more than lie between here and HLT

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    call apic_init
    gate TIMER, timer_entry
    gate NMI, nmi_entry, ist=1

    irq_after VECTOR_TIMER, DELAY
    sti
    hlt
after_sti_hlt:
    cli
    cmp  qword ptr [timer_at], offset after_sti_hlt
    jne  .Lno_interrupt

    nmi_after DELAY
    cli                                 # interrupts are off already; this is the idiom
    hlt
after_cli_hlt:
    cmp  qword ptr [nmi_at], offset after_cli_hlt
    jne  .Lno_nmi
    succeed "hlt-wakes: an interrupt ended STI and HLT, an NMI ended CLI and HLT"

.Lno_interrupt:
    fail "hlt-wakes: the interrupt did not come at the HLT"
.Lno_nmi:
    fail "hlt-wakes: the NMI did not come at the HLT"

timer_entry:
    push rax
    push rcx
    push rdx
    mov  rax, [rsp + 24]                # the saved RIP
    mov  [timer_at], rax
    end_of_interrupt
    pop  rdx
    pop  rcx
    pop  rax
timer_return:
    iretq

nmi_entry:
    push rax
    mov  rax, [rsp + 8]                 # the saved RIP
    mov  [nmi_at], rax
    pop  rax
nmi_return:
    iretq

.section .data
timer_at:
    .quad 0
nmi_at:
    .quad 0
