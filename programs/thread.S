# thread: lazily filled page tables and NMIs: every strategy of the kernel thread, in one small kernel
#
# In July 2010 a profiler put its buffers into memory from vmalloc, its NMI handler took page faults there, and each
# fault's IRET unblocked NMIs in the middle of the handler. The kernel thread "[patch 1/2] x86_64 page fault NMI-safe"
# argues about which half to mend: how kernel mappings get into the tasks' page tables, or how NMIs are handled. Here
# each answer is a definition, and all go together:
#
#     iretrace run @thread --define PAGES=lazy --define NMI=naive          (these are the defaults)
#     iretrace sweep @thread --define PAGES=lazy --define NMI=nestable --from window --to window_end
#
# Every task has a top-level table of its own, copied from the reference table when it is forked; what lies below is
# shared. TASKS tasks are forked. MAPPINGS areas of 8 KiB are mapped, from the bottom of the vmalloc area. Then a timer
# interrupt preempts the fork of task C between the copy of its tables and its entry into the list of tasks, and task A
# starts the profiler: a buffer of 8 KiB for the CPU, from the end of the area, as per-CPU memory is taken. FORKS more
# tasks are forked; they sleep, as do all but A, B and C. These use all areas, and then (window to window_end) each
# works, and an NMI comes: it writes the interrupted RIP into the buffer.
#
#     PAGES        the buffer's private entry is new, and ...                 page faults in NMIs  entries written
#     lazy         ... a task that lacks it finds out by a page fault         1 for each task      1 for each fault
#     prealloc     ... is not: all were made before the first fork            none                 64, at boot
#     walk         ... is given to all tasks, under a lock that fork takes    none                 1 for each task
#     walk-racy    ... is given to all tasks on the list: not to C            1: nobody mends it   1 for each task but C
#     direct       the buffer is not from vmalloc: every table maps it        none                 none
#     pretouch     as lazy, but A touches the buffer beforehand               of B and C           1 for each fault
#     switch       the NMI handler writes on the reference table              none, but CR3 writes none
#
#     stack        as lazy; a kernel thread with a stack of vmalloc runs on the tables of A, which lack it. The page
#                  fault's own frame has no place either: #DF, and this is how it ends: with failure
#     huge-stale   as walk; the tasks still have a large page there, which was unmapped from the reference table only.
#                  No fault: samples go to memory that has long been given back. It ends with failure
#     lower        as lazy, with PRIVATE=pd
#
#     NMI          naive, no-iret, nestable, three-state, no-touch: see include/thread-nmi.inc. With naive, page faults
#                  in NMIs do no harm as long as no second NMI comes: a sweep finds where it does
#
#     PRIVATE      pml4: a private entry spans 512 GiB. pd: 2 MiB, as for i386 with PAE, where the PMDs are not shared
#     TASKS        1 to 50000 (4); MAPPINGS 0 to 10000 (2); FORKS 0 to 50000 (1). RAM (--ram): 12 KiB for a task with
#                  PRIVATE=pd, else 4; 8 KiB for an area; 2 MiB for the rest
#     STORY        yes: the console tells each step
#
# In the thread, Frederic Weisbecker wonders: "I allocated 8192 bytes per cpu in a x86-32 system that has only 2 GB ...
# But still it faults once". The answer is
#
#     iretrace run @thread --define PAGES=lower --define STORY=yes --events=-reg,-tlb,-irq
#
# How much memory there is does not matter, nor how little is mapped; where it is mapped does. The areas at the bottom
# share private entries that are older than the tasks: no fault. Per-CPU memory comes from the end, where nothing has
# been mapped before. So its 8 KiB need a new private entry, which only the reference table gets, and in each task that
# is older, the first touch faults: the walk ends in the task's own PD, in the last entry of the area. There each task
# faults once; the second sample does not. (With 4 levels the same holds: --define PAGES=lazy. Then the walk ends in
# the PML4, and the entry is the last of 64 that span 512 GiB each.)
#
# A run, with --define PAGES=lazy --define NMI=naive, from window on:
#
#     MOV CR3          to task A's table
#     NMI#1            in work, on IST1
#       #PF#1          at nmi_touch, error code 2 (a write, not present); the walk ends at A's PML4E
#       IRET           to nmi_touch; NMIs unblocked early
#     IRET             to work
#     MOV CR3          to task B's table, and the same; to task C's, and the same
#
# It ends in phase_end, which looks at the buffer by the reference table. Success: all samples are there. What it cost
# is in the count_ symbols, for the phases between phase_boot, phase_fork, phase_map, phase_use and phase_end.

.include "kernel.inc"
.include "apic.inc"
.include "registers.inc"
.include "no-iret.inc"
.include "thread-options.inc"
.include "thread-memory.inc"
.include "thread-tasks.inc"
.ifdef WALK
.include "thread-walk.inc"
.endif
.ifdef PAGES.huge_stale
.include "thread-stale.inc"
.endif
.include "thread-fault.inc"
.ifdef NMI.nestable
.include "nestable.inc"
.endif
.include "thread-nmi.inc"

.globl _start, phase_boot, phase_fork, phase_map, phase_use, window, window_end, phase_end
.globl start_profiler, touch_areas, work

.if TASKS > 1
RUNNING = 3
.else
RUNNING = 2
.endif

# ---- the kernel's life ----------------------------------------------------------------------------------------------

