# sysret-non-canonical: a system call from the last bytes below the hole: SYSRET faults at CPL 0, on the user's stack
#
# CVE-2012-0217 (Xen, Windows and others), CVE-2006-0744 and CVE-2014-4699 (Linux). SYSRET returns to RCX. If that is
# not canonical, Intel's raises #GP while CPL is still 0, and AMD's when CPL is 3 already. The kernel has loaded the
# user's RSP before, so on Intel the frame goes where the user wants, and GS is the user's too. RCX is not canonical
# after a SYSCALL that ends at 0x800000000000, or when a debugger has changed the saved RIP. (Linux leaves such returns
# to IRET since 2.6.16.5, "x86_64: When user could have changed RIP always force IRET", and 2014, "ptrace,x86: force
# IRET path after a ptrace_stop()". So does the twin: the IRET's #GP comes on the kernel's stack.)
#
#     IRET             to user_start, CPL 3
#     SYSCALL          at edge_call: RCX is 0x800000000000; RSP is victim_top, memory of the kernel's
#     #GP              at return_sysret, from CPL 0; the frame lies in victim; GS.base is user_data
#     access           at kernel_faulted, through GS
#
# It ends there (with --cpu amd, and in the twin: at task_faulted). Success: as predicted.
#
# Try:
#     iretrace run @sysret-non-canonical              # error[user-stack-in-kernel], error[wrong-gs]
#     iretrace run @sysret-non-canonical --cpu amd    # nothing: #GP comes from CPL 3
#     iretrace run @sysret-non-canonical.ok           # nothing: #GP comes at the IRET, and is known there

.include "kernel.inc"
.include "user.inc"
.include "exceptions.inc"

EDGE = 0x7ffffffff000                   # the last page below the hole
EDGE_SLOT = 255                         # bits 47:39; the indices below are 511

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    call user_init
    gate GP, exception_entry
    allow_user user_start
    mov  qword ptr [kernel_pml4 + 8 * EDGE_SLOT], offset edge_pdpt + TABLE
    push_user_frame user_start
    swapgs
    iretq

.balign 4096                            # pages for CPL 3
user_start:
    mov  rsp, offset victim_top
    movabs rax, EDGE + edge_call - edge_page
    jmp  rax
.balign 4096
edge_page:
    .skip 4094, 0xcc
edge_call:
    syscall                             # its end is the end of the page

entry_syscall:
    swapgs
    mov  gs:[PERCPU_USER_RSP], rsp
    mov  rsp, gs:[PERCPU_KERNEL_RSP]
.ifdef MENDED
    mov  rax, rcx
    shl  rax, 16
    sar  rax, 16
    cmp  rax, rcx
    jne  return_by_iret
.endif
    mov  rsp, gs:[PERCPU_USER_RSP]
    swapgs
return_sysret:
    sysretq                             # #GP

return_by_iret:
    push USER_DS
    push qword ptr gs:[PERCPU_USER_RSP]
    push r11
    push USER_CS
    push rcx
    swapgs
user_return_iret:
    iretq                               # #GP

task_faulted:
    inc  qword ptr gs:[PERCPU_NMIS]     # a count of faults
    succeed "sysret-non-canonical: the task has faulted"

kernel_faulted:
    inc  qword ptr gs:[PERCPU_NMIS]
    cmp  qword ptr [victim_top - 40], offset return_sysret
    jne  .Lelsewhere
    succeed "sysret-non-canonical: the kernel wrote a frame where the user wanted, as predicted"
.Lelsewhere:
    fail "sysret-non-canonical: a fault elsewhere"

.section .data
page_table edge_pdpt
    entry 511, edge_pd + TABLE
end_table
page_table edge_pd
    entry 511, edge_pt + TABLE
end_table
page_table edge_pt
    entry 511, edge_page + PRESENT + USER
end_table
victim:
    .skip 64
victim_top:
