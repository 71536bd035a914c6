# Delivery through the IDT (SDM vol. 2, INT n; vol. 3, "Exception and Interrupt
# Handling in 64-bit Mode").

#= 10 INT 0x80 at CPL 3 through a gate of DPL 0
#: source SDM vol. 2, INT n: #GP(error_code(vector, 1, 0))
    VECTOR_X80 = 0x80
    idt_limit 16*0x81
    gate X80, unexpected
    in_user
here: int 0x80
    expect_user GP, ec=0x402

#= 11 INT3 at CPL 3 through a gate of DPL 0
#: source SDM vol. 2, INT n: #GP(error_code(vector, 1, 0))
    in_user
here: int3
    expect_user GP, ec=0x1a

#= 12 INT1 at CPL 3 through a gate of DPL 0
#: source SDM vol. 2, INT n: no DPL check for INT1; vol. 3, "Debug Status Register (DR6)": no bit is for it
    gate DB, unexpected
    in_user
here: .byte 0xf1
after: nop
    expect_user DB, rip=after

#= 13 #UD through a gate that is not present
#: source SDM vol. 2, INT n; vol. 3, "Interrupt 8": benign and contributory is serial
    gate_attributes UD, 0x0e00
here: ud2
    expect NP, ec=0x33

#= 14 #GP on a stack that is not present
#: source SDM vol. 3, "Interrupt 8": contributory and page fault is serial
    gate PF, unexpected, ist=4
    absent page_a
    mov  rsp, offset page_b
    mov  rbx, NON_CANONICAL
here: mov rax, [rbx]
    expect PF, ec=2, cr2=page_b-8, rsp=page_b, ist=4

#= 15 #PF on a stack that is not present
#: source SDM vol. 3, "Interrupt 8": page fault and page fault
    gate DF, unexpected, ist=2
    absent page_a
    absent user_stack
    mov  rsp, offset page_b
here: mov al, [user_stack]
    expect DF, ec=0, cr2=page_b-8, rsp=page_b, ist=2

#= 16a #PF behind the limit of the IDT
#: source SDM vol. 3, "Interrupt 8": page fault and contributory
    idt_limit 16*14
    absent page_a
here: mov al, [page_a]
    expect DF, ec=0, cr2=page_a

#= 16b the same, and a bad gate for #DF
#: source SDM vol. 3, "Interrupt 8": shutdown
    idt_limit 16*14
    gate_attributes DF, 0
    absent page_a
here: mov al, [page_a]
    shuts_down cr2=page_a

#= 17 an NMI gate with a non-canonical offset: no frame is written
#: source SDM vol. 2, INT n: #GP(EXT)
#: --nmi at=here
    gate NMI, nmi_entry, ist=1
    gate_non_canonical NMI
here: nop
    expect GP, ec=1, nmi=BLOCKED

#= 18 a non-canonical RSP0 for an interrupt at CPL 3
#: source SDM vol. 2, INT n: #SS(EXT)
#: --irq 0x21@at=here
    gate SS, unexpected, ist=4
    gate IRQ, unexpected
    mov  rax, 0x900000000000
    mov  [tss + TSS_RSP0], rax
    in_user RFLAGS_IF+2
here: nop
    expect_user SS, ec=1, ist=4, rflags=RFLAGS_IF+RFLAGS_RF+2

#= 19 a TSS that ends before IST3
#: source SDM vol. 2, INT n: #TS(error_code(TR, 0, EXT))
#: --nmi at=here
    short_tss 0x20
    gate NMI, nmi_entry, ist=3
here: nop
    expect TS, ec=TSS_SELECTOR+1, nmi=BLOCKED

#= 20 a gate to a code segment with L = D = 1
#: source SDM vol. 2, INT n: #GP(error_code(CS, 0, EXT))
#: --nmi at=here
    gate NMI, nmi_entry
    descriptor 0x38, 0x00ef9b000000ffff
    gate_selector NMI, 0x38
here: nop
    expect GP, ec=0x39, nmi=BLOCKED

#= 21 #PF at CPL 0 pushes RF = 1
#: source SDM vol. 3, "Instruction-Breakpoint Exception Condition"
    absent page_a
here: mov al, [page_a]
    expect PF, ec=0, cr2=page_a, rflags=RFLAGS_RF+2
