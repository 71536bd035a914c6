# lazy-fill: a task that lacks a kernel mapping faults once, copies one top-level entry, and retries
#
# Each task has a top-level page table of its own; what lies below its kernel entries is shared. A mapping that needs a
# new top-level entry is made in the reference table alone. Every task finds out by itself, by one page fault for each
# 512 GiB, and never again. Harmless, unless it happens inside an NMI handler: see nested-nmi.
#
#     #PF      at first_touch, error code 2 (a write, not present), CR2 = VMALLOC; the walk ends at the PML4E
#     IRET     to first_touch, which succeeds; nor does the second touch fault
#     MOV CR3  to the other task
#     #PF      at other_task, error code 0 (a read, not present), CR2 = VMALLOC; the walk ends at its PML4E
#     IRET     to other_task, which reads what the first task wrote
#
# It ends there. Success: two faults, and the value.

.include "kernel.inc"
.include "vmalloc.inc"

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    gate PF, page_fault_entry
    mov  rbx, VMALLOC

    mov  eax, offset task_a_pml4
    mov  cr3, rax
first_touch:
    mov  qword ptr [rbx], 42            # faults
second_touch:
    mov  qword ptr [rbx + 8], 43        # does not
    cmp  qword ptr [page_faults], 1
    jne  .Lwrong_count

    mov  eax, offset task_b_pml4
    mov  cr3, rax
other_task:
    mov  rax, [rbx]                     # faults: the entry was copied into the other task's table
    cmp  qword ptr [page_faults], 2
    jne  .Lwrong_count
    cmp  rax, 42
    jne  .Lwrong_value
    cmp  qword ptr [rbx + 8], 43
    jne  .Lwrong_value
    succeed "lazy-fill: each task faulted once, and both see the same memory"

.Lwrong_count:
    fail "lazy-fill: not one page fault for each task"
.Lwrong_value:
    fail "lazy-fill: the tasks do not see the same memory"

# Copy the top-level entry that the current task lacks from the reference table.
page_fault_entry:
    push rax
    push rcx
    push rdx
    inc  qword ptr [page_faults]
    mov  rax, cr2
    shr  rax, 39
    and  eax, 511
    mov  rdx, cr3                       # the current top-level table: its address is its linear address here
    mov  rcx, [reference_pml4 + rax * 8]
    cmp  rcx, [rdx + rax * 8]
    je   .Lnot_lazy                     # nothing to copy: a fault of another kind
    mov  [rdx + rax * 8], rcx           # no INVLPG: entries that are not present are not cached
    pop  rdx
    pop  rcx
    pop  rax
    add  rsp, 8                         # the error code
page_fault_return:
    iretq
.Lnot_lazy:
    fail "lazy-fill: a page fault that the reference table cannot mend"

.section .data
page_faults:
    .quad 0

page_table task_a_pml4                  # both are older than VMALLOC's entry in the reference table
    entry 0, low_pdpt + TABLE
end_table
page_table task_b_pml4
    entry 0, low_pdpt + TABLE
end_table
