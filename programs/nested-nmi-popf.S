# nested-nmi-popf: nested-nmi mended: a page fault inside an NMI handler returns without IRET, so the second NMI waits
#
# Only IRET unblocks NMIs. A page-fault handler that knows that it interrupted an NMI handler can come back by other
# means: it puts RFLAGS and RIP on the interrupted stack, points RSP at them, and leaves by POPFQ and RET. (One of the
# mends proposed in the kernel thread "[patch 1/2] x86_64 page fault NMI-safe", July 2010. Twin: nested-nmi.)
#
#     NMI#1                at interrupted, on IST1
#       NMI                arrives in the handler, blocked: latched
#       #PF                at touch, error code 2 (a write, not present), CR2 = VMALLOC
#       POPFQ and RET      to touch; NMIs stay blocked
#     IRET of NMI#1        to interrupted; NMIs unblocked in time
#     NMI#2                at interrupted, on IST1, whose former frame is no longer needed
#     IRET of NMI#2        to interrupted
#
# It ends in the interrupted code. Success: it was resumed, and two NMIs were handled, one after the other.

.include "kernel.inc"
.include "apic.inc"
.include "vmalloc.inc"
.include "no-iret.inc"

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    call apic_init
    gate NMI, nmi_entry, ist=1
    gate PF, page_fault_entry
    mov  eax, offset task_pml4
    mov  cr3, rax

    send_nmi
interrupted:
    cmp  qword ptr [nmis], 2
    jne  .Lnot_two
    cmp  qword ptr [page_faults], 1
    jne  .Lno_fault
    succeed "nested-nmi-popf: NMI #2 waited until NMI #1 had returned"
.Lnot_two:
    fail "nested-nmi-popf: there were not two NMIs"
.Lno_fault:
    fail "nested-nmi-popf: there was not one page fault"

nmi_entry:
    push rax
    push rcx
    push rdx
    inc  qword ptr [nmi_depth]
    cmp  qword ptr [nmi_depth], 1
    ja   .Lnested
    inc  qword ptr [nmis]
    cmp  qword ptr [nmis], 1
    jne  .Lnot_first
    send_nmi                            # the second NMI; it has to wait for an IRET
.Lnot_first:
    mov  rax, VMALLOC
touch:
    mov  qword ptr [rax], 1             # only the first time is a fault
    dec  qword ptr [nmi_depth]
    pop  rdx
    pop  rcx
    pop  rax
nmi_return:
    iretq
.Lnested:
    fail "nested-nmi-popf: NMI #2 came inside NMI #1"

# Copy the top-level entry that this task lacks from the reference table.
page_fault_entry:
    push rax
    push rcx
    inc  qword ptr [page_faults]
    mov  rax, cr2
    shr  rax, 39
    and  eax, 511
    mov  rcx, [reference_pml4 + rax * 8]
    cmp  rcx, [task_pml4 + rax * 8]
    je   .Lnot_lazy                     # nothing to copy: a fault of another kind
    mov  [task_pml4 + rax * 8], rcx
    cmp  qword ptr [nmi_depth], 0
    jne  .Lreturn_to_nmi
    pop  rcx
    pop  rax
    add  rsp, 8                         # the error code
    iretq

.Lreturn_to_nmi:
    return_without_iret page_fault_return

.Lnot_lazy:
    fail "nested-nmi-popf: a page fault that the reference table cannot mend"

.section .data
nmis:
    .quad 0                             # NMIs handled
nmi_depth:
    .quad 0                             # NMI handlers entered and not left
page_faults:
    .quad 0

page_table task_pml4                    # older than VMALLOC's entry in the reference table
    entry 0, low_pdpt + TABLE
end_table