_start:
phase_boot:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    call apic_init
    call faults_init
    mov  edi, VECTOR_TIMER
    mov  esi, offset timer_entry
    mov  edx, GATE_INTERRUPT
    call set_gate
    call memory_init
    call nmi_init
    sti

phase_fork:
    mov  ebp, TASKS
.Lnext_fork:
    call fork
    dec  ebp
    jnz  .Lnext_fork
    tell "the tasks are forked: each has a copy of the reference table's private entries"

phase_map:
    mov  edi, offset task_a
    call start_task
.if TASKS > 1
    mov  edi, offset task_b
    call start_task
.endif
.if MAPPINGS
    mov  ebp, MAPPINGS
.Lnext_area:
    call vmalloc
    dec  ebp
    jnz  .Lnext_area
    tell "areas of 8 KiB are mapped from the bottom upwards: below a private entry that is older than the tasks"
.endif
    mov  qword ptr [job], offset start_profiler
    irq_after VECTOR_TIMER, RACE_INSNS
    call fork                           # task C, and all others take a turn in its middle
    mov  rdi, rax
    call start_task
.if FORKS
    mov  ebp, FORKS
.Lnext_later_fork:
    call fork
    dec  ebp
    jnz  .Lnext_later_fork
.endif

phase_use:
    tell "all tasks use the areas at the bottom"
    everybody touch_areas
window:
.ifdef PAGES.stack
    call borrow_tables
.endif
    everybody work
.ifndef ENDS_IN_WINDOW
window_end:
.endif
.ifdef STORY.yes
    tell "once more"
    everybody work
.endif
    call flush_samples

phase_end:
    mov  rbx, [profile_buffer]
    mov  rax, [rbx]                     # on the reference table
    cmp  rax, [count_samples]
    jne  .Lelsewhere
    cmp  rax, RUNNING
    jb   .Ltoo_few
    forget_registers
    succeed "thread: every sample is where the profiler reads"
.Lelsewhere:
    forget_registers
    fail "thread: samples are missing in the profiler's buffer"
.Ltoo_few:
    fail "thread: an NMI was lost"

# ---- what tasks do --------------------------------------------------------------------------------------------------

# Task A starts the profiler: a buffer of 8 KiB for the (one) CPU, and from now on NMIs write there.
start_profiler:
    cmp  qword ptr [current], offset task_a
    jne  .Lnot_task_a
    cmp  qword ptr [profile_buffer], 0
    jne  .Lnot_task_a                   # it is started
    tell "a fork is preempted: task A starts the profiler, with 8 KiB at the end: below a private entry that is new"
.ifdef PAGES.huge_stale
    call map_and_unmap_large
.endif
.ifdef PAGES.direct
    call alloc_page
    mov  rdi, rax
    call alloc_page                     # the next one
    mov  rax, DIRECT_MAP
    add  rax, rdi
.else
    call percpu_alloc
.endif
.ifdef PAGES.pretouch
    mov  rcx, [rax]
    mov  rcx, [rax + PAGE]
.endif
    mov  [profile_buffer], rax
.ifdef NMI.no_touch
    mov  eax, offset nmi_buffer
.endif
    mov  [sample_buffer], rax
.Lnot_task_a:
    ret

# Use the areas of vmalloc: whether this faults is the same question, but here a fault does no harm.
touch_areas:
    mov  rdi, VMALLOC
    mov  rsi, [vmalloc_bottom]
.Lnext_touch:
    mov  rax, [rdi]
    add  rdi, AREA_STRIDE
    cmp  rdi, rsi
    jb   .Lnext_touch
    ret

# Compute something, and be sampled in its middle.
work:
.ifdef STORY.yes
    cmp  qword ptr [current], offset task_a
    jne  .Lnot_a
    tell "task A works, and is sampled"
    jmp  .Ltold
.Lnot_a:
    cmp  qword ptr [current], offset task_c
    je   .Lis_c
    tell "task B works, and is sampled"
    jmp  .Ltold
.Lis_c:
    tell "task C, which was being forked meanwhile, works, and is sampled"
.Ltold:
.endif
    nmi_after 5
    mov  rbx, USER_MEMORY
    mov  ecx, 4
    xor  eax, eax
.Lnext_step:
    add  rax, [rbx]                     # which task this is: the right table
    dec  ecx
    jnz  .Lnext_step
    shr  rax, 2
    cmp  rax, [current]
    jne  .Lwrong_result
    jmp  flush_samples
.Lwrong_result:
    fail "thread: a sample changed a register or the tables"

.ifdef PAGES.stack
# A kernel thread without tables of its own runs on those of A, which are older than its stack.
borrow_tables:
    call percpu_alloc
    lea  rsi, [rax + AREA_PAGES * PAGE]
    mov  edi, offset kernel_thread
    call set_stack
    mov  rax, [task_a + TASK_PML4]
    mov  [rdi + TASK_PML4], rax
    mov  [init_task + TASK_RING], rdi
    ret

.section .data
kernel_thread:
    .quad 0, 0, 0, task_a
.text
.endif

# ---- memory ---------------------------------------------------------------------------------------------------------

.section .bss
.balign 4096
page_pool:                              # the last thing: as large as TASKS, FORKS and MAPPINGS make it
    .skip POOL_PAGES * PAGE
page_pool_end:
