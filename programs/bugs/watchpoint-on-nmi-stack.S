# watchpoint-on-nmi-stack: a data breakpoint on the NMI stack: the handler's first push is a #DB, which lets NMIs in
#
# Nothing kept a debugger from watching the stacks, the GDT or the TSS of the entry code. A #DB there comes where no
# exception may come: here inside an NMI handler, which it opens for the next NMI. (Linux refuses it since 2020:
# "x86/hw_breakpoint: Prevent data breakpoints on cpu_entry_area". So does the twin.)
#
# Undisturbed, nothing goes wrong. With one more NMI from nmi_entry to nmi_return, for example at nmi_entry:
#
#     NMI#1            at interrupted, on IST1
#       NMI            arrives in the handler: latched
#       #DB            at nmi_pushed, on IST3: PUSH has written the watched word
#       IRET of #DB    to nmi_pushed; NMIs unblocked early
#       NMI#2          at nmi_pushed, on IST1 again: NMI#1's frame is overwritten
#         #DB          at nmi_pushed, and its IRET
#       IRET of NMI#2  to nmi_pushed
#     IRET of NMI#1    pops NMI#2's frame: to nmi_pushed, and so for ever
#
# It ends at interrupted. Success: it came there.
#
# Try:
#     iretrace sweep @watchpoint-on-nmi-stack --from ready            # frame-lost, from nmi_entry to nmi_return
#     iretrace run @watchpoint-on-nmi-stack --nmi at=nmi_entry --max-insns 900
#     iretrace sweep @watchpoint-on-nmi-stack.ok --from ready         # nothing: there is no #DB

.include "kernel.inc"
.include "apic.inc"

DR7_WATCH = (1 << 0) + (1 << 16) + (2 << 18)    # L0; R/W0: writes; LEN0: eight bytes

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    call apic_init
    gate NMI, nmi_entry, ist=1
    gate DB, debug_entry, ist=3
    mov  eax, offset nmi_stack_top - 48 # right below the frame
    call watch

ready:
    send_nmi
interrupted:
    succeed "watchpoint-on-nmi-stack: the NMI has been handled"

# A debugger's request: watch what is written at rax. Clobbers rax.
watch:
.ifdef MENDED
    cmp  rax, offset nmi_stack - 7      # no byte of it may be watched
    jb   .Lallowed
    cmp  rax, offset nmi_stack_top
    jb   .Lrefused
.Lallowed:
.endif
    mov  dr0, rax
    mov  eax, DR7_WATCH
    mov  dr7, rax
.Lrefused:
    ret

nmi_entry:
    push rax
nmi_pushed:
    mov  rax, [rsp + 8]                 # the saved RIP
    mov  [sample], rax
    pop  rax
nmi_return:
    iretq

debug_entry:
    push rax
    xor  eax, eax
    mov  dr6, rax
    pop  rax
debug_return:
    iretq                               # unblocks NMIs, whatever it returns to

.section .data
sample:
    .quad 0
