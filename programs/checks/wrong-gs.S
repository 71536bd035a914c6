# wrong-gs: an NMI in the SYSCALL gap, whose handler takes CPL 0 for a sign that GS is the kernel's
#
# From SYSCALL to SWAPGS the kernel's code runs with the user's GS base. An NMI there has interrupted CPL 0, so a handler
# that asks the saved CS whether to swap does not, and counts in the user's memory. (See user-mode.)
#
#     SWAPGS, IRET     to user_start, CPL 3
#     SYSCALL          to entry_syscall
#     NMI#1            at entry_syscall, from CPL 0, on IST1; GS.base is user_data
#       access         at count, through GS (the twin looks at the base itself, and swaps)
#     IRET             to entry_syscall
#
# It ends in the system call. Success: the NMI was counted where predicted.

.include "kernel.inc"
.include "apic.inc"
.include "user.inc"

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    call apic_init
    call user_init
    gate NMI, nmi_entry, ist=1
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
.ifdef MENDED
    cmp  qword ptr [percpu + PERCPU_NMIS], 1
.else
    cmp  qword ptr [user_data + PERCPU_NMIS], 1
.endif
    jne  .Lwrong
    succeed "wrong-gs: the NMI was counted where predicted"
.Lwrong:
    fail "wrong-gs: the NMI was not counted where predicted"

# The stack, once the registers are on it: rbx, rdx, rcx, rax, RIP, CS.
nmi_entry:
    push rax
    push rcx
    push rdx
    push rbx
    xor  ebx, ebx                       # whether to swap back
.ifdef MENDED
    mov  ecx, IA32_GS_BASE
    rdmsr
    test edx, edx                       # the kernel's base is negative
    js   count
.else
    test byte ptr [rsp + 40], 3
    jz   count
.endif
    swapgs
    inc  ebx
count:
    inc  qword ptr gs:[PERCPU_NMIS]
    test ebx, ebx
    jz   .Lleave
    swapgs
.Lleave:
    pop  rbx
    pop  rdx
    pop  rcx
    pop  rax
nmi_return:
    iretq
