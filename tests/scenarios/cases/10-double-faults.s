# The double-fault matrix (SDM vol. 3, "Interrupt 8—Double Fault Exception", table "Conditions for
# Generating a Double Fault"), and nested deliveries on bad stacks. First: benign, contributory, page fault; second the same.

#= F1 benign (NMI), then benign: no delivery raises one; contributory (#NP) is serial
#: source SDM vol. 3, "Interrupt 8"
#: --nmi at=here
    gate_attributes NMI, 0x0e00
here: nop
    expect NP, ec=0x13, nmi=BLOCKED

#= F2 benign (#UD), then a page fault
#: source SDM vol. 3, "Interrupt 8"
    gate UD, unexpected, ist=1
    absent nmi_stack
here: ud2
    expect PF, ec=2, cr2=nmi_stack_top-8

#= F3 benign (#DB trap), then contributory
#: source SDM vol. 3, "Interrupt 8"; DR6 is written all the same
    gate_attributes DB, 0x0e00
    load_flags RFLAGS_TF
here: nop
after: nop
    expect NP, ec=0x0b, rip=after, rflags=RFLAGS_RF+RFLAGS_TF+2, dr6=BS

#= F4 benign (INT 0), then contributory
#: source SDM vol. 3, "Interrupt 8": software interrupts are benign, whatever their vector
    gate_attributes DE, 0x0e00
here: int 0
    expect NP, ec=0x02

#= F5 benign (INT 14), then contributory
#: source SDM vol. 3, "Interrupt 8": software interrupts are benign, whatever their vector
    in_user
here: int 14
    expect_user GP, ec=0x72

#= F5b benign (#AC injected), then contributory
#: source SDM vol. 3, "Interrupt 8"
#: --exception alignment-check@at=here
    gate_attributes AC, 0x0e00
here: nop
    expect NP, ec=17*8+3

#= F6 contributory (#DE), then contributory (#NP)
#: source SDM vol. 3, "Interrupt 8"
    gate_attributes DE, 0x0e00
    xor  ecx, ecx
here: div ecx
    expect DF, ec=0

#= F7 contributory (#TS), then contributory
#: source SDM vol. 3, "Interrupt 8"
#: --nmi at=here
    gate_attributes TS, 0x0e00
    short_tss 0x20
    gate NMI, nmi_entry, ist=3
here: nop
    expect DF, ec=0, nmi=BLOCKED

#= F8 contributory (#NP), then contributory
#: source SDM vol. 3, "Interrupt 8"
    gate_attributes NP, 0x0e00
    gate_attributes SOFT, 0x0e00
here: int 0x28
    expect DF, ec=0

#= F9 contributory (#SS), then contributory
#: source SDM vol. 3, "Interrupt 8"
    gate_attributes SS, 0x0e00
    mov  rbp, NON_CANONICAL
here: mov rax, [rbp]
    expect DF, ec=0

#= F10 contributory (#GP), then contributory
#: source SDM vol. 3, "Interrupt 8"
    gate_attributes GP, 0x0e00
    mov  rbx, NON_CANONICAL
here: mov rax, [rbx]
    expect DF, ec=0

#= F11 contributory (#DE), then a page fault
#: source SDM vol. 3, "Interrupt 8": serial
    gate DE, unexpected, ist=1
    absent nmi_stack
    xor  ecx, ecx
here: div ecx
    expect PF, ec=2, cr2=nmi_stack_top-8

#= F12 a page fault, then contributory
#: source SDM vol. 3, "Interrupt 8"
    gate_attributes PF, 0x0e00
    absent page_a
here: mov [page_a], al
    expect DF, ec=0, cr2=page_a

#= F13 a page fault, then a page fault: CR2 is that of the second
#: source SDM vol. 3, "Interrupt 8"
    gate PF, unexpected, ist=1
    absent nmi_stack
    absent page_a
here: mov [page_a], al
    expect DF, ec=0, cr2=nmi_stack_top-8

#= F14 contributory, page fault, contributory: the page fault is the first of the next pair
#: source SDM vol. 3, "Interrupt 8": #GP and #PF is serial; then #PF and #NP is a double fault
    gate DE, unexpected, ist=1
    absent nmi_stack
    gate_attributes PF, 0x0e00
    xor  ecx, ecx
