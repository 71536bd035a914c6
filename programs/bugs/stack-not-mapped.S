# stack-not-mapped: a task switch to page tables that lack the current kernel stack: the next push is a double fault
#
# With kernel stacks in vmalloc memory (Linux 4.9), the stack on which the scheduler runs may be missing in the tables
# that it loads. Lazy filling cannot help: the page fault pushes its frame to the same stack. So the entry must be
# copied before CR3 is loaded. (Linux had to look twice: commit 5beda7d54eaf, "x86/mm/64: Fix vmapped stack syncing on
# very-large-memory 4-level systems", January 2018. So does the twin.)
#
#     #PF      at old_tasks_work: lazily filled, as it should be
#     MOV CR3  to new_pml4, older than VMALLOC's entry in the reference table
#     #PF      at switched, by CALL: error code 2, CR2 = VMALLOC + 0xff0
#     #PF      while it is delivered, at VMALLOC + 0xfe8: the first slot of its frame
#     #DF      delivered instead, on IST2
#
# It ends there; the twin in the new task. Success: as predicted.
#
# Try:
#     iretrace run @stack-not-mapped          # warning[double-fault]
#     iretrace run @stack-not-mapped.ok       # no fault after the switch

.include "kernel.inc"
.include "vmalloc.inc"
.include "fill-in.inc"

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    gate PF, page_fault_entry
    gate DF, double_fault_entry, ist=2

    mov  eax, offset old_pml4
    mov  cr3, rax
    mov  rbx, VMALLOC
old_tasks_work:
    mov  qword ptr [rbx], 1             # faults, on the boot stack
    mov  rax, VMALLOC + 0x1000
    mov  rsp, rax                       # the old task's stack
    mov  edi, offset new_pml4
    call switch_tables
    succeed "stack-not-mapped: the new task runs on"

# rdi: the new task's table. Clobbers rax, rcx.
switch_tables:
.ifdef MENDED
    mov  rax, rsp
    shr  rax, 39
    and  eax, 511
    mov  rcx, [reference_pml4 + rax * 8]
    mov  [rdi + rax * 8], rcx
.endif
    mov  cr3, rdi
switched:
    call account                        # the first push
    ret

account:
    ret

double_fault_entry:
.ifdef MENDED
    fail "stack-not-mapped: a double fault"
.else
    cmp  qword ptr [rsp + 8], offset switched
    jne  .Lelsewhere
    succeed "stack-not-mapped: the first push after the switch was a double fault, as predicted"
.Lelsewhere:
    fail "stack-not-mapped: a double fault elsewhere"
.endif

.section .data
page_table old_pml4                     # both are older than VMALLOC's entry in the reference table
    entry 0, low_pdpt + TABLE
end_table
page_table new_pml4
    entry 0, low_pdpt + TABLE
end_table
