# thread: lazily filled page tables and NMIs: every strategy of the kernel thread, in one small kernel
#
# (draft)

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
    everybody touch_areas
window:
.ifdef PAGES.stack
    call borrow_tables
.endif
    everybody work
.ifdef PAGES.stack
.set window_end, double_fault_entry     # where these end
.endif
.ifdef PAGES.walk_racy
.set window_end, page_fault_fatal
.endif
.ifndef window_end
window_end:
.endif

phase_end:
    call flush_samples
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
