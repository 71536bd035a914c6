# NMIs: frames, the latch, and what blocks and unblocks them.

#= 1 an NMI on an unaligned stack
#: source SDM vol. 3, "64-Bit Mode Stack Frame" and "Handling Multiple NMIs"
#: --nmi at=here
    gate NMI, nmi_entry
    sub  rsp, 8
    load_flags RFLAGS_IF + RFLAGS_NT
here: nop
    expect NMI, rsp=kernel_stack_top-8, rflags=RFLAGS_IF+RFLAGS_NT+2

#= 2 an NMI on an IST stack at the same privilege: SS stays
#: source SDM vol. 2, INT n, INTRA-PRIVILEGE-LEVEL-INTERRUPT
#: --nmi at=here
    gate NMI, nmi_entry, ist=1
here: nop
    expect NMI, ist=1

#= 3 an NMI at CPL 3: RSP0, and a null SS
#: source SDM vol. 2, INT n, INTER-PRIVILEGE-LEVEL-INTERRUPT
#: --nmi at=here
    gate NMI, nmi_entry
    in_user
here: nop
    expect_user NMI

#= 4 two more NMIs in the NMI handler: one at the return, one lost
#: source SDM vol. 3, "Handling Multiple NMIs"
#: --nmi at=here
#: --nmi at=first
#: --nmi at=second
    gate NMI, handler
here: nop
    jmp  done
handler: nop
first: nop
second: nop
    iretq
    expect NMI
    expect NMI
    reaches done

#= 5 INT3 in the NMI handler, an NMI pending
#: source SDM vol. 2, IRET: unblocks NMIs, whatever it returns from
#: --nmi at=here
#: --nmi at=first
    gate NMI, handler
    gate BP, bp_entry
here: nop
handler: nop
first: int3
after: iretq
bp_entry: iretq
    expect NMI
    expect BP, rip=after, rsp=FRAME, nmi=BLOCKED+PENDING
    expect NMI, rip=after, rsp=FRAME

#= 6 IRETQ with a bad CS in the NMI handler, an NMI pending
#: source SDM vol. 3, "Information About NMI Unblocking Due to IRET"; APM vol. 2, 15.21.10
#: cpu intel
#: cpu intel iret-fault-unblocks-nmi=false
#: cpu amd
#: cpu amd iret-fault-unblocks-nmi=true
#: nmi blocked pending
    gate GP, gp_entry, ist=4
    gate NMI, nmi_entry
    frame cs=0x18
here: iretq
gp_entry: nop
inside: nop
.if iret_fault_unblocks_nmi
    expect GP, ec=0x18, rsp=FRAME, ist=4, nmi=PENDING
    expect NMI, rip=gp_entry, rsp=spare_stack_top-48
.else
    expect GP, ec=0x18, rsp=FRAME, ist=4, nmi=BLOCKED+PENDING
    reaches inside, rsp=spare_stack_top-48, nmi=BLOCKED+PENDING
.endif

#= 7 IRETQ with NT = 1 in the NMI handler, an NMI pending
#: source SDM vol. 2, IRET; vol. 3, "Information About NMI Unblocking Due to IRET"
#: cpu intel
#: cpu intel iret-fault-unblocks-nmi=false
#: cpu amd
#: nmi blocked pending
    gate GP, gp_entry, ist=4
    gate NMI, nmi_entry
    frame
    load_flags RFLAGS_NT
here: iretq
gp_entry: nop
inside: nop
.if iret_fault_unblocks_nmi
    expect GP, ec=0, rsp=FRAME, ist=4, rflags=RFLAGS_NT+RFLAGS_RF+2, nmi=PENDING
    expect NMI, rip=gp_entry, rsp=spare_stack_top-48
.else
    expect GP, ec=0, rsp=FRAME, ist=4, rflags=RFLAGS_NT+RFLAGS_RF+2, nmi=BLOCKED+PENDING
    reaches inside, rsp=spare_stack_top-48, nmi=BLOCKED+PENDING
.endif

#= 8 an NMI whose IST page is not present is lost, and blocks until IRET
#: source SDM vol. 2, INT n: the original event is not delivered; vol. 3, "Handling Multiple NMIs"
#: --nmi at=here
#: --nmi at=inside
    gate NMI, nmi_entry, ist=1
    gate PF, pf_entry
    absent nmi_stack
here: nop
pf_entry: nop
inside: pte nmi_stack, WRITE+PRESENT
    add  rsp, 8
    iretq
    expect PF, ec=2, cr2=nmi_stack_top-8, nmi=BLOCKED
    # The frame of the #PF had RF = 1, and IRETQ has just loaded it.
    expect NMI, rflags=RFLAGS_RF+2, ist=1

#= 9 an NMI whose gate is not present
#: source SDM vol. 2, INT n: #NP(error_code(vector, 1, EXT))
#: --nmi at=here
    gate_attributes NMI, 0x0e00
here: nop
    expect NP, ec=0x13, nmi=BLOCKED

#= 34a an NMI ends HLT
#: source SDM vol. 2, HLT
#: --nmi at=after
    gate NMI, nmi_entry
here: hlt
after: nop
    expect NMI, rip=after

