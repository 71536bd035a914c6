# user-stack-in-kernel: an NMI in the SYSCALL gap, without an IST stack: its frame goes to the user's stack
#
# SYSCALL does not change RSP. Until the kernel has loaded its own, an event from CPL 0 without an IST stack pushes its
# frame where the user's RSP points: into memory that the user can write, or that is the kernel's and that the user chose.
#
#     SWAPGS, IRET     to user_start, CPL 3
#     SYSCALL          to entry_syscall
#     NMI#1            at entry_syscall, from CPL 0; the frame lies in user_stack (the twin's gate names IST1)
#     IRET             to entry_syscall
#
# It ends in the system call. Success: one NMI.

.include "kernel.inc"
.include "apic.inc"
.include "user.inc"

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    call apic_init
    call user_init
.ifdef MENDED
    gate NMI, nmi_entry, ist=1
.else
    gate NMI, nmi_entry
.endif
    allow_user user_start

    push_user_frame user_start
    nmi_after 3
    swapgs                              # 1
    iretq                               # 2

.balign 4096                            # a page for CPL 3
user_start:
    syscall                             # 3: the NMI is raised here
    ud2
.balign 4096

entry_syscall:
    swapgs                              # the NMI comes before this
    mov  gs:[PERCPU_USER_RSP], rsp
    mov  rsp, gs:[PERCPU_KERNEL_RSP]
    cmp  qword ptr [nmis], 1
    jne  .Lwrong
    succeed "user-stack-in-kernel: the NMI came in the SYSCALL gap"
.Lwrong:
    fail "user-stack-in-kernel: there was no NMI"

nmi_entry:
    inc  qword ptr [nmis]
nmi_return:
    iretq

.section .data
nmis:
    .quad 0
