# mov-ss-int3: a data breakpoint hit by MOV SS is held over an INT3, and strikes in the kernel's #BP handler
#
# CVE-2018-8897. A user program has a data breakpoint on the word from which it loads SS. The #DB is due after MOV SS,
# but its shadow holds it for one instruction more, and that is INT3. So the #DB comes at the first instruction of the
# kernel's #BP handler: from kernel mode, although the user caused it. A kernel that gives #BP and #DB the same IST
# stack, as this one does, loses the frame of the #BP, and takes an event from the user for one of its own. (Linux gave
# #BP no IST stack any more: commit d8ba61ba58c8, "x86/entry/64: Don't use IST entry for #BP stack". So does the twin.)
#
#     IRET      to user_start, CPL 3
#     MOV SS    reads user_ss; the #DB is pending, and held
#     #BP       at after_int3, from CPL 3, on IST3 (the twin's on the kernel stack)
#     #DB       at breakpoint_entry, from CPL 0, on IST3 again: #BP's frame is overwritten
#     IRET      of #DB, to breakpoint_entry
#
# It ends in the #BP handler, which looks at its frame. Success: it says what is predicted, here "from the kernel".
#
# Try:
#     iretrace run @mov-ss-int3           # error[frame-lost]
#     iretrace run @mov-ss-int3.ok        # the #DB comes at the same place, and does no harm

.include "kernel.inc"

DR7_WATCH = (1 << 0) + (3 << 16) + (1 << 18)    # L0; R/W0: reads and writes; LEN0: two bytes
DR6_B0 = 1 << 0
.ifdef MENDED
SAVED_CS = USER_CS                      # what #BP's handler finds
.else
SAVED_CS = KERNEL_CS
.endif

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    gate DB, debug_entry, ist=3
.ifdef MENDED
    gate BP, breakpoint_entry, dpl=3
.else
    gate BP, breakpoint_entry, ist=3, dpl=3
.endif
    allow_user user_start
    allow_user user_ss

    mov  eax, offset user_ss
    mov  dr0, rax
    mov  eax, DR7_WATCH
    mov  dr7, rax

    push USER_DS
    push offset user_stack_top
    push 2                              # RFLAGS
    push USER_CS
    push offset user_start
    iretq

debug_entry:
    push rax
    cmp  qword ptr [rsp + 8], offset breakpoint_entry
    jne  .Lelsewhere
    mov  rax, dr6
    test al, DR6_B0
    jz   .Lelsewhere
    xor  eax, eax
    mov  dr7, rax
    inc  qword ptr [debug_exceptions]
    pop  rax
debug_return:
    iretq
.Lelsewhere:
    fail "mov-ss-int3: the #DB did not come at the #BP handler's first instruction"

breakpoint_entry:
    cmp  qword ptr [debug_exceptions], 1
    jne  .Lno_debug
    cmp  qword ptr [rsp + 8], SAVED_CS  # INT3 pushed USER_CS
    jne  .Lintact
.ifdef MENDED
    succeed "mov-ss-int3: a #DB struck in the #BP handler, whose frame is intact"
.else
    succeed "mov-ss-int3: a #DB overwrote #BP's frame, which now says that the kernel executed the INT3"
.endif
.Lno_debug:
    fail "mov-ss-int3: the #BP handler ran without a #DB before it"
.Lintact:
    fail "mov-ss-int3: #BP's frame is not as predicted"

.balign 4096                            # a page for CPL 3
user_start:
    mov  ss, [user_ss]
    int3
after_int3:
    ud2
.balign 4096

.section .data
debug_exceptions:
    .quad 0
.balign 4096                            # another
user_ss:
    .quad USER_DS
    .skip 2040
user_stack_top:
.balign 4096
