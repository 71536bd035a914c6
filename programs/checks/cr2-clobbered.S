# cr2-clobbered: a tracer's breakpoint in the page-fault handler faults itself, before CR2 has been read
#
# There is one CR2, and each page fault loads it. Until the handler has read it nothing may fault: not even a tracer
# whose buffer is mapped lazily. Here the outer handler reads the address of the inner fault.
#
#     #PF#1            at touch, CR2 = data_page
#       #BP#1          in its handler, before it reads CR2
#         #PF#2        at trace, CR2 = buffer_page; its handler maps that
#       IRET           of #BP#1 (the twin's tracer puts CR2 back as it was)
#     at read_cr2 CR2 is buffer_page, which is mapped already; IRET to touch, which faults again:
#     #PF#3            at touch, CR2 = data_page (not in the twin)
#
# It ends when touch has succeeded. Success: as many page faults as that.

.include "kernel.inc"

.ifdef MENDED
FAULTS = 2
.else
FAULTS = 3
.endif

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    gate PF, page_fault_entry
    gate BP, tracer_entry
    mov  eax, offset data_page
    shr  eax, 12
    mov  qword ptr [low_pt + rax * 8], 0
    mov  eax, offset buffer_page
    shr  eax, 12
    mov  qword ptr [low_pt + rax * 8], 0

touch:
    mov  qword ptr [data_page], 1
    cmp  qword ptr [faults], FAULTS
    jne  .Lwrong
    succeed "cr2-clobbered: there were as many page faults as predicted"
.Lwrong:
    fail "cr2-clobbered: there was another number of page faults"

page_fault_entry:
    push rax
    push rcx
    inc  qword ptr [faults]
    int3                                # (a traced function)
read_cr2:
    mov  rax, cr2
    mov  rcx, rax
    and  rcx, -4096
    or   rcx, PRESENT + WRITE
    shr  rax, 12
    mov  [low_pt + rax * 8], rcx
    pop  rcx
    pop  rax
    add  rsp, 8                         # the error code
page_fault_return:
    iretq

tracer_entry:
    cmp  qword ptr [tracing], 0
    jne  .Lnested                       # does not trace its own faults
    mov  qword ptr [tracing], 1
.ifdef MENDED
    push rax
    mov  rax, cr2
    push rax
.endif
trace:
    inc  qword ptr [buffer_page]
.ifdef MENDED
    pop  rax
    mov  cr2, rax
    pop  rax
.endif
    mov  qword ptr [tracing], 0
.Lnested:
    iretq

.section .data
faults:
    .quad 0
tracing:
    .quad 0

.section .bss
.balign 4096
data_page:
    .skip 4096
buffer_page:
    .skip 4096
