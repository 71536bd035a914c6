# syscall-gap: the NMI's gate names no IST stack: in the SYSCALL gap its frame goes where the user's RSP points
#
# SYSCALL loads neither RSP nor GS, and SYSRET does not either: right after the one and right before the other the
# kernel runs on the user's stack. Interrupts can be kept out of those gaps, an NMI cannot. Without an IST stack its
# frame, and all that its handler pushes, goes to memory that the user chose: its own, where another thread can change
# the frame before IRET pops it, or any address of the kernel's. Everything that cannot be kept out needs an IST stack.
# (Linux' NMIs have one on x86-64. So has the twin's.)
#
# Undisturbed there is no NMI. With one at entry_syscall:
#
#     SYSCALL          to entry_syscall
#     NMI#1            from CPL 0, on this stack: the frame lies in user_stack
#     IRET             to entry_syscall
#
# It ends in the last system call. Success: it came there.
#
# Try:
#     iretrace sweep @syscall-gap --from ready                        # user-stack-in-kernel, at both gaps
#     iretrace run @syscall-gap --nmi at=entry_syscall
#     iretrace sweep @syscall-gap.ok --from ready                     # nothing

.include "kernel.inc"
.include "user.inc"
.include "calls.inc"

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    call user_init
.ifdef MENDED
    gate NMI, nmi_entry, ist=1
.else
    gate NMI, nmi_entry
.endif
    allow_user user_start
    enter_user

call_end:
    succeed "syscall-gap: the user made its system calls"

nmi_entry:
    push rax
    mov  rax, [rsp + 8]                 # the saved RIP
    mov  [sample], rax
    pop  rax
nmi_return:
    iretq

.section .data
sample:
    .quad 0
