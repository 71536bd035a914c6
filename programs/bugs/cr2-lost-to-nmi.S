# cr2-lost-to-nmi: an NMI that faults comes between a page fault and its handler's look at CR2, and does not restore it
#
# There is one CR2. Since Linux 3.3 NMI handlers may fault; what was missed at first is that the page fault which they
# interrupted may not have read CR2 yet. The outer handler then works on the inner one's address. (Linux: "x86: Save
# cr2 in NMI in case NMIs take a page fault". So does the twin.)
#
# Undisturbed there is one page fault and no NMI. With an NMI from page_fault_entry to page_fault_read:
#
#     #PF#1            at touch, CR2 = VMALLOC
#       NMI#1          in its handler, before page_fault_read
#         #PF#2        at nmi_touch, CR2 = NMI_BUFFER, and its IRET
#       IRET of NMI#1  to the handler
#     MOV from CR2     NMI_BUFFER: the wrong entry is copied, and touch faults once more
#
# It ends behind touch. Success: the memory was written. (The handler is lucky here: that fault is mended the second
# time. One that sends a signal would kill the task. A second NMI in the first one's handler is another matter, in the
# twin too: see fault-in-nmi.)
#
# Try:
#     iretrace sweep @cr2-lost-to-nmi --from ready                    # cr2-clobbered, from page_fault_entry on
#     iretrace run @cr2-lost-to-nmi --nmi at=page_fault_read
#     iretrace sweep @cr2-lost-to-nmi.ok --from ready                 # nothing

.include "kernel.inc"
.include "vmalloc.inc"
.include "fill-in.inc"

NMI_BUFFER = VMALLOC + (1 << 39)        # the next top-level entry

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    gate NMI, nmi_entry, ist=1
    gate PF, page_fault_entry
    mov  qword ptr [reference_pml4 + 8 * (VMALLOC_SLOT + 1)], offset vmalloc_pdpt + TABLE
    mov  eax, offset task_pml4
    mov  cr3, rax

ready:
    mov  rbx, VMALLOC
touch:
    mov  qword ptr [rbx], 42            # faults
    cmp  qword ptr [vmalloc_page], 42
    jne  .Lnot_written
    succeed "cr2-lost-to-nmi: the memory was written"
.Lnot_written:
    fail "cr2-lost-to-nmi: the memory was not written"

nmi_entry:
    push rax
.ifdef MENDED
    mov  rax, cr2
    push rax
.endif
    mov  rax, NMI_BUFFER
nmi_touch:
    mov  qword ptr [rax + 8], 1         # faults, the first time
.ifdef MENDED
    pop  rax
    mov  cr2, rax
.endif
    pop  rax
nmi_return:
    iretq

.section .data
page_table task_pml4                    # older than the reference table's entries
    entry 0, low_pdpt + TABLE
end_table
