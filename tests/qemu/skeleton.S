# skeleton: the kernel in which random cases run, one after the other
#
# A case is a descriptor (CASE_*), kernel-mode slots, user-mode slots and slots for the handlers' body. A slot is SLOT bytes
# of code; a handler goes on after a fault at the next slot, so whatever faults costs one slot. Before each case everything
# that a case can change is made anew, so that cases do not depend on each other, and a difference in one does not spread.
#
# A case begins with INT START (rax: its number) and ends with INT SUMS (rax: a sum of what is left in the test pages; rbx: A
# and D of their page-table entries). It gets there by INT FINISH, or because a handler has had enough of it.
#
# r8 to r15 are the handlers': r8 the frame, r9 where to go on if RIP is in no slot, r10 the vector, r11 to r15 what was
# pushed, so that each event shows the frame of the one before.

.intel_syntax noprefix

SLOT = 128
CASE_KERNEL = 0
CASE_KERNEL_END = 8
CASE_USER = 16
CASE_USER_END = 24
CASE_BODY = 32
CASE_BODY_END = 40
CASE_SYSCALL = 48
CASE_CR0 = 56
CASE_CR4 = 64
CASE_EFER = 72
CASE_PKRU = 80
CASE_RFLAGS = 88
CASE_FMASK = 96
CASE_IDT_LIMIT = 104
CASE_TSS_LIMIT = 112
CASE_TSS = 120                          # RSP0..2, then IST1..7: ten quadwords
CASE_PTES = 200                         # TEST_PAGES of them
CASE_GATES = CASE_PTES + 8 * TEST_PAGES # pairs of quadwords after 16 * vector; -1 ends them

TEST_PAGES = 16                         # at TEST
TEST_FRAMES = 6
TEST = 0x400000
SUPERVISOR_PAGE = 0x9e000
APIC = 0xfee00000
KERNEL_CS = 0x08
KERNEL_DS = 0x10
USER_DS = 0x23
USER_CS = 0x2b
TSS_SELECTOR = 0x30
START = 0x40
FINISH = 0x41
SUMS = 0x42
BACK = 0x43
VECTORS = 0x44
MOST_EVENTS = 40
MOST_NESTED = 2

BASE_CR0 = 0x80010033                   # PG, WP, NE, ET, MP, PE
BASE_CR4 = 0x4006a0                     # PKE, OSXMMEXCPT, OSFXSR, PGE, PAE
PRESENT = 1
WRITE = 2
USER = 4
HUGE = 0x80
TABLE = PRESENT + WRITE + USER
GLOBAL = 0x100

.macro set_msr number, low, high=0
    mov  ecx, \number
    mov  eax, \low
    mov  edx, \high
    wrmsr
.endm

# slot, then an item, then end_slot.
.macro slot
    .balign SLOT, 0xcc
98:
.endm
.macro end_slot
    jmp  99f
    .org 98b + SLOT, 0xcc               # an error if the item is longer
99:
.endm

.text
.globl _start
_start:
    mov  rsp, offset safe_stack_top
    mov  eax, offset tss
    mov  [pristine_gdt + TSS_SELECTOR + 2], ax
    shr  eax, 16
    mov  [pristine_gdt + TSS_SELECTOR + 4], al
    mov  [pristine_gdt + TSS_SELECTOR + 7], ah
    mov  eax, offset user_code          # what CPL 3 may execute
    shr  eax, 12
    mov  edx, offset user_code_end
    shr  edx, 12
.Lnext_user:
    or   qword ptr [low_pt + rax * 8], USER
    inc  eax
    cmp  eax, edx
    jb   .Lnext_user
    mov  eax, offset pml4
    mov  cr3, rax
    xor  ebp, ebp                       # the gates
.Lnext_gate:
    mov  rsi, [stubs + rbp * 8]
    mov  eax, ebp
    shl  eax, 4
    mov  rdi, offset pristine_idt
    add  rdi, rax
    mov  [rdi], si
    mov  word ptr [rdi + 2], KERNEL_CS
    mov  eax, 0xee00
    cmp  ebp, START
    jae  .Lreachable
    mov  eax, 0x8e00
