# bad-iret: #SS at the IRET to the user: its handler gives GS back as it found it, and the fix-up swaps once too often
#
# CVE-2014-9322. An IRET to a stack segment that is not present faults at CPL 0, when GS is the user's again. For #GP
# the entry code knew that place. #SS had an IST stack, and such handlers find out about GS and give it back as it was:
# the fix-up code that they return to (bad_iret) was made for #GP, where it finds the kernel's. It swaps, "to the
# user's again", and goes on as a #GP from the user, whose entry swaps once more. The kernel runs with the user's GS.
# (Linux 3.18: commit 6f442be2fb22, "x86_64, traps: Stop using IST for #SS", and b645af2d5905, "x86_64, traps:
# Rework bad_iret". So does the twin: #SS is as #GP, and the frame that IRET could not pop becomes the exception's
# own.)
#
#     IRET             to user_start, CPL 3
#     SYSCALL          the user's stack segment is made not present
#     #SS              at user_return_iret, on IST4; GS.base is user_data
#       SWAPGS, SWAPGS in the handler
#     IRET of #SS      to bad_iret; GS.base is user_data still
#     SWAPGS           by bad_iret, to the kernel's; SWAPGS by exception_entry, to the user's
#     access           at task_faulted, through GS (the twin comes there with the kernel's)
#
# It ends there. Success: it came there.
#
# Try:
#     iretrace run @bad-iret              # error[wrong-gs]
#     iretrace run @bad-iret.ok           # nothing

.include "kernel.inc"
.include "user.inc"
.include "exceptions.inc"

STACK_SEGMENT_ACCESS = gdt + (USER_DS & ~7) + 5
SEGMENT_ABSENT = 0x73                   # data, writable, accessed, DPL 3

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    call user_init
    gate GP, exception_entry
.ifdef MENDED
    gate SS, exception_entry
.else
    gate SS, stack_fault_entry, ist=4
.endif
    allow_user user_start
    push_user_frame user_start
    swapgs
    iretq

.balign 4096                            # a page for CPL 3
user_start:
    syscall
    ud2
.balign 4096

entry_syscall:
    swapgs
    mov  gs:[PERCPU_USER_RSP], rsp
    mov  rsp, gs:[PERCPU_KERNEL_RSP]
    push USER_DS
    push qword ptr gs:[PERCPU_USER_RSP]
    push r11
    push USER_CS
    push rcx
    mov  byte ptr [STACK_SEGMENT_ACCESS], SEGMENT_ABSENT    # (another thread's work)
    swapgs
user_return_iret:
    iretq                               # #SS

# On IST4. The stack, once the registers are on it: rbx, rdx, rcx, rax, error code, RIP.
stack_fault_entry:
    push rax
    push rcx
    push rdx
    push rbx
    mov  ecx, IA32_GS_BASE
    rdmsr
    xor  ebx, ebx                       # whether to swap back
    test edx, edx                       # the kernel's base is negative
    js   .Lkernel_gs
    swapgs
    inc  ebx
.Lkernel_gs:
    cmp  qword ptr [rsp + 40], offset user_return_iret
    jne  kernel_faulted
    mov  qword ptr [rsp + 40], offset bad_iret
    test ebx, ebx
    jz   .Lleave
    swapgs
.Lleave:
    pop  rbx
    pop  rdx
    pop  rcx
    pop  rax
    add  rsp, 8                         # the error code
stack_fault_return:
    iretq

# The fix-up of user_return_iret: "the kernel's GS here, but exception_entry expects the user's, as the frame is".
bad_iret:
    push 0                              # the error code
    swapgs
    jmp  exception_entry

task_faulted:
    inc  qword ptr gs:[PERCPU_NMIS]     # a count of faults
    succeed "bad-iret: the task has faulted"

kernel_faulted:
    fail "bad-iret: a fault elsewhere"
