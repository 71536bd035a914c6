# double-fault: a kernel stack overflows into its guard page: the page fault cannot be delivered, so a double fault is
#
# The page fault has no stack of its own: its frame would go to the stack that has just run out. A page fault during the
# delivery of a page fault is a double fault (SDM vol. 3, "Interrupt 8: Double Fault Exception"), and that has an IST
# stack.
#
#     #PF      at overflow, error code 2 (a write, not present), CR2 = kernel_guard+0xff8, the first below the stack
#     #PF      while it is delivered, at the same address: the first slot of the frame
#     #DF      delivered instead on IST2, error code 0; CR2 is kept
#
# It ends in the #DF handler. Success: error code and CR2 are as above. Twin: triple-fault.

.include "kernel.inc"

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    gate DF, double_fault_entry, ist=2

overflow:
    call overflow                       # 512 return addresses fit

double_fault_entry:
    cmp  qword ptr [rsp], 0             # the error code
    jne  .Lerror_code
    mov  rax, cr2
    cmp  rax, offset kernel_guard + 0xff8
    jne  .Lcr2
    succeed "double-fault: the stack overflow ended in a double fault, on a stack of its own"
.Lerror_code:
    fail "double-fault: the error code is not zero"
.Lcr2:
    fail "double-fault: CR2 is not the last slot of the guard page"