.Lreachable:
    mov  [rdi + 4], ax
    shr  rsi, 16
    mov  [rdi + 6], rsi
    inc  ebp
    cmp  ebp, VECTORS
    jb   .Lnext_gate
    mov  byte ptr [pristine_idt + 16 * 8 + 4], 1
    mov  byte ptr [pristine_idt + 16 * FINISH + 4], 7
    mov  qword ptr [case], 0

# ---- between cases --------------------------------------------------------------------------------------------------

next_case:
    mov  rsp, offset safe_stack_top
    mov  rbp, [case]
    cmp  rbp, CASES
    je   all_done
    inc  qword ptr [case]
    mov  rbp, [cases + rbp * 8]
    mov  [descriptor], rbp
    cld
    mov  eax, BASE_CR0
    mov  cr0, rax
    mov  eax, BASE_CR4
    mov  cr4, rax
    set_msr 0xc0000080, 0xd01           # NXE, LMA, LME, SCE
    xor  eax, eax
    mov  dr7, rax
    mov  eax, 0xffff0ff0
    mov  dr6, rax

    mov  esi, offset pristine_gdt
    mov  edi, offset gdt
    mov  ecx, GDT_BYTES / 8
    rep movsq
    mov  esi, offset pristine_idt
    mov  edi, offset idt
    mov  ecx, VECTORS * 2
    rep movsq
    lea  rsi, [rbp + CASE_TSS]
    mov  edi, offset tss + 4
    mov  ecx, 3
    rep movsq
    xor  eax, eax
    stosq
    mov  ecx, 7
    rep movsq
    stosq
    mov  dword ptr [tss + 0x64], 0x680000
    mov  ax, 0x67                       # all of it, for the time between cases
    mov  [gdt + TSS_SELECTOR], ax
    lgdt [gdt_pointer]
    lidt [whole_idt_pointer]
    mov  eax, TSS_SELECTOR
    ltr  ax
    xor  eax, eax
    lldt ax
    mov  fs, eax
    mov  gs, eax
    mov  eax, KERNEL_DS
    mov  ds, eax
    mov  es, eax
    mov  ss, eax

    lea  rsi, [rbp + CASE_PTES]
    mov  edi, offset test_pt
    mov  ecx, TEST_PAGES
    rep movsq
    mov  rax, 0xcccccccccccccccc        # INT3s; as an address not canonical
    mov  edi, offset test_frames
    mov  ecx, TEST_FRAMES * 512
    rep stosq
    mov  edi, SUPERVISOR_PAGE
    mov  ecx, 512
    rep stosq
    fninit
    xorps xmm0, xmm0
    push 0x1f80
    ldmxcsr [rsp]
    mov  eax, offset pml4
    mov  cr3, rax
    xor  ecx, ecx
    xor  edx, edx
    mov  rax, [rbp + CASE_PKRU]
    wrpkru
    set_msr 0xc0000081, 0, (0x1b << 16) + KERNEL_CS
    mov  rdx, [rbp + CASE_SYSCALL]
    set_msr 0xc0000082, edx
    mov  rdx, [rbp + CASE_FMASK]
    set_msr 0xc0000084, edx
    mov  qword ptr [body], 0            # the handlers do nothing but return
    mov  qword ptr [events], 0
    push KERNEL_DS                      # if an NMI is pending: now
    push offset safe_stack_top
    push 2
    push KERNEL_CS
    push offset .Lunblocked
    iretq
.Lunblocked:
    nop

    mov  rsp, offset safe_stack_top
    mov  rbp, [descriptor]
    mov  rax, [case]
    dec  rax
    xor  ebx, ebx
    xor  r8d, r8d
    xor  r9d, r9d
    xor  r10d, r10d
    xor  r11d, r11d
    xor  r12d, r12d
    xor  r13d, r13d
    xor  r14d, r14d
    xor  r15d, r15d
    int  START

