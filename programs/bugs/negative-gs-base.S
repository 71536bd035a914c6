# negative-gs-base: a user loads a negative GS base, and an NMI in the SYSCALL gap takes it for the kernel's
#
# An NMI from CPL 0 has to find out whose GS base it has: in the SYSCALL gap it is the user's. Linux looked at its
# sign, as only the kernel could load a negative one. The instruction WRGSBASE, once CR4.FSGSBASE allows it to users,
# ends that: then the base must be saved, set, and restored, whatever it is. (Linux, August 2020, along with the
# feature; a test of its own makes sure, "selftests/x86: Add a syscall_arg_fault_64 test for negative GSBASE", commit
# a5d25e01c814. So does the twin; where its per-CPU data are, it must know from elsewhere: here there is but one CPU.)
#
# Undisturbed there is no NMI. With one at entry_syscall:
#
#     WRGSBASE         by the user: USER_BASE
#     SYSCALL          to entry_syscall
#     NMI#1            from CPL 0, on IST1; GS.base is USER_BASE, negative
#       access         at count, through GS: the user has chosen where
#     IRET             to entry_syscall
#
# It ends in the last system call. Success: it came there.
#
# Try:
#     iretrace sweep @negative-gs-base --from ready                   # wrong-gs, at both gaps
#     iretrace run @negative-gs-base --nmi at=entry_syscall
#     iretrace sweep @negative-gs-base.ok --from ready                # nothing

USER_FIRST = 1
.macro user_first
    movabs rax, offset USER_BASE
    wrgsbase rax
.endm

.include "kernel.inc"
.include "user.inc"

CR4_FSGSBASE = 1 << 16
PERCPU_BASE = DIRECT_MAP + percpu
USER_BASE = DIRECT_MAP + victim         # what the user wants to be written to

.include "calls.inc"

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    call user_init
    gate NMI, nmi_entry, ist=1
    allow_user user_start
    mov  rax, cr4
    or   rax, CR4_FSGSBASE
    mov  cr4, rax
    enter_user

call_end:
    succeed "negative-gs-base: the user made its system calls"

nmi_entry:
    push rax
    push rbx
.ifdef MENDED
    rdgsbase rbx                        # whatever it is ...
    movabs rax, offset PERCPU_BASE
    wrgsbase rax
count:
    inc  qword ptr gs:[PERCPU_NMIS]
    wrgsbase rbx                        # ... it comes back
.else
    push rcx
    push rdx
    xor  ebx, ebx                       # whether to swap back
    test byte ptr [rsp + 40], 3         # the saved CS
    jnz  .Lswap
    mov  ecx, IA32_GS_BASE
    rdmsr
    test edx, edx
    js   count                          # negative: it must be the kernel's
.Lswap:
    swapgs
    inc  ebx
count:
    inc  qword ptr gs:[PERCPU_NMIS]
    test ebx, ebx
    jz   .Lleave
    swapgs
.Lleave:
    pop  rdx
    pop  rcx
.endif
    pop  rbx
    pop  rax
nmi_return:
    iretq

.section .data
victim:
    .quad 0, 0, 0
