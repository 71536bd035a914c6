# user-mode: an NMI in the SYSCALL gap: the kernel's code already runs, on the user's stack and with the user's GS
#
# SYSCALL changes neither RSP nor GS. Until the kernel has loaded its own, CPL is 0 and both are what the user chose. An
# NMI cannot be kept out of that gap, so it must have an IST stack, and must not take CPL 0 for a sign that GS is the
# kernel's: it looks at the base itself, of which only the kernel's is negative here.
#
#     SWAPGS, IRET     to user_start, CPL 3
#     SYSCALL          to entry_syscall
#     NMI#1            by the watchdog; at entry_syscall, from CPL 0, on IST1; the saved RSP is user_stack_top,
#                      GS.base is USER_GS
#     SWAPGS, SWAPGS   in the handler
#     IRET             to entry_syscall
#     SWAPGS           the gap ends two instructions later
#     SWAPGS, SYSRET   to the user
#     SYSCALL, SWAPGS  once more, to leave
#
# It ends in the second system call. Success: the NMI came in the gap, and the user got back what it had.

.include "kernel.inc"
.include "apic.inc"

IA32_EFER = 0xc0000080
IA32_STAR = 0xc0000081
IA32_LSTAR = 0xc0000082
IA32_FMASK = 0xc0000084
IA32_GS_BASE = 0xc0000101
IA32_KERNEL_GS_BASE = 0xc0000102

DIRECT_MAP = 0xffff888000000000         # RAM once more, in the kernel's half: there its per-CPU data have their address
DIRECT_MAP_SLOT = 273                   # bits 47:39
USER_GS = 0x12345000
STAR_SELECTORS = KERNEL_CS + (USER_CS32 << 16)
FLAGS_OFF = 0x47700                     # SYSCALL clears AC, NT, IOPL, DF, IF and TF
CALL_GET = 1                            # the system calls: one that returns 42,
CALL_END = 2                            # and one that ends the run

PERCPU_USER_RSP = 0                     # offsets from the kernel's GS base
PERCPU_KERNEL_RSP = 8
PERCPU_NMIS_IN_GAP = 16

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    call apic_init
    gate NMI, nmi_entry, ist=1
    allow_user user_start
    allow_user user_stack
    mov  qword ptr [kernel_pml4 + 8 * DIRECT_MAP_SLOT], offset low_pdpt + PRESENT + WRITE

    mov  ecx, IA32_EFER
    rdmsr
    or   eax, 1                         # SCE
    wrmsr
    set_msr IA32_STAR, STAR_SELECTORS, 0
    set_msr IA32_LSTAR, 0, "offset entry_syscall"
    set_msr IA32_FMASK, 0, FLAGS_OFF
    set_msr IA32_GS_BASE, "DIRECT_MAP >> 32", "offset percpu"
    set_msr IA32_KERNEL_GS_BASE, 0, USER_GS
    mov  qword ptr gs:[PERCPU_KERNEL_RSP], offset kernel_stack_top

    push USER_DS
    push offset user_stack_top
    push 0x202                          # RFLAGS: IF
    push USER_CS
    push offset user_start
    nmi_after 4
    swapgs                              # 1
    iretq                               # 2

.balign 4096                            # a page for CPL 3
user_start:
    mov  eax, CALL_GET                  # 3
    syscall                             # 4: the NMI is raised here
after_syscall:
    cmp  eax, 42
    jne  .Lwrong
    cmp  rsp, offset user_stack_top
    jne  .Lwrong
    mov  eax, CALL_END
    syscall
.Lwrong:
    ud2
.balign 4096

entry_syscall:
    swapgs                              # the NMI comes before this
    mov  gs:[PERCPU_USER_RSP], rsp
    mov  rsp, gs:[PERCPU_KERNEL_RSP]
    cmp  eax, CALL_END
    je   call_end
    mov  eax, 42
    mov  rsp, gs:[PERCPU_USER_RSP]
    swapgs
    sysretq

call_end:
    cmp  qword ptr gs:[PERCPU_NMIS_IN_GAP], 1
    jne  .Lno_nmi
    succeed "user-mode: the NMI came in the SYSCALL gap and left no trace"
.Lno_nmi:
    fail "user-mode: there was no NMI"

# The stack, once the registers are on it: rbx, rdx, rcx, rax, RIP, CS, RFLAGS, RSP, SS.
nmi_entry:
    push rax
    push rcx
    push rdx
    push rbx
    mov  ecx, IA32_GS_BASE
    rdmsr
    xor  ebx, ebx                       # whether to swap back
    test edx, edx
    js   .Lkernel_gs
    swapgs
    inc  ebx
.Lkernel_gs:
    cmp  qword ptr [rsp + 32], offset entry_syscall
    jne  .Lelsewhere
    cmp  qword ptr [rsp + 40], KERNEL_CS
    jne  .Lelsewhere
    cmp  qword ptr [rsp + 56], offset user_stack_top
    jne  .Lelsewhere
    cmp  ebx, 1
    jne  .Lelsewhere
    inc  qword ptr gs:[PERCPU_NMIS_IN_GAP]
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
.Lelsewhere:
    fail "user-mode: the NMI did not come in the SYSCALL gap"

.section .data
.balign 16
percpu:
    .quad 0, 0, 0

.section .bss
.balign 4096                            # another page for CPL 3
user_stack:
    .skip 4096
user_stack_top:
