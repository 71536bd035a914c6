# Every error of every step of delivery, in the order of the steps (SDM vol. 2, INT n,
# IA-32E-MODE). Hardware events have EXT = 1, software interrupts EXT = 0.

#= D1 INTO in 64-bit mode
#: source SDM vol. 2, INT n: #UD
here: .byte 0xce
    expect UD

#= D2a a vector behind the limit of the IDT: an interrupt
#: source SDM vol. 2, INT n: #GP(error_code(vector, 1, EXT))
#: --irq 0x80@at=here
    load_flags RFLAGS_IF
here: nop
    expect GP, ec=0x403, rflags=RFLAGS_IF+RFLAGS_RF+2

#= D2b a vector behind the limit of the IDT: INT n
#: source SDM vol. 2, INT n: EXT = 0, the saved RIP is the instruction's
here: int 0x80
    expect GP, ec=0x402

#= D2c the limit cuts off the last byte of the gate
#: source SDM vol. 2, INT n: the whole gate must lie within
    gate SOFT, unexpected
    idt_limit 16*0x28+15
here: int 0x28
    expect GP, ec=0x142

#= D2d the limit is the last byte of the gate
#: source SDM vol. 2, INT n
    gate SOFT, unexpected
    idt_limit 16*0x28+16
here: int 0x28
after: nop
    expect SOFT, rip=after

#= D3a the gate's page is not present: an implicit read
#: source SDM vol. 2, INT n; vol. 3, "Page-Fault Exceptions": U/S = 0 at CPL 3 too
    two_page_idt
    in_user
here: int 0x28
    expect_user PF, ec=0, cr2=page_b+8

#= D3b a gate that begins in a present page and ends in an absent one
#: source SDM vol. 2, INT n
    two_page_idt
here: int 0x27
    expect PF, ec=0, cr2=page_b

#= D3c an IDT with a non-canonical base
#: source SDM vol. 2, INT n: #GP, which cannot be delivered either
    mov  rax, NON_CANONICAL - 16*3
    mov  [idt_pointer + 2], rax
    lidt [idt_pointer]
    load_flags 0
here: int3
    shuts_down

#= D4a a gate of type 12 (call gate)
#: source SDM vol. 2, INT n: #GP(error_code(vector, 1, EXT))
    gate_attributes SOFT, 0x8c00
here: int 0x28
    expect GP, ec=0x142

#= D4b a gate of type 5 (task gate), for an NMI
#: source SDM vol. 2, INT n: there is no task switch in IA-32e mode
#: --nmi at=here
    gate_attributes NMI, 0x8500
here: nop
    expect GP, ec=0x13, nmi=BLOCKED

#= D4c a 16-bit interrupt gate (type 6)
#: source SDM vol. 2, INT n
    gate_attributes SOFT, 0x8600
here: int 0x28
    expect GP, ec=0x142

#= D4d a gate with S = 1
#: source SDM vol. 2, INT n
    gate_attributes SOFT, 0x9e00
here: int 0x28
    expect GP, ec=0x142

#= D4e a trap gate leaves IF
#: source SDM vol. 2, INT n
    gate SOFT, unexpected
    gate_attributes SOFT, 0x8f00
    load_flags RFLAGS_IF
here: int 0x28
after: nop
    expect SOFT, rip=after, rflags=RFLAGS_IF+2

#= D5a INT n at CPL 3 through a gate of DPL 3
#: source SDM vol. 2, INT n
    gate SOFT, unexpected, dpl=3
    in_user
here: int 0x28
after: nop
    expect_user SOFT, rip=after

#= D5b INT n at CPL 3 through a gate of DPL 2
#: source SDM vol. 2, INT n: DPL < CPL
    gate SOFT, unexpected, dpl=2
    in_user
here: int 0x28
    expect_user GP, ec=0x142

#= D5c an exception at CPL 3 through a gate of DPL 0
#: source SDM vol. 2, INT n: DPL counts for INT n, INT3 and INTO alone
    in_user
here: ud2
    expect_user UD

#= D5d INT 13 at CPL 0: no error code is pushed
#: source SDM vol. 2, INT n; vol. 3, "Error Code": software interrupts push none
here: int 13
after: nop
    expect GP, rip=after, rflags=2

#= D6 INT n through a gate that is not present
#: source SDM vol. 2, INT n: #NP(error_code(vector, 1, EXT))
    gate_attributes SOFT, 0x0e00
here: int 0x28
    expect NP, ec=0x142

#= D7a a null selector in the gate
#: source SDM vol. 2, INT n: #GP(EXT)
#: --nmi at=here
    gate NMI, nmi_entry
    gate_selector NMI, 3
here: nop
    expect GP, ec=1, nmi=BLOCKED

#= D7b a selector behind the limit of the GDT
#: source SDM vol. 2, INT n: #GP(error_code(CS, 0, EXT))
#: --nmi at=here
    gate NMI, nmi_entry
    gate_selector NMI, 0x40
here: nop
    expect GP, ec=0x41, nmi=BLOCKED

#= D7c a selector in an LDT that is null; INT n
#: source SDM vol. 2, INT n: TI in the error code, EXT = 0
    xor  eax, eax
    lldt ax
    gate SOFT, unexpected
    gate_selector SOFT, 0x0c
here: int 0x28
    expect GP, ec=0x0c

#= D7d a data segment in the gate
#: source SDM vol. 2, INT n
#: --nmi at=here
    gate NMI, nmi_entry
    gate_selector NMI, KERNEL_DS
here: nop
    expect GP, ec=KERNEL_DS+1, nmi=BLOCKED

#= D7e a TSS in the gate
#: source SDM vol. 2, INT n
    gate SOFT, unexpected
    gate_selector SOFT, TSS_SELECTOR
here: int 0x28
    expect GP, ec=TSS_SELECTOR

#= D7f a code segment of DPL 3 at CPL 0
#: source SDM vol. 2, INT n: DPL > CPL
    gate SOFT, unexpected
    gate_selector SOFT, USER_CS
here: int 0x28
    expect GP, ec=0x28

#= D7g a 32-bit code segment
#: source SDM vol. 2, INT n: L must be 1
    gate SOFT, unexpected
    descriptor 0x38, 0x00cf9b000000ffff
    gate_selector SOFT, 0x38
here: int 0x28
    expect GP, ec=0x38

#= D7h a code segment that is not present
#: source SDM vol. 2, INT n: #NP(error_code(CS, 0, EXT))
#: --nmi at=here
    gate NMI, nmi_entry
    descriptor 0x38, 0x00af1b000000ffff
    gate_selector NMI, 0x38
here: nop
    expect NP, ec=0x39, nmi=BLOCKED

#= D7i the page of the descriptor is not present
#: source SDM vol. 2, INT n; vol. 3, "Page-Fault Exceptions": an implicit supervisor-mode access
    gate SOFT, unexpected
    split_gdt
    gate_selector SOFT, USER_DS
    absent page_b
here: int 0x28
    expect PF, ec=0, cr2=page_b

#= D8 a conforming code segment: CPL stays, and so does the stack
#: source SDM vol. 2, INT n: the new CPL is the old one; CS.RPL is set to it
    gate SOFT, unexpected
    descriptor 0x38, 0x00af9f000000ffff
    gate_selector SOFT, 0x38
here: int 0x28
after: nop
    expect SOFT, rip=after

#= D9a a TSS that ends inside RSP0
#: source SDM vol. 2, INT n: #TS(error_code(TR, 0, EXT)), which needs an IST of its own
#: --irq 0x21@at=here
    short_tss 10
    in_user RFLAGS_IF+2
here: nop
    shuts_down cs=USER_CS, rflags=RFLAGS_IF+2, rsp=user_stack_top, ss=USER_DS

#= D9b a TSS that ends with IST3's last byte
#: source SDM vol. 2, INT n
#: --nmi at=here
    short_tss TSS_IST1+2*8+7
    gate NMI, nmi_entry, ist=3
here: nop
    expect NMI, ist=3

#= D9c and one byte before it
#: source SDM vol. 2, INT n: #TS(error_code(TR, 0, EXT))
    short_tss TSS_IST1+2*8+6
    gate SOFT, unexpected, ist=3
here: int 0x28
    expect TS, ec=TSS_SELECTOR

#= D9d the TSS's page is not present
#: source SDM vol. 2, INT n; vol. 3, "Page-Fault Exceptions": an implicit supervisor-mode read
#: --nmi at=here
    far_tss page_b
    absent page_b
    gate NMI, nmi_entry, ist=3
here: nop
    expect PF, ec=0, cr2=page_b+TSS_IST1+16, nmi=BLOCKED

#= D9e a slot of the TSS that crosses into an absent page
#: source SDM vol. 2, INT n; vol. 3, "Page-Fault Exceptions"
#: --nmi at=here
    far_tss page_b-TSS_IST1-20
    absent page_b
    gate NMI, nmi_entry, ist=3
here: nop
    expect PF, ec=0, cr2=page_b, nmi=BLOCKED

#= D10a a non-canonical IST
#: source SDM vol. 2, INT n: #SS(EXT)
#: --nmi at=here
    mov  rax, 0x900000000000
    mov  [tss + TSS_IST1], rax
    gate NMI, nmi_entry, ist=1
here: nop
    expect SS, ec=1, nmi=BLOCKED

#= D10b a non-canonical IST for INT n
#: source SDM vol. 2, INT n: #SS(EXT), EXT = 0
    mov  rax, 0x900000000000
    mov  [tss + TSS_IST1], rax
    gate SOFT, unexpected, ist=1
here: int 0x28
    expect SS, ec=0

#= D10c RSP0 is 2^47, and the first push goes to 2^47 - 8
#: source SDM vol. 2, INT n: #SS(EXT) if the new RSP is not canonical; open is whether before or by the pushes
#: cpu intel
#: cpu intel tss-rsp-checked=false
#: --irq 0x21@at=here
    gate IRQ, unexpected
    gate SS, unexpected, ist=4
    gate PF, unexpected, ist=4
    mov  rax, 1 << 47
    mov  [tss + TSS_RSP0], rax
    in_user RFLAGS_IF+2
