# Every error of every step of IRET (SDM vol. 2, IRET/IRETD/IRETQ, IA-32e mode). On a fault nothing
# has changed: RIP is the IRET, RSP, CS and SS are as before.

#= I2a a non-canonical stack
#: source SDM vol. 2, IRET: #SS(0)
    gate SS, unexpected, ist=4
    mov  rsp, NON_CANONICAL + 0x1000
here: iretq
    expect SS, ec=0, rsp=NON_CANONICAL+0x1000, ist=4

#= I2b a frame that ends behind the canonical addresses
#: source SDM vol. 2, IRET: #SS(0)
    gate SS, unexpected, ist=4
    # The last slot, SS, is the first that is not canonical; the rest is mapped.
    mov  qword ptr [low_pdpt + 8*511], offset low_pd + TABLE
    mov  qword ptr [kernel_pml4 + 8*255], offset low_pdpt + TABLE
    mov  qword ptr [low_pd + 8*511], offset low_pt + TABLE
    mov  rcx, offset page_a + PRESENT + WRITE
    mov  [low_pt + 8*511], rcx
    mov  qword ptr [page_a + 4096 - 32], offset done
    mov  qword ptr [page_a + 4096 - 24], KERNEL_CS
    mov  qword ptr [page_a + 4096 - 16], 2
    mov  rsp, NON_CANONICAL - 32
here: iretq
    expect SS, ec=0, rsp=NON_CANONICAL-32, ist=4

#= I2c a frame in an absent page, at CPL 3
#: source SDM vol. 2, IRET; vol. 3, "Page-Fault Exceptions": U/S
    absent page_a
    in_user
    mov  rsp, offset page_a
here: iretq
    expect_user PF, ec=4, cr2=page_a, rsp=page_a

#= I2d a frame on a user page at CPL 0, SMAP = 1, AC = 0
#: source SDM vol. 2, IRET; vol. 3, "Access Rights"
    gate PF, unexpected, ist=4
    allow_user page_a
    set_bits cr4, CR4_SMAP
    mov  rsp, offset page_a
here: iretq
    expect PF, ec=1, cr2=page_a, rsp=page_a, ist=4

#= I3 a null CS
#: source SDM vol. 2, IRET: #GP(0)
    frame cs=0
here: iretq
    expect GP, ec=0, rsp=FRAME

#= I3b a null CS with RPL 3
#: source SDM vol. 2, IRET: #GP(0)
    frame cs=3, ss=USER_DS
here: iretq
    expect GP, ec=0, rsp=FRAME

#= I4a CS behind the limit of the GDT
#: source SDM vol. 2, IRET: #GP(CS)
    frame cs=0x40
here: iretq
    expect GP, ec=0x40, rsp=FRAME

#= I4b CS in an LDT that is null
#: source SDM vol. 2, IRET: #GP(CS)
    xor  eax, eax
    lldt ax
    frame cs=0x0c
here: iretq
    expect GP, ec=0x0c, rsp=FRAME

#= I4c CS is a data segment
#: source SDM vol. 2, IRET: #GP(CS)
    frame cs=KERNEL_DS
here: iretq
    expect GP, ec=KERNEL_DS, rsp=FRAME

#= I4d CS is a TSS
#: source SDM vol. 2, IRET: #GP(CS)
    frame cs=TSS_SELECTOR
here: iretq
    expect GP, ec=TSS_SELECTOR, rsp=FRAME

#= I4e the RPL of CS is below CPL
#: source SDM vol. 2, IRET: #GP(CS), without the RPL in the error code
    in_user
    push USER_DS
    push offset user_stack_top
    push 2
    push KERNEL_CS
    push offset done
here: iretq
    expect_user GP, ec=KERNEL_CS, rsp=user_stack_top-40

#= I4f a conforming CS of a DPL above its RPL
#: source SDM vol. 2, IRET: #GP(CS)
    descriptor 0x38, 0x00afff000000ffff
    frame cs=0x38
here: iretq
    expect GP, ec=0x38, rsp=FRAME

#= I4g a conforming CS of a DPL below its RPL
#: source SDM vol. 2, IRET
#: --nmi at=user_start
    gate NMI, nmi_entry
    descriptor 0x38, 0x00af9f000000ffff
    allow_user user_start
    frame rip=user_start, cs=0x3b, sp=user_stack_top, ss=USER_DS
here: iretq
in_kernel
user_start: nop
    expect_user NMI, rip=user_start, cs=0x3b

#= I4h a non-conforming CS of a DPL that is not its RPL
#: source SDM vol. 2, IRET: #GP(CS)
    frame cs=KERNEL_CS+3, ss=USER_DS
here: iretq
    expect GP, ec=KERNEL_CS, rsp=FRAME

#= I4i the descriptor's page is not present
#: source SDM vol. 2, IRET; vol. 3, "Page-Fault Exceptions": an implicit supervisor-mode access
    split_gdt
    absent page_b
    frame cs=USER_CS, ss=USER_DS
here: iretq
    expect PF, ec=0, cr2=page_b+8, rsp=FRAME

#= I5 CS is not present
#: source SDM vol. 2, IRET: #NP(CS)
    descriptor 0x38, 0x00af1b000000ffff
    frame cs=0x38
here: iretq
    expect NP, ec=0x38, rsp=FRAME

#= I7a a null SS at CPL 0 with RPL 0
#: source SDM vol. 2, IRET: allowed in 64-bit mode
    frame rip=target, ss=0
here: iretq
target: nop
    reaches target, ss=0

#= I7b a null SS on the way to CPL 3
#: source SDM vol. 2, IRET: #GP(0)
    frame cs=USER_CS, sp=user_stack_top, ss=0
here: iretq
    expect GP, ec=0, rsp=FRAME

