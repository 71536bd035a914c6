# Shadows in sequence (SDM vol. 3, "Masking Exceptions and Interrupts When Switching Stacks";
# vol. 2, MOV, POP and STI).

#= S1 MOV SS from memory holds an NMI
#: source SDM vol. 2, MOV; vol. 3, "Masking Exceptions and Interrupts When Switching Stacks"
#: --nmi at=shadow
    gate NMI, nmi_entry
    mov  qword ptr [page_a], KERNEL_DS
here: mov ss, [page_a]
shadow: nop
after: nop
    expect NMI, rip=after

#= S2 LSS makes no shadow
#: source SDM vol. 2, MOV: recommends LSS, which loads SS and RSP together, instead of a shadow
#: --nmi at=after
    gate NMI, nmi_entry
    mov  dword ptr [page_a], offset kernel_stack_top
    mov  word ptr [page_a + 4], KERNEL_DS
here: lss esp, [page_a]
after: nop
    expect NMI, rip=after

#= S3 a MOV SS that faults makes no shadow
#: source SDM vol. 2, MOV
#: --nmi at=gp_entry
    gate NMI, nmi_entry
    gate GP, gp_entry
    mov  eax, KERNEL_CS
here: mov ss, eax
gp_entry: nop
    expect GP, ec=KERNEL_CS, nmi=PENDING
    expect NMI, rip=gp_entry, rsp=kernel_stack_top-48

#= S4 the shadow of MOV SS holds an interrupt
#: source SDM vol. 3, "Masking Exceptions and Interrupts When Switching Stacks"
#: --irq 0x21@at=shadow
    gate IRQ, unexpected
    mov  eax, KERNEL_DS
    load_flags RFLAGS_IF
here: mov ss, eax
shadow: nop
after: nop
    expect IRQ, rip=after, rflags=RFLAGS_IF+2

#= S5 MOV SS, STI: an interrupt comes after the instruction behind STI
#: source SDM vol. 2, STI
#: --irq 0x21@at=shadow
    gate IRQ, unexpected
    mov  eax, KERNEL_DS
here: mov ss, eax
shadow: sti
second: nop
after: nop
    expect IRQ, rip=after, rflags=RFLAGS_IF+2

#= S6 STI, STI: the second does not extend the shadow
#: source SDM vol. 2, STI
#: --irq 0x21@at=shadow
    gate IRQ, unexpected
here: sti
shadow: sti
after: nop
    expect IRQ, rip=after, rflags=RFLAGS_IF+2

#= S7 STI, MOV SS: an NMI waits for the instruction behind MOV SS
#: source SDM vol. 3, "Masking Exceptions and Interrupts When Switching Stacks"
#: --nmi at=second
    gate NMI, nmi_entry
    mov  eax, KERNEL_DS
here: sti
    mov  ss, eax
second: nop
after: nop
    expect NMI, rip=after, rflags=RFLAGS_IF+2

#= S8 STI, CLI: an interrupt never gets in
#: source SDM vol. 2, STI
#: --irq 0x21@at=shadow
    gate IRQ, unexpected
here: sti
shadow: cli
after: nop
    reaches after

#= S9 STI, HLT: the interrupt ends HLT
#: source SDM vol. 2, STI and HLT
#: --irq 0x21@at=shadow
    gate IRQ, unexpected
here: sti
shadow: hlt
after: nop
    expect IRQ, rip=after, rflags=RFLAGS_IF+2

#= S10 POPF that sets IF makes no shadow
#: source SDM vol. 2, POPF
#: --irq 0x21@at=here
    gate IRQ, unexpected
    push RFLAGS_IF+2
here: popfq
after: nop
    expect IRQ, rip=after, rflags=RFLAGS_IF+2

#= S11 IRETQ that sets IF makes no shadow
#: source SDM vol. 2, IRET
#: --irq 0x21@at=here
    gate IRQ, unexpected
    frame rip=target, flags=RFLAGS_IF+2