begin_case:
    mov  eax, KERNEL_DS
    mov  ss, eax
    mov  rsp, offset kernel_stack_top
    mov  rax, [rbp + CASE_BODY]
    mov  [body], rax
    mov  qword ptr [events], 0
    mov  qword ptr [nested], 0
    mov  ax, [rbp + CASE_IDT_LIMIT]
    mov  [case_idt_pointer], ax
    lidt [case_idt_pointer]
    mov  ax, [rbp + CASE_TSS_LIMIT]
    mov  [gdt + TSS_SELECTOR], ax
    mov  byte ptr [gdt + TSS_SELECTOR + 5], 0x89
    mov  eax, TSS_SELECTOR
    ltr  ax
    lea  rsi, [rbp + CASE_GATES]
.Lgates:
    mov  rdi, [rsi]
    cmp  rdi, -1
    je   .Lgates_set
    mov  rax, [rsi + 8]
    mov  [idt + rdi], rax
    mov  rax, [rsi + 16]
    mov  [idt + rdi + 8], rax
    add  rsi, 24
    jmp  .Lgates
.Lgates_set:
    mov  ecx, 0xc0000080
    xor  edx, edx
    mov  rax, [rbp + CASE_EFER]
    wrmsr
    mov  rax, [rbp + CASE_CR4]
    mov  cr4, rax
    mov  rax, [rbp + CASE_CR0]
    mov  cr0, rax
    mov  r8, [rbp + CASE_KERNEL]
    mov  eax, 0x11
    mov  ecx, 3
    mov  edx, 0
    mov  ebx, 0x22
    mov  esi, TEST + 0x100
    mov  edi, TEST + 0x2100
    push [rbp + CASE_RFLAGS]
    mov  ebp, TEST + 0x3800
    popfq
    jmp  r8

all_done:
    mov  al, 0x10
    out  0xf4, al

# ---- the end of a case ----------------------------------------------------------------------------------------------

end_case:
    mov  rsp, offset safe_stack_top
    push 2
    popfq
    mov  eax, BASE_CR0
    mov  cr0, rax
    mov  eax, BASE_CR4
    mov  cr4, rax
    lidt [whole_idt_pointer]
    mov  eax, offset pml4
    mov  cr3, rax
    mov  qword ptr [body], 0
    mov  qword ptr [events], 0
    xor  eax, eax
    mov  esi, offset test_frames
    mov  ecx, TEST_FRAMES * 512 / 8
.Lsum:
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7
    add  rax, [rsi + 8 * \n]
    rol  rax, 7
    .endr
    add  rsi, 64
    dec  ecx
    jnz  .Lsum
    xor  ebx, ebx
    mov  esi, offset test_pt
    mov  ecx, TEST_PAGES
.Lnext_pte:
    mov  edx, [rsi]
    and  edx, 0x20
    shl  rdx, 58                        # A, to bit 63
    shr  rbx, 1
    or   rbx, rdx
    mov  edx, [rsi]
    and  edx, 0x40
    shl  rdx, 25                        # D, to bit 31
    or   rbx, rdx
    add  rsi, 8
    dec  ecx
    jnz  .Lnext_pte
    xor  edx, edx
    xor  edi, edi
    xor  ebp, ebp
    int  SUMS

# ---- handlers -------------------------------------------------------------------------------------------------------

# Where a case's SYSCALL may lead: back at once, or on in the kernel's slots (at r9) on the user's stack.
syscall_return:
    inc  qword ptr [events]
    cmp  qword ptr [events], MOST_EVENTS
    ja   end_case
    and  r11d, 0x3f7fd7                 # not TF for ever
    sysretq
syscall_stay:
    inc  qword ptr [events]
    cmp  qword ptr [events], MOST_EVENTS
    ja   end_case
    jmp  go_on_in_kernel

# From the user's slots: on in the kernel's, at r9.
back_handler:
    inc  qword ptr [events]
    cmp  qword ptr [events], MOST_EVENTS
    ja   end_case
    mov  rsp, offset kernel_stack_top