here: nop
.if tss_rsp_checked
    expect_user SS, ec=1, ist=4, rflags=RFLAGS_IF+RFLAGS_RF+2
.else
    expect_user PF, ec=2, cr2=(1<<47)-8, ist=4, rflags=RFLAGS_IF+RFLAGS_RF+2
.endif

#= D10d RSP0 is 2^47 + 16: each push is refused
#: source SDM vol. 2, INT n: #SS(EXT)
#: cpu intel
#: cpu intel tss-rsp-checked=false
#: --irq 0x21@at=here
    gate IRQ, unexpected
    gate SS, unexpected, ist=4
    mov  rax, (1 << 47) + 16
    mov  [tss + TSS_RSP0], rax
    in_user RFLAGS_IF+2
here: nop
    expect_user SS, ec=1, ist=4, rflags=RFLAGS_IF+RFLAGS_RF+2

#= D11 a gate with a non-canonical offset for INT n
#: source SDM vol. 2, INT n: #GP(EXT), EXT = 0
    gate SOFT, unexpected
    gate_non_canonical SOFT
here: int 0x28
    expect GP, ec=0

#= D12 an IST that is not aligned
#: source SDM vol. 3, "64-Bit Mode Stack Frame": RSP AND NOT 15
#: --nmi at=here
    mov  qword ptr [tss + TSS_IST1], offset nmi_stack_top - 1
    gate NMI, nmi_entry, ist=1
here: nop
    expect NMI, ist=1

#= D13a pushes onto a read-only stack
#: source SDM vol. 3, "Page-Fault Exceptions": P and W/R, supervisor at the new CPL
#: --nmi at=here
    gate NMI, nmi_entry, ist=1
    map  nmi_stack, PRESENT
    in_user
here: nop
    expect_user PF, ec=3, cr2=nmi_stack_top-8, nmi=BLOCKED

#= D13b pushes onto a user page with SMAP and AC = 0
#: source SDM vol. 3, "Access Rights": P and W/R
#: --nmi at=here
    gate NMI, nmi_entry, ist=1
    map  nmi_stack, PRESENT+WRITE+USER
    set_bits cr4, CR4_SMAP
here: nop
    expect PF, ec=3, cr2=nmi_stack_top-8, nmi=BLOCKED

#= D13d pushes onto a user page with SMAP and AC = 1
#: source SDM vol. 3, "Access Rights": AC counts for explicit accesses alone; pushes are in no list
#: --nmi at=here
#: cpu intel
#: cpu intel frame-pushes-implicit=true
    gate NMI, nmi_entry, ist=1
    map  nmi_stack, PRESENT+WRITE+USER
    set_bits cr4, CR4_SMAP
    load_flags RFLAGS_AC
here: nop
.if frame_pushes_implicit
    expect PF, ec=3, cr2=nmi_stack_top-8, rflags=RFLAGS_AC+RFLAGS_RF+2, nmi=BLOCKED
.else
    expect NMI, ist=1, rflags=RFLAGS_AC+2
.endif

#= D13e pushes of INT n at CPL 3 to a handler at CPL 3 onto a read-only stack
#: source SDM vol. 3, "Access Rights": explicit at CPL 3 is user-mode, implicit supervisor-mode
#: cpu intel
#: cpu intel frame-pushes-implicit=true
    gate SOFT, unexpected, dpl=3
    gate_selector SOFT, USER_CS
    map  user_stack, PRESENT
    in_user
here: int VECTOR_SOFT
.if frame_pushes_implicit
    expect_user PF, ec=3, cr2=user_stack_top-8
.else
    expect_user PF, ec=7, cr2=user_stack_top-8
.endif

#= D13c pushes onto a non-canonical stack at the same privilege
#: source SDM vol. 2, INT n: #SS(EXT)
#: --nmi at=here
    gate NMI, nmi_entry
    gate SS, unexpected, ist=4
    mov  rsp, NON_CANONICAL + 0x1000
here: nop
    expect SS, ec=1, rsp=NON_CANONICAL+0x1000, ist=4, nmi=BLOCKED

#= D14 AC, DF, IOPL, ID and the status flags survive a delivery
#: source SDM vol. 2, INT n: only IF, TF, NT, RF and VM are cleared
#: --nmi at=here
    gate NMI, nmi_entry
    load_flags 0x244400+0x3000
here: nop
    expect NMI, rflags=0x247402

#= D15 a #DB that hits while its frame is written comes at the handler's entry
#: source SDM vol. 3, "Data Memory and I/O Breakpoint Exception Conditions"; "Prioritization of Concurrent Events"
#: --nmi at=here
    gate NMI, nmi_entry, ist=1
    gate DB, unexpected, ist=3
    mov  eax, offset nmi_stack_top - 8
    mov  dr0, rax
    mov  eax, 0x90001
    mov  dr7, rax
here: nop
    expect NMI, ist=1
    expect DB, rip=nmi_entry, rsp=nmi_stack_top-40, dr6=B0, ist=3, nmi=BLOCKED
