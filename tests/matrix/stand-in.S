# stand-in: a kernel so small that its matrix can be worked out by hand
#
# PAGES.lazy: the task lacks the mapping, PAGES.prealloc: it has it. NMI.naive: the handler touches it, NMI.no_touch: it
# does not. PRIVATE makes no difference. Each mapping writes one entry; PAGES.walk writes one for each task too, and PAGES.stack never comes to an end.

.include "kernel.inc"
.include "vmalloc.inc"

.ifndef TASKS
    TASKS = 2
.endif
.ifndef MAPPINGS
    MAPPINGS = 1
.endif
.ifndef FORKS
    FORKS = 0
.endif

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    gate NMI, nmi_entry, ist=1
    gate PF, page_fault_entry
    mov  eax, offset task_pml4
    mov  cr3, rax
phase_boot:
    nop
phase_fork:
    mov  ecx, TASKS + FORKS
fork:
    add  qword ptr [count_table_bytes], 4096
    loop fork
phase_map:
    mov  ecx, MAPPINGS
vmalloc:
    inc  qword ptr [count_pte_writes]
.ifdef PAGES.walk
    mov  edx, TASKS
.Ltasks:
    inc  qword ptr [count_pte_writes]
    inc  qword ptr [count_fill_writes]
    dec  edx
    jnz  .Ltasks
.endif
    loop vmalloc
phase_use:
    mov  ebx, 7
window:
    add  ebx, 1
    add  ebx, 1
    add  ebx, 1
    add  ebx, 1
window_end:
phase_end:
.ifdef PAGES.stack
    ud2
.endif
    cmp  ebx, 11
    jne  .Lwrong
    succeed "stand-in: done"
.Lwrong:
    fail "stand-in: the sum is wrong"

nmi_entry:
    push rax
nmi_body:
    mov  rax, VMALLOC
nmi_touch:
.ifndef NMI.no_touch
    inc  qword ptr [rax]
.endif
    inc  qword ptr [count_nmis]
    pop  rax
nmi_return:
    iretq

page_fault_entry:
    push rax
    inc  qword ptr [count_faults]
    mov  rax, [reference_pml4 + VMALLOC_SLOT * 8]
    mov  [task_pml4 + VMALLOC_SLOT * 8], rax
    pop  rax
    add  rsp, 8
page_fault_return:
    iretq

.section .data
count_faults:
    .quad 0
count_pte_writes:
    .quad 0
count_fill_writes:
    .quad 0
count_table_bytes:
    .quad 0
count_nmis:
    .quad 0

page_table task_pml4
    entry 0, low_pdpt + TABLE
.ifndef PAGES.lazy
    entry VMALLOC_SLOT, vmalloc_pdpt + TABLE
.endif
end_table
