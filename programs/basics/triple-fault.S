# triple-fault: a kernel stack overflows, and the double fault cannot be delivered either: the processor shuts down
#
# As in double-fault, but the double fault's gate is not present, and there is no fourth try.
#
#     #PF      at overflow, error code 2 (a write, not present), CR2 = kernel_guard+0xff8, the first below the stack
#     #PF      while it is delivered, at the same address
#     #NP      while #DF is delivered instead, error code 0x43: gate 8, in the IDT, EXT
#     shutdown
#
# It ends there: no handler runs, and nothing is said.

.include "kernel.inc"

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    and  byte ptr [idt + 16 * VECTOR_DF + 5], 0x7f     # the gate's P bit
    say  "triple-fault: a page fault, a double fault, and then?"

overflow:
    call overflow
