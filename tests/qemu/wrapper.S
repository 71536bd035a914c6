# wrapper: takes QEMU from its reset to the state in which the machine starts an image
#
# For QEMU alone, in the place of its firmware, which would take two seconds. The image, its page tables and its GDT are in
# RAM already, put there by QEMU's generic loader; this only loads registers: those that SDM vol. 3, 10.8.5 "Initializing
# IA-32e Mode" has in its order, then the rest. The test defines START_RIP, START_RSP, START_CR0, START_CR3, START_CR4,
# START_EFER, START_GDT and START_GDT_LIMIT.
#
# It is a ROM of 64 KiB that ends at 4 GiB, and at 1 MiB: there the image's page tables map it at its own address.

.intel_syntax noprefix

CODE = 0x08
DATA = 0x10
IA32_EFER = 0xc0000080

.text
.code16
rom:
real_mode:
    cli
    mov  al, 0xff                       # both PICs: no interrupt but the image's own
    out  0x21, al
    out  0xa1, al
    mov  ax, 0xf000
    mov  ds, ax
    data32 lgdt [own_gdt_pointer - rom]
    mov  eax, cr0
    or   eax, 1
    mov  cr0, eax
    data32 ljmp CODE, offset protected_mode

.code32
protected_mode:
    mov  eax, DATA
    mov  ds, eax
    mov  eax, START_CR4
    mov  cr4, eax
    mov  eax, START_CR3
    mov  cr3, eax
    mov  ecx, IA32_EFER
    xor  edx, edx
    mov  eax, START_EFER & ~0x400       # LMA follows from PG
    wrmsr
    mov  eax, START_CR0
    mov  cr0, eax
    lgdt [start_gdt_pointer]
    ljmp CODE, offset long_mode

.code64
long_mode:
    mov  eax, DATA
    mov  ds, eax
    mov  es, eax
    mov  fs, eax
    mov  gs, eax
    mov  ss, eax
    xor  eax, eax
    lldt ax
    lidt [no_idt]
    mov  rsp, START_GDT                 # the end of the stack of the start-up area
    push 2
    xor  eax, eax
    xor  ecx, ecx
    xor  edx, edx
    xor  ebx, ebx
    xor  ebp, ebp
    xor  esi, esi
    xor  edi, edi
    xor  r8d, r8d
    xor  r9d, r9d
    xor  r10d, r10d
    xor  r11d, r11d
    xor  r12d, r12d
    xor  r13d, r13d
    xor  r14d, r14d
    xor  r15d, r15d
    popfq
    mov  rsp, START_RSP
    jmp  [start_rip]

.balign 8
own_gdt:
    .quad 0
    .quad 0x00cf9b000000ffff            # code, 32-bit
    .quad 0x00cf93000000ffff            # data
own_gdt_pointer:
    .word own_gdt_pointer - own_gdt - 1
    .long own_gdt
start_gdt_pointer:
    .word START_GDT_LIMIT
    .long START_GDT
no_idt:
    .word 0
    .quad 0
start_rip:
    .quad START_RIP

.org 0xfff0
.code16
    jmp  real_mode
.org 0x10000
