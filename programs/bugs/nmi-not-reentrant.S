# nmi-not-reentrant: an NMI without an IST stack nests in itself without losing a frame, and spoils its own sample
#
# On i386 there is no IST: an NMI that comes in the middle of another one's handler (after the IRET of a page fault or
# a breakpoint) nests on the current stack, and every frame survives. But the handler was written in the belief that
# nothing interrupts it. Linux gave it a variable with three states: idle, executing, and "once more" (nmi_state, in
# arch/x86/kernel/nmi.c). So does the twin.
#
# Undisturbed, nothing goes wrong. With one more NMI before the second half, for example at nmi_entry:
#
#     NMI#1              at interrupted, on the kernel stack: writes the first half of its sample
#       NMI              arrives in the handler: latched
#       #BP#1            at after_int3, by INT3, and its IRET: NMIs unblocked early
#       NMI#2            at after_int3, on the same stack, below: writes a whole sample (with #BP#2)
#       IRET of NMI#2    to after_int3
#     IRET of NMI#1      to interrupted; it has written the second half: the sample is of two events
#
# It ends behind interrupted. Success: the two halves of the sample belong together.
#
# Try:
#     iretrace sweep @nmi-not-reentrant --from ready                  # it ends otherwise: guest-failure
#     iretrace run @nmi-not-reentrant --nmi at=nmi_entry
#     iretrace sweep @nmi-not-reentrant.ok --from ready               # nothing

.include "kernel.inc"
.include "apic.inc"

NMI_IDLE = 0
NMI_EXECUTING = 1
NMI_AGAIN = 2

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    call apic_init
    gate NMI, nmi_entry
    gate BP, breakpoint_entry

ready:
    send_nmi
interrupted:
    mov  rax, [sample]
    add  rax, [sample + 8]
    jnz  .Ltorn
    succeed "nmi-not-reentrant: the sample is of one event"
.Ltorn:
    fail "nmi-not-reentrant: the halves of the sample are of two events"

nmi_entry:
.ifdef MENDED
    cmp  qword ptr [nmi_state], NMI_IDLE
    jne  .Lagain_later
    mov  qword ptr [nmi_state], NMI_EXECUTING
.Lagain:
.endif
    push rax
    cmp  qword ptr [full], 0
    jne  .Ldone                         # nobody has read the last one
    mov  rax, [rsp + 8]                 # the saved RIP
    mov  [sample], rax                  # the first half ...
    int3                                # (traced code)
after_int3:
    neg  rax
    mov  [sample + 8], rax              # ... and the second: the same, negated
    mov  qword ptr [full], 1
.Ldone:
    pop  rax
.ifdef MENDED
    dec  qword ptr [nmi_state]
    jnz  .Lagain
.endif
nmi_return:
    iretq
.ifdef MENDED
.Lagain_later:
    mov  qword ptr [nmi_state], NMI_AGAIN
    iretq
.endif

breakpoint_entry:
    nop                                 # (the tracer's work)
breakpoint_return:
    iretq                               # unblocks NMIs, whatever it returns to

.section .data
nmi_state:
    .quad NMI_IDLE
full:
    .quad 0
sample:
    .quad 0, 0