#= I8a SS behind the limit of the GDT
#: source SDM vol. 2, IRET: #GP(SS)
    frame ss=0x40
here: iretq
    expect GP, ec=0x40, rsp=FRAME

#= I8b the RPL of SS is not that of CS
#: source SDM vol. 2, IRET: #GP(SS)
    frame cs=USER_CS, sp=user_stack_top, ss=0x20
here: iretq
    expect GP, ec=0x20, rsp=FRAME

#= I8c SS is a code segment
#: source SDM vol. 2, IRET: #GP(SS)
    frame ss=KERNEL_CS
here: iretq
    expect GP, ec=KERNEL_CS, rsp=FRAME

#= I8d SS is a read-only data segment
#: source SDM vol. 2, IRET: #GP(SS)
    descriptor 0x38, 0x00cf91000000ffff
    frame ss=0x38
here: iretq
    expect GP, ec=0x38, rsp=FRAME

#= I8e the DPL of SS is not the RPL of CS
#: source SDM vol. 2, IRET: #GP(SS)
    frame cs=USER_CS, sp=user_stack_top, ss=KERNEL_DS+3
here: iretq
    expect GP, ec=KERNEL_DS, rsp=FRAME

#= I8f SS in an LDT that is null
#: source SDM vol. 2, IRET: #GP(SS)
    xor  eax, eax
    lldt ax
    frame ss=0x0c
here: iretq
    expect GP, ec=0x0c, rsp=FRAME

#= I9 SS of CPL 3 is not present
#: source SDM vol. 2, IRET: #SS(SS)
    descriptor 0x38, 0x00cf73000000ffff
    frame cs=USER_CS, sp=user_stack_top, ss=0x3b
here: iretq
    expect SS, ec=0x38, rsp=FRAME

#= I10a a non-canonical RIP at CPL 0
#: source SDM vol. 2, IRET: #GP(0)
    frame
    mov  rax, NON_CANONICAL
    mov  [rsp], rax
here: iretq
    expect GP, ec=0, rsp=FRAME

#= I10b a RIP behind the limit of a 32-bit CS
#: source SDM vol. 2, IRET: #GP(0)
    descriptor 0x38, 0x0040fb000000ffff
    frame rip=user_start, cs=0x3b, sp=user_stack_top, ss=USER_DS
here: iretq
user_start: nop
    expect GP, ec=0, rsp=FRAME

#= I10c IRETQ to compatibility mode takes 32 bits of RIP and RSP
#: source SDM vol. 2, IRET
#: --nmi at=user_start
    gate NMI, nmi_entry
    allow_user user_start
    frame cs=USER_CS32, ss=USER_DS
    mov  rax, 0x100000000
    mov  rcx, offset user_start
    add  rcx, rax
    mov  [rsp], rcx
    mov  rcx, offset user_stack_top
    add  rcx, rax
    mov  [rsp + 24], rcx
here: iretq
in_kernel
user_start: nop
    expect_user NMI, rip=user_start, cs=USER_CS32

#= I10d a non-canonical RSP is loaded as it is
#: source SDM vol. 2, IRET: RSP is not checked
#: --nmi at=target
    gate NMI, nmi_entry, ist=1
    frame rip=target
    mov  rax, NON_CANONICAL + 0x1000
    mov  [rsp + 24], rax
here: iretq
target: nop
    expect NMI, rip=target, rsp=NON_CANONICAL+0x1000, ist=1

#= I12a IOPL and IF from CPL 0; VIF, VIP and reserved bits
#: source SDM vol. 2, IRET: IOPL, VIF and VIP are loaded at CPL 0; reserved bits are not
    frame rip=target, flags=0x183202+0x8028
here: iretq
target: nop
    reaches target, rflags=0x183202

#= I12b IF from CPL 3 with IOPL 0 stays, and IOPL too
#: source SDM vol. 2, IRET: IF is loaded if CPL <= IOPL, IOPL if CPL = 0
#: --nmi at=target
    gate NMI, nmi_entry
    in_user RFLAGS_IF+2
    push USER_DS
    push offset user_stack_top
    push 0x3002
    push USER_CS
    push offset target
here: iretq
target: nop
    expect_user NMI, rip=target, rflags=RFLAGS_IF+2

#= I12c IF from CPL 3 with IOPL 3
#: source SDM vol. 2, IRET: IF is loaded if CPL <= IOPL
#: --nmi at=target
    gate NMI, nmi_entry
    in_user 0x3202
    push USER_DS
    push offset user_stack_top
    push 2
    push USER_CS
    push offset target
here: iretq
target: nop
    expect_user NMI, rip=target, rflags=0x3002

#= I12d IRETW leaves RF, AC and ID
#: source SDM vol. 2, IRET: those are loaded with operand sizes of 32 and 64 bits
    mov  rsp, 0x7ff0
    map  0x7000, PRESENT+WRITE
    map  0x6000, PRESENT+WRITE
    mov  word ptr [0x6000], 0x90
    mov  word ptr [rsp - 10], 0x6000
    mov  word ptr [rsp - 8], KERNEL_CS
    mov  word ptr [rsp - 6], 2
    mov  word ptr [rsp - 4], 0x7ff0
    mov  word ptr [rsp - 2], KERNEL_DS
    sub  rsp, 10
    pushfq
    or   qword ptr [rsp], 0x240000
    popfq
here: iretw
    reaches 0x6000, rflags=0x240002, rsp=0x7ff0

#= I13 IRETQ at the same CPL leaves DS, ES, FS and GS
#: source SDM vol. 2, IRET: only a return to an outer level clears them
    mov  eax, USER_DS
    mov  ds, eax
    frame rip=target
here: iretq
target: mov [saved], ds
    jmp  done
    reaches done
    wrote saved, 2
    holds saved, USER_DS