here: div ecx
    expect DF, ec=0, cr2=nmi_stack_top-8

#= F15 benign (NMI), page fault, page fault
#: source SDM vol. 3, "Interrupt 8"
#: --nmi at=here
    gate NMI, nmi_entry, ist=1
    gate PF, unexpected, ist=1
    absent nmi_stack
here: nop
    expect DF, ec=0, cr2=nmi_stack_top-8, nmi=BLOCKED

#= F16 #DF, then contributory
#: source SDM vol. 3, "Interrupt 8": shutdown
    gate_attributes PF, 0x0e00
    gate_attributes DF, 0x0e00
    absent page_a
here: mov [page_a], al
    shuts_down cr2=page_a

#= F17 #DF, then a page fault
#: source SDM vol. 3, "Interrupt 8": shutdown
    gate_attributes PF, 0x0e00
    gate DF, unexpected, ist=1
    absent nmi_stack
    absent page_a
here: mov [page_a], al
    shuts_down cr2=nmi_stack_top-8

#= F18 the history ends at the handler's first instruction
#: source SDM vol. 3, "Interrupt 8": while the first is being delivered
    gate PF, pf_entry
    gate GP, gp_entry
    absent page_a
    mov  rbx, NON_CANONICAL
here: mov al, [page_a]
pf_entry: mov rax, [rbx]
gp_entry: mov al, [page_a]
    expect PF, ec=0, cr2=page_a
    expect GP, ec=0, rip=pf_entry, rsp=kernel_stack_top-48
    expect PF, ec=0, rip=gp_entry, rsp=kernel_stack_top-96

#= F19 an interrupt, then contributory: the interrupt is gone
#: source SDM vol. 3, "Interrupt 8"; vol. 2, INT n
#: --irq 0x21@at=here
    gate_attributes IRQ, 0x0e00
    gate NP, np_entry
    load_flags RFLAGS_IF
here: nop
    jmp  done
np_entry: add rsp, 8
    iretq
    expect NP, ec=0x10b, rflags=RFLAGS_IF+RFLAGS_RF+2
    reaches done, rflags=RFLAGS_IF+2

#= F20 #DF on the bad stack itself
#: source SDM vol. 3, "Interrupt 8": without an IST nothing is left
    absent page_a
    absent user_stack
    mov  rsp, offset page_b
here: mov al, [user_stack]
    shuts_down rsp=page_b, cr2=page_b-8

#= F21 a nested page fault at CPL 3: RSP0 is absent, #DF has an IST
#: source SDM vol. 3, "Interrupt 8": the frame is that of CPL 3
    mov  qword ptr [tss + TSS_RSP0], offset page_b
    absent page_a
    gate DF, unexpected, ist=2
    in_user
here: mov al, [user_stack - 4096]
    expect_user DF, ec=0, cr2=page_b-8, ist=2

#= F22 contributory (#CP), then contributory
#: source SDM vol. 3, "Interrupt 8"; "Interrupt 21"
#: --exception control-protection@at=here,ec=1
    gate_attributes CP, 0x0e00
here: nop
    expect DF, ec=0

#= F23 #VE is classed with page faults: then contributory
#: source SDM vol. 3, "Interrupt 8"; "Interrupt 20"
#: --exception virtualization@at=here
    gate_attributes VE, 0x0e00
here: nop
    expect DF, ec=0

#= F24 #VE, then a page fault
#: source SDM vol. 3, "Interrupt 8"
#: --exception virtualization@at=here
    gate VE, unexpected, ist=1
    absent nmi_stack
here: nop
    expect DF, ec=0, cr2=nmi_stack_top-8

#= F25 #VC, then contributory: AMD's alone is contributory
#: source APM vol. 2, 8.2.9 (#DF)
#: cpu intel
#: cpu amd
#: --exception vmm-communication@at=here,ec=0x81
    gate_attributes VC, 0x0e00
here: nop
.if AMD
    expect DF, ec=0
.else
    expect NP, ec=29*8+3
.endif

#= F26 #SX, then contributory: AMD's alone is contributory
#: source APM vol. 2, 8.2.9 (#DF)
#: cpu intel
#: cpu amd
#: --exception security@at=here,ec=1
    gate_attributes SX, 0x0e00
here: nop
.if AMD
    expect DF, ec=0
.else
    expect NP, ec=30*8+3
.endif
