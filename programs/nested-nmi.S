# nested-nmi: a page fault inside an NMI handler lets a second NMI in, and the first one's return frame is lost
#
# An NMI blocks further NMIs until the next IRET: any IRET. This NMI handler touches memory that its task has not
# mapped yet. The page fault is harmless, it is mended and retried; but it ends with an IRET, so NMIs are let in again
# in the middle of the NMI handler. The next one starts at the top of the same IST stack, and writes its frame over the
# first one's. (The kernel thread: "[patch 1/2] x86_64 page fault NMI-safe", July 2010. One mend: nested-nmi-popf.)
#
#     NMI#1              at interrupted, on IST1
#       NMI              arrives in the handler, blocked: latched
#       #PF              at touch, error code 2 (a write, not present), CR2 = VMALLOC
#       IRET of #PF      to touch; NMIs unblocked early
#       NMI#2            at touch, before it is retried, on IST1 again: NMI#1's frame is overwritten
#       IRET of NMI#2    to touch
#     IRET of NMI#1      pops what NMI#2 left there: to touch, not to interrupted
#
# It ends when the handler passes touch for a third time although only two NMIs came. Success: the frame was lost.

.include "kernel.inc"
.include "apic.inc"
.include "vmalloc.inc"

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
    fail "nested-nmi: NMI #1 returned to where it came from: its frame was not lost"

nmi_entry:
    push rax
    push rcx
    push rdx
    inc  qword ptr [nmis]
    cmp  qword ptr [nmis], 1
    jne  .Lnot_first
    send_nmi                            # the second NMI; it has to wait for an IRET
.Lnot_first:
    mov  rax, VMALLOC
touch:
    mov  qword ptr [rax], 1             # only the first time is a fault
    inc  qword ptr [passes]
    mov  rax, [passes]
    cmp  rax, [nmis]
    ja   frame_lost                     # more passes than NMIs: a return led back into the handler
    pop  rdx
    pop  rcx
    pop  rax
nmi_return:
    iretq

frame_lost:
    succeed "nested-nmi: NMI #1's return frame was lost, as predicted"

# Copy the top-level entry that this task lacks from the reference table.
page_fault_entry:
    push rax
    push rcx
    mov  rax, cr2
    shr  rax, 39
    and  eax, 511
    mov  rcx, [reference_pml4 + rax * 8]
    cmp  rcx, [task_pml4 + rax * 8]
    je   .Lnot_lazy                     # nothing to copy: a fault of another kind
    mov  [task_pml4 + rax * 8], rcx
    pop  rcx
    pop  rax
    add  rsp, 8                         # the error code
page_fault_return:
    iretq                               # unblocks NMIs, whatever it returns to

.Lnot_lazy:
    fail "nested-nmi: a page fault that the reference table cannot mend"

.section .data
nmis:
    .quad 0                             # handlers entered
passes:
    .quad 0                             # times that the handler got past touch

page_table task_pml4                    # older than VMALLOC's entry in the reference table
    entry 0, low_pdpt + TABLE
end_table
