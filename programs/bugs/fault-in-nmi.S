# fault-in-nmi: a profiler's NMI writes its sample to lazily mapped memory: its page fault lets the next NMI in
#
# Linux, July 2010: perf had per-CPU buffers whose mapping a task may lack until it faults, and its NMI handler was the
# first to touch them. The fault's IRET unblocks NMIs, and the next one begins at the top of the same IST stack. (The
# kernel thread: "[patch 1/2] x86_64 page fault NMI-safe". perf's buffers are from kmalloc since, in memory that is
# always mapped; so is the twin's. Linux 3.3 made the NMI handler fit for faults: commit 3f3c8b8c4b2a; see
# nmi-nestable.)
#
# Undisturbed, nothing goes wrong. With one more NMI from nmi_entry to nmi_return, for example at nmi_entry:
#
#     NMI#1            at interrupted, on IST1
#       NMI            arrives in the handler: latched
#       #PF            at touch, error code 2 (a write, not present), CR2 = VMALLOC
#       IRET of #PF    to touch; NMIs unblocked early
#       NMI#2          at touch, on IST1 again: NMI#1's frame is overwritten
#       IRET of NMI#2  to touch
#     IRET of NMI#1    pops NMI#2's frame: to touch, and so for ever
#
# It ends behind interrupted. Success: the sample is there.
#
# Try:
#     iretrace sweep @fault-in-nmi --from ready                       # frame-lost, from nmi_entry to nmi_return
#     iretrace run @fault-in-nmi --nmi at=nmi_entry --max-insns 900    # one of them
#     iretrace sweep @fault-in-nmi.ok --from ready                    # nothing

.include "kernel.inc"
.include "apic.inc"
.include "vmalloc.inc"
.include "fill-in.inc"

.ifdef MENDED
BUFFER = vmalloc_page                   # the same memory, by its address in the direct map
.else
BUFFER = VMALLOC
.endif

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    call apic_init
    gate NMI, nmi_entry, ist=1
    gate PF, page_fault_entry
    mov  eax, offset task_pml4
    mov  cr3, rax

ready:
    mov  ebx, 3                         # work
work:
    dec  ebx
    jnz  work
    send_nmi                            # the counter overflows: time for a sample
interrupted:
    cmp  qword ptr [vmalloc_page], 0
    je   .Lno_sample
    succeed "fault-in-nmi: the sample is there"
.Lno_sample:
    fail "fault-in-nmi: there is no sample"

nmi_entry:
    push rax
    push rcx
    mov  rcx, [rsp + 16]                # the saved RIP
    mov  rax, offset BUFFER
touch:
    mov  [rax], rcx                     # the sample
    pop  rcx
    pop  rax
nmi_return:
    iretq

.section .data
page_table task_pml4                    # older than VMALLOC's entry in the reference table
    entry 0, low_pdpt + TABLE
end_table