here: iretq
target: nop
    expect IRQ, rip=target, rflags=RFLAGS_IF+2

#= S12 the STI shadow does not hold a single-step trap
#: source SDM vol. 2, STI: inhibits interrupts; IF prohibits no exceptions
    gate DB, unexpected
    load_flags RFLAGS_TF
here: sti
after: nop
    expect DB, rip=after, rflags=RFLAGS_IF+RFLAGS_TF+2, dr6=BS

#= S13 the STI shadow ends when a fault is delivered
#: source SDM vol. 2, STI: the inhibition ends after delivery of another event
#: --nmi at=shadow
    gate NMI, nmi_entry
    gate UD, ud_entry
here: sti
shadow: ud2
ud_entry: nop
    expect UD, rip=shadow, rflags=RFLAGS_IF+RFLAGS_RF+2, nmi=PENDING
    expect NMI, rip=ud_entry, rsp=FRAME

#= S14 the MOV SS shadow ends when a fault is delivered
#: source SDM vol. 3, "Masking Exceptions and Interrupts When Switching Stacks"
#: --nmi at=shadow
    gate NMI, nmi_entry
    gate UD, ud_entry
    mov  eax, KERNEL_DS
here: mov ss, eax
shadow: ud2
ud_entry: nop
    expect UD, rip=shadow, nmi=PENDING
    expect NMI, rip=ud_entry, rsp=FRAME

#= S15 MOV SS, INT3: the NMI comes at the entry
#: source SDM vol. 3, "Masking Exceptions and Interrupts When Switching Stacks"
#: --nmi at=shadow
    gate NMI, nmi_entry
    gate BP, bp_entry
    mov  eax, KERNEL_DS
here: mov ss, eax
shadow: int3
after: nop
bp_entry: nop
    expect BP, rip=after, nmi=PENDING
    expect NMI, rip=bp_entry, rsp=FRAME

#= S16 a data breakpoint of MOV SS, then INT3: the #DB comes at the entry
#: source SDM vol. 3, "Masking Exceptions and Interrupts When Switching Stacks"; CVE-2018-8897
    gate DB, unexpected
    gate BP, bp_entry
    mov  qword ptr [page_a], KERNEL_DS
    mov  eax, offset page_a
    mov  dr0, rax
    mov  eax, 0x70001
    mov  dr7, rax
here: mov ss, [page_a]
    int3
after: nop
bp_entry: nop
    expect BP, rip=after
    expect DB, rip=bp_entry, rsp=FRAME, dr6=B0

#= S17 an instruction breakpoint in the shadow of MOV SS is passed over
#: source SDM vol. 3, "Masking Exceptions and Interrupts When Switching Stacks"; "Instruction-Breakpoint Exception Condition"
    gate DB, unexpected
    mov  eax, offset shadow
    mov  dr0, rax
    mov  ecx, 1
    mov  dr7, rcx
    mov  eax, KERNEL_DS
here: mov ss, eax
shadow: nop
after: nop
    reaches after

#= S18 three MOV SS: an NMI after the second, which the first does not hold
#: source SDM vol. 2, MOV: only the first is sure to hold it
#: --nmi at=third
    gate NMI, nmi_entry
    mov  eax, KERNEL_DS
here: mov ss, eax
    mov  ss, eax
third: mov ss, eax
after: nop
    expect NMI, rip=third

#= S19 MOV SS, POPF that sets IF: the shadow is over behind POPF
#: source SDM vol. 2, POPF; vol. 3, "Masking Exceptions and Interrupts When Switching Stacks"
#: --irq 0x21@at=here
    gate IRQ, unexpected
    mov  eax, KERNEL_DS
    push RFLAGS_IF+2
here: mov ss, eax
    popfq
after: nop
    expect IRQ, rip=after, rflags=RFLAGS_IF+2