go_on_in_kernel:
    mov  r8, [descriptor]
    cmp  r9, [r8 + CASE_KERNEL]
    jb   end_case
    cmp  r9, [r8 + CASE_KERNEL_END]
    jae  end_case
    jmp  r9

start_handler:
    mov  rsp, offset safe_stack_top
    jmp  begin_case

# All other vectors. r10: the vector.
handler:
    mov  r11d, KERNEL_DS                # on an IST stack the peer has made it null
    mov  ss, r11d
    mov  r8, rsp
    mov  r11, [rsp + 8]                 # CS; with an error code RIP, which is 0 or above 0xffff
    dec  r11
    cmp  r11, 0xffff
    jb   .Lno_error_code
    mov  qword ptr [rsp], 0             # or it would be in the sums, where the peer's is another
    add  r8, 8
.Lno_error_code:
    mov  r11, [r8 + 16]                 # RFLAGS: RF alone, and the rest
    mov  r12, r11
    and  r11d, 0x10000
    and  r12, ~0x10000
    mov  [r8 + 16], r12                 # or RF would be in the sums
    mov  r13, [r8]                      # RIP, and selectors above it
    mov  r14, [r8 + 8]
    shl  r14, 48
    xor  r13, r14
    mov  r14, [r8 + 32]
    test r14, r14
    jnz  .Lnot_null
    mov  qword ptr [r8 + 32], KERNEL_DS # the peer has more null ones
.Lnot_null:
handler_cleaned:                        # from here on nothing in the frame is the peer's own
    shl  r14, 32
    xor  r13, r14
    inc  qword ptr [events]
    cmp  qword ptr [events], MOST_EVENTS
    ja   end_case
    mov  r14, [r8 + 24]                 # RSP
    mov  r15, rsp
    inc  qword ptr [nested]
    cmp  qword ptr [nested], MOST_NESTED
    ja   body_skipped
    cmp  qword ptr [body], 0
    je   body_skipped
    push r8
    push r10
    jmp  [body]
body_done:
    pop  r10
    pop  r8
body_skipped:
    dec  qword ptr [nested]
    inc  qword ptr [events]
    cmp  qword ptr [events], 2 * MOST_EVENTS
    ja   end_case
    cmp  r10d, 31                       # faults go on elsewhere: they would come again
    ja   .Lleave
    bt   dword ptr [fault_vectors], r10d
    jnc  .Lin_slot
    mov  r15, [descriptor]
    mov  r14, [r8]
    cmp  r14, [r15 + CASE_KERNEL]
    jb   .Lelsewhere
    cmp  r14, [r15 + CASE_USER_END]
    jae  .Lelsewhere
    or   r14, SLOT - 1
    inc  r14
    mov  [r8], r14
    jmp  .Lmended
.Lin_slot:
    mov  r15, [descriptor]
    mov  r14, [r8]
    cmp  r14, [r15 + CASE_KERNEL]
    jb   .Lelsewhere
    cmp  r14, [r15 + CASE_USER_END]
    jb   .Lmended
    cmp  r10d, 2                        # NMIs and TF may come anywhere
    jbe  .Lmended
.Lelsewhere:
    cmp  r10d, 2
    jbe  .Lmended
    test byte ptr [r8 + 8], 3
    jnz  .Luser
    cmp  r9, [r15 + CASE_KERNEL]
    jb   end_case
    cmp  r9, [r15 + CASE_KERNEL_END]
    jae  end_case
    mov  [r8], r9
    jmp  .Lmended
.Luser:
    cmp  r9, [r15 + CASE_USER]
    jb   end_case
    cmp  r9, [r15 + CASE_USER_END]
    jae  end_case
    mov  [r8], r9
.Lmended:
    cmp  r10d, 8                        # #DF: the stack is probably bad
    jne  .Lleave
    test byte ptr [r8 + 8], 3
    jnz  .Lleave
    mov  qword ptr [r8 + 24], offset kernel_stack_top
