# iret-faults: an IRET that faults inside an NMI handler: does it unblock NMIs? Intel: yes, AMD: no
#
# An NMI handler executes an IRET whose frame has a bad CS, while a second NMI waits. On Intel an IRET unblocks NMIs
# when it starts, so the second NMI comes before the first instruction of the handler of the very fault (SDM vol. 3,
# "Information About NMI Unblocking Due to IRET"; vol. 2, IRET). On AMD an IRET unblocks NMIs when it is done (so says
# the manual of virtual NMIs), and the second NMI waits for the #GP handler's own IRET. Either way NMI#2 comes inside
# NMI#1's handler; so that its frame does no harm, that handler has first moved the IST stack on.
#
#     Intel                                             AMD (--cpu amd)
#     NMI#1    at interrupted, on IST1                  the same
#       NMI    arrives in the handler: latched          the same
#       #GP    at faulting_iret, error code 0xf8        the same
#       NMI#2  at general_protection_entry, on IST1     -
#       IRET   of NMI#2                                 -
#       IRET   of #GP, to faulting_iret                 the same
#       -                                               NMI#2 at faulting_iret, on IST1
#       -                                               IRET of NMI#2
#       IRET   again, with the mended frame             the same
#     IRET     of NMI#1, to interrupted                 the same
#
# It ends in the interrupted code, which says what happened. Success: one of the two.

.include "kernel.inc"
.include "apic.inc"

BAD_CS = 0xf8                           # beyond the GDT's limit

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    call apic_init
    gate NMI, nmi_entry, ist=1
    gate GP, general_protection_entry

    send_nmi
interrupted:
    mov  rax, [second_nmi_at]
    cmp  rax, offset general_protection_entry
    je   .Lintel
    cmp  rax, offset faulting_iret
    je   .Lamd
    fail "iret-faults: NMI #2 came elsewhere, or not at all"
.Lintel:
    succeed "iret-faults: the IRET that faulted unblocked NMIs: NMI #2 came before the #GP handler ran (Intel)"
.Lamd:
    succeed "iret-faults: the IRET that faulted left NMIs blocked: NMI #2 waited for the #GP handler's IRET (AMD)"

nmi_entry:
    push rax
    push rcx
    push rdx
    inc  qword ptr [nmis]
    cmp  qword ptr [nmis], 1
    jne  .Lsecond

    mov  qword ptr [tss + TSS_IST1], offset spare_stack_top
    send_nmi                            # the second NMI; it has to wait for an IRET
    mov  rax, rsp
    push KERNEL_DS                      # a frame that leads to after_iret, but for its CS
    push rax
    pushfq
    push BAD_CS
    push offset after_iret
faulting_iret:
    iretq                               # #GP(BAD_CS); once mended, to the next instruction
after_iret:
    mov  qword ptr [tss + TSS_IST1], offset nmi_stack_top
    pop  rdx
    pop  rcx
    pop  rax
nmi_return:
    iretq

.Lsecond:
    mov  rax, [rsp + 24]                # the saved RIP
    mov  [second_nmi_at], rax
    pop  rdx
    pop  rcx
    pop  rax
second_nmi_return:
    iretq

# Mend the frame on which IRET faulted, and let it retry. The stack, once rax is on it: rax, error code, RIP, CS,
# RFLAGS, RSP (which points at the bad frame), SS.
general_protection_entry:
    push rax
    cmp  qword ptr [rsp + 8], BAD_CS
    jne  .Lother_fault
    cmp  qword ptr [rsp + 16], offset faulting_iret
    jne  .Lother_fault
    mov  rax, [rsp + 40]
    mov  qword ptr [rax + 8], KERNEL_CS
    pop  rax
    add  rsp, 8                         # the error code
general_protection_return:
    iretq
.Lother_fault:
    fail "iret-faults: a #GP that was not asked for"

.section .data
nmis:
    .quad 0
second_nmi_at:
    .quad 0
