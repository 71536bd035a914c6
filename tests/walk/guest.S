# Executes a script: quadwords of operation and argument at SCRIPT, up to operation 0. Each access to the target leaves
# five quadwords at LOG: its result (bit 63: #PF, with the error code), CR2, the PDE and both PTEs.

SCRIPT = 0x200000
LOG = 0x280000
TARGET = 0x40000000                 # a PDE of its own; its PTEs 0 and 5
VECTOR_DONE = 0x2f

    lgdt [script_gdt_pointer]
    mov  eax, 0x40
    lldt ax
    gate PF, pf_entry
    gate DONE, done_entry, dpl=3
    allow_user stubs
    mov  qword ptr [low_pdpt + 8], offset target_pd + TABLE
    mov  r15d, SCRIPT
    mov  r14d, LOG
    jmp  next

# Address, value and LDT selector to rdi, sil and ecx; RFLAGS with the wanted AC to rax.
.macro operands
    mov  edi, ebx
    mov  rsi, rbx
    shr  rsi, 40
    lea  ecx, [rdi - TARGET + 4]
    mov  rax, rbx
    shr  rax, 14
    and  eax, RFLAGS_AC
    or   eax, 2
.endm

.macro as_kernel
    operands
    push rax
    popfq
.endm

.macro as_user rip
    operands
    push USER_DS
    push offset user_stack_top
    push rax
    push USER_CS
    push \rip
    iretq
.endm

next:
    mov  rax, [r15]
    mov  rbx, [r15 + 8]
    add  r15, 16
    jmp  [operations + rax * 8]

set_cr0:
    mov  cr0, rbx
    jmp  next
set_cr3:
    mov  cr3, rbx
    jmp  next
set_cr4:
    mov  cr4, rbx
    jmp  next
set_pkru:
    xor  ecx, ecx
    xor  edx, edx
    mov  eax, ebx
    wrpkru
    jmp  next
set_efer:
    mov  ecx, 0xc0000080
    xor  edx, edx
    mov  eax, ebx
    wrmsr
    jmp  next
set_pde:
    mov  [target_pd], rbx
    jmp  next
set_pte_0:
    mov  [target_pt], rbx
    jmp  next
set_pte_5:
    mov  [target_pt + 5 * 8], rbx
    jmp  next
one_page:
    invlpg [rbx]
    jmp  next
by_pcid:                            # type 7:0, PCID 19:8, address 63:32
    mov  edx, ebx
    and  edx, 0xff
    mov  eax, ebx
    shr  eax, 8
    mov  [invpcid_descriptor], rax
    shr  rbx, 32
    mov  [invpcid_descriptor + 8], rbx
    invpcid rdx, [invpcid_descriptor]
    jmp  next

kernel_reads:
    as_kernel
    movzx eax, byte ptr [rdi]
    jmp  done
kernel_writes:
    as_kernel
    mov  [rdi], sil
    xor  eax, eax
    jmp  done
kernel_fetches:
    as_kernel
    call rdi
    jmp  done
kernel_implies:
    as_kernel
    verr cx
    xor  eax, eax
    jmp  done
user_reads:
    as_user "offset read_stub"
user_writes:
    as_user "offset write_stub"
user_fetches:
    as_user rdi
user_implies:
    as_user "offset implied_stub"

.macro back_to_next
    mov  qword ptr [rsp], offset record
    mov  qword ptr [rsp + 8], KERNEL_CS
    mov  qword ptr [rsp + 16], 2
    mov  qword ptr [rsp + 24], offset kernel_stack_top
    mov  qword ptr [rsp + 32], KERNEL_DS
    iretq
.endm

done_entry:
    mov  [r14], rax
    mov  qword ptr [r14 + 8], 0
    back_to_next
pf_entry:
    pop  rax
    bts  rax, 63
    mov  [r14], rax
    mov  rax, cr2
    mov  [r14 + 8], rax
    back_to_next

done:
    mov  [r14], rax
    mov  qword ptr [r14 + 8], 0
record:
    mov  rax, [target_pd]
    mov  [r14 + 16], rax
    mov  rax, [target_pt]
    mov  [r14 + 24], rax
    mov  rax, [target_pt + 5 * 8]
    mov  [r14 + 32], rax
    add  r14, 40
    jmp  next

.balign 4096
stubs:
read_stub:
    movzx eax, byte ptr [rdi]
    int  VECTOR_DONE
write_stub:
    mov  [rdi], sil
    xor  eax, eax
    int  VECTOR_DONE
implied_stub:
    verr cx
    mov  eax, 0
    int  VECTOR_DONE
.balign 4096

end:
    mov  al, EXIT_SUCCESS
    jmp  debug_exit

.section .data
.balign 16
operations:
    .quad end, set_cr0, set_cr3, set_cr4, set_pkru, set_efer, set_pde, set_pte_0, set_pte_5, one_page, by_pcid
    .quad kernel_reads, kernel_writes, kernel_fetches, kernel_implies
    .quad user_reads, user_writes, user_fetches, user_implies
invpcid_descriptor:
    .quad 0, 0
script_gdt:
    .quad 0
    .quad 0x00af9b000000ffff
    .quad 0x00cf93000000ffff
    .quad 0x00cffb000000ffff
    .quad 0x00cff3000000ffff
    .quad 0x00affb000000ffff
    .quad 0, 0                      # the TSS has been loaded from the other table
    .quad 0x400082000000ffff, 0     # 0x40 LDT: 64 KiB from TARGET on
script_gdt_pointer:
    .word script_gdt_pointer - script_gdt - 1
    .quad script_gdt
.section .bss
.balign 4096
.globl target_pt
target_pd:
    .skip 4096
target_pt:
    .skip 4096
.text