#= 34b a blocked NMI does not end HLT
#: source SDM vol. 2, HLT; vol. 3, "Handling Multiple NMIs"
#: nmi blocked
#: --nmi at=after
    gate NMI, nmi_entry
here: hlt
after: nop
    sleeps after, nmi=BLOCKED+PENDING

#= 45a after an NMI handler that left by SYSRETQ the next NMI stays pending
#: source SDM vol. 3, "Handling Multiple NMIs": until the next IRET
#: nmi blocked
#: --nmi at=second
    init_syscall
    gate NMI, nmi_entry
    allow_user user_start
    mov  rcx, offset user_start
    mov  r11, 2
    mov  rsp, offset user_stack_top
here: sysretq
entry_syscall: nop
in_kernel
user_start: nop
second: syscall
after:
    reaches entry_syscall, rsp=user_stack_top, nmi=BLOCKED+PENDING, rcx=after

#= 45b and an IRETQ lets it in
#: source SDM vol. 2, IRET
#: nmi blocked
#: --nmi at=second
    init_syscall
    gate NMI, nmi_entry
    allow_user user_start
    mov  rcx, offset user_start
    mov  r11, 2
here: sysretq
entry_syscall:
    mov  rsp, offset kernel_stack_top
    frame rip=last
    iretq
last: nop
in_kernel
user_start: nop
second: syscall
    expect NMI, rip=last

#= N1 INT 2 does not block NMIs
#: source SDM vol. 3, "Nonmaskable Interrupt (NMI)"
#: --nmi at=inside
    gate NMI, handler
here: int 2
after: nop
handler: nop
inside: nop
    expect NMI, rip=after, nmi=0
    expect NMI, rip=inside, rsp=FRAME

#= N2 an external interrupt with vector 2 does not block NMIs
#: source SDM vol. 3, "Nonmaskable Interrupt (NMI)"
#: --irq 2@at=here
#: --nmi at=inside
    gate NMI, handler
    load_flags RFLAGS_IF
here: nop
handler: nop
inside: nop
    expect NMI, rflags=RFLAGS_IF+2, nmi=0
    expect NMI, rip=inside, rsp=FRAME

#= N3 a machine check neither unblocks nor blocks NMIs
#: source SDM vol. 3, "Interrupt 18"
#: nmi blocked pending
#: --mce @at=here
    set_bits cr4, CR4_MCE
    gate MC, mc_entry
here: nop
mc_entry: nop
inside: nop
    expect MC, nmi=BLOCKED+PENDING
    reaches inside, rsp=FRAME, nmi=BLOCKED+PENDING

#= N4 the IRETQ of a machine check inside an NMI handler lets the next NMI in
#: source SDM vol. 2, IRET
#: nmi blocked pending
    gate NMI, nmi_entry
    frame rip=target
here: iretq
target: nop
    expect NMI, rip=target

#= N5 IRETQ at CPL 3 unblocks NMIs
#: source SDM vol. 2, IRET
#: nmi blocked pending
    gate NMI, nmi_entry
    in_user
    push USER_DS
    push offset user_stack_top
    push 2
    push USER_CS
    push offset target
here: iretq
target: nop
    expect_user NMI, rip=target

#= N6 far RET does not unblock NMIs
#: source SDM vol. 3, "Handling Multiple NMIs"
#: nmi blocked pending
    gate NMI, nmi_entry
    push KERNEL_CS
    push offset target
here: rex.w retf
target: nop
    reaches target, nmi=BLOCKED+PENDING

#= N7 an NMI at the first instruction of an interrupt handler
#: source SDM vol. 3, "Prioritization of Concurrent Events": evaluated again at the entry
#: --irq 0x21@at=here
#: --nmi at=irq_entry
    gate NMI, nmi_entry
    gate IRQ, irq_entry
    load_flags RFLAGS_IF
here: nop
irq_entry: nop
    expect IRQ, rflags=RFLAGS_IF+2, nmi=PENDING
    expect NMI, rip=irq_entry, rsp=FRAME

#= N8 an NMI and an interrupt at one boundary: the NMI first, the interrupt after its IRETQ
#: source SDM vol. 3, "Prioritization of Concurrent Events"
#: --nmi at=here
#: --irq 0x21@at=here
    gate NMI, nmi_entry
    gate IRQ, irq_entry
    load_flags RFLAGS_IF
here: nop
irq_entry: nop
    expect NMI, rflags=RFLAGS_IF+2
    expect IRQ, rflags=RFLAGS_IF+2

#= N9 a trap gate leaves IF, so the interrupt comes at the NMI handler's entry
#: source SDM vol. 2, INT n: IF is cleared by interrupt gates; vol. 3, "Prioritization of Concurrent Events"
#: --nmi at=here
#: --irq 0x21@at=here
    gate NMI, nmi_entry
    gate_attributes NMI, 0x8f00
    gate IRQ, irq_entry
    load_flags RFLAGS_IF
here: nop
irq_entry: nop
    expect NMI, rflags=RFLAGS_IF+2
    expect IRQ, rip=nmi_entry, rflags=RFLAGS_IF+2, rsp=FRAME, nmi=BLOCKED
