# cr3-not-restored: an NMI on the way out to the user, CR3 is the user's already: its handler leaves the kernel's behind
#
# With page-table isolation the user runs on tables that lack most of the kernel. Entry and exit code switch CR3, and
# for a few instructions at CPL 0 it is the user's. An NMI there must not decide by the saved CS: it has to save CR3,
# whatever it is, and to restore just that. (Linux, December 2017: commit 8a09317b895f, "x86/mm/pti: Prepare the
# x86/entry assembly code for entry/exit CR3 switching". So does the twin.) If it does not, the user goes on with the
# kernel's tables, and nobody notices: nothing crashes, but what the isolation is for is gone.
#
# Undisturbed there is no NMI. With one at return_by_sysret:
#
#     MOV CR3          to user_pml4
#     NMI#1            at return_by_sysret, from CPL 0, on IST1
#       MOV CR3        to kernel_pml4
#     IRET             to return_by_sysret; CR3 is kernel_pml4 (the twin's handler loads user_pml4 before)
#     SYSRET           to the user, with the kernel's tables
#
# It ends in the last system call. Success: it came there.
#
# Try:
#     iretrace sweep @cr3-not-restored --from ready                   # state-leak, where CR3 is the user's at CPL 0
#     iretrace run @cr3-not-restored --nmi at=return_by_sysret
#     iretrace sweep @cr3-not-restored.ok --from ready                # nothing

.include "kernel.inc"
.include "user.inc"

# share SYMBOL: the page that holds SYMBOL is in the user's tables too. Clobbers rax, rcx.
.macro share symbol
    mov  eax, offset \symbol
    shr  eax, 12
    mov  rcx, [low_pt + rax * 8]
    mov  [user_pt + rax * 8], rcx
.endm

.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    call user_init
    gate NMI, nmi_entry, ist=1
    allow_user user_start
    share user_start
    share user_stack
    share entry_syscall
    share gdt                           # and the TSS
    share idt
    share nmi_stack
    share percpu

    xor  eax, eax                       # the user's, as SYSRET does not load them
    mov  ds, eax
    mov  es, eax

ready:
    mov  qword ptr gs:[PERCPU_USER_RSP], offset user_stack_top
    mov  ecx, offset user_start
    mov  r11d, 0x202                    # RFLAGS: IF
    jmp  return_to_user

.balign 4096                            # a page for CPL 3
user_start:
    mov  ebx, 2
user_again:
    xor  eax, eax
    syscall
    dec  ebx
    jnz  user_again
    inc  eax
    syscall
    ud2

.balign 4096                            # a page for both tables: all that runs while CR3 is the user's
entry_syscall:
    swapgs
    mov  gs:[PERCPU_USER_RSP], rsp
    mov  rsp, offset kernel_pml4        # no register is free
    mov  cr3, rsp
    mov  rsp, gs:[PERCPU_KERNEL_RSP]
    test eax, eax
    jnz  call_end
return_to_user:
    mov  rsp, offset user_pml4
    mov  cr3, rsp
    mov  rsp, gs:[PERCPU_USER_RSP]
return_by_sysret:
    swapgs
    sysretq

# The stack, once the registers are on it: rdx, rcx, rax, RIP, CS.
nmi_entry:
    push rax
    push rcx
    push rdx
    mov  rdx, cr3
    mov  eax, offset kernel_pml4
    mov  cr3, rax
    mov  rax, [rsp + 24]                # the saved RIP
    mov  [sample], rax                  # not in the user's tables
.ifdef MENDED
    mov  cr3, rdx                       # as it was
.else
    test byte ptr [rsp + 32], 3
    jz   .Lleave                        # "to the kernel: CR3 is the kernel's"
    mov  eax, offset user_pml4
    mov  cr3, rax
.Lleave:
.endif
    pop  rdx
    pop  rcx
    pop  rax
nmi_return:
    iretq

.balign 4096

call_end:
    succeed "cr3-not-restored: the user made its system calls"

.section .bss
.balign 4096
sample:
    .skip 4096

.section .data
page_table user_pml4
    entry 0, user_pdpt + TABLE
    entry DIRECT_MAP_SLOT, user_pdpt + PRESENT + WRITE
end_table
page_table user_pdpt
    entry 0, user_pd + TABLE
end_table
page_table user_pd
    entry 0, user_pt + TABLE
end_table
page_table user_pt
end_table