.Lleave:
    mov  rsp, r8
handler_return:
    iretq

.macro stub vector
stub_\vector:
    mov  r10d, \vector
    jmp  handler
    .pushsection .rodata
    .if \vector == START
    .quad start_handler
    .elseif \vector == FINISH
    .quad end_case
    .elseif \vector == SUMS
    .quad next_case
    .elseif \vector == BACK
    .quad back_handler
    .else
    .quad stub_\vector
    .endif
    .popsection
.endm

.section .rodata
.balign 8
fault_vectors:
    .long 0x000b7de1                    # 0, 5 to 8, 10 to 14, 16, 17, 19
stubs:
.text
.altmacro
.set n, 0
.rept VECTORS
    stub %n
    .set n, n + 1
.endr
.noaltmacro

# ---- tables ---------------------------------------------------------------------------------------------------------

.section .data
.balign 16
pristine_gdt:
    .quad 0
    .quad 0x00af9b000000ffff            # 0x08 kernel code, 64-bit
    .quad 0x00cf93000000ffff            # 0x10 kernel data
    .quad 0x00cffb000000ffff            # 0x18 user code, 32-bit
    .quad 0x00cff3000000ffff            # 0x20 user data
    .quad 0x00affb000000ffff            # 0x28 user code, 64-bit
    .quad 0x0000890000000067            # 0x30 TSS
    .quad 0
    .quad 0x00af1b000000ffff            # 0x40 kernel code, not present
    .quad 0x00cf13000000ffff            # 0x48 kernel data, not present
    .quad 0x00cf73000000ffff            # 0x50 user data, not present
    .quad 0x00af9f000000ffff            # 0x58 kernel code, conforming
    .quad 0x00ef9b000000ffff            # 0x60 code with L = D = 1
    .quad 0x00cff1000000ffff            # 0x68 user data, read-only
    .quad 0x00af7b000000ffff            # 0x70 user code, not present
    .quad 0x00cf9b000000ffff            # 0x78 kernel code, 32-bit
GDT_BYTES = . - pristine_gdt
gdt_pointer:
    .word GDT_BYTES - 1
    .quad gdt
.balign 8
whole_idt_pointer:
    .word 16 * VECTORS - 1
    .quad idt
.balign 8
case_idt_pointer:
    .word 0
    .quad idt

.macro table name
    .balign 4096
\name:
    .set .Ltable, \name
.endm
.macro entry index, value
    .org .Ltable + 8 * \index
    .quad \value
.endm
.macro end_table
    .org .Ltable + 4096
.endm
table pml4
    entry 0, pdpt + TABLE
end_table
table pdpt
    entry 0, pd + TABLE
    entry 3, apic_pd + TABLE
end_table
table pd
    entry 0, low_pt + TABLE
    entry 2, test_pt + TABLE
end_table
table apic_pd
    entry 0x1f7, 0xfee00000 + HUGE + WRITE + PRESENT + 0x18
end_table
table low_pt
    entry 0, 0
    .set .Lframe, 1
    .rept 511
    .quad (.Lframe << 12) + WRITE + PRESENT
    .set .Lframe, .Lframe + 1
    .endr
end_table

.section .bss
.balign 4096
test_pt:
    .skip 4096
test_frames:
    .skip 4096 * TEST_FRAMES
stacks:
    .skip 4096
kernel_stack_top:
    .skip 4096
safe_stack_top:
.irp n, 1, 2, 3, 4
    .skip 4096
ist_\n\()_top:
.endr
    .skip 4096
user_marker_stack_top:
    .skip 4096
rsp0_top:
idt:
    .skip 16 * VECTORS
pristine_idt:
    .skip 16 * VECTORS
gdt:
    .skip GDT_BYTES
.balign 16
    .skip 12
tss:
    .skip 104
.balign 8
case:
    .skip 8
descriptor:
    .skip 8
body:
    .skip 8
events:
    .skip 8
nested:
    .skip 8
.text
