# Accesses that cross a page end: CR2 is the first byte in the page that faults, and nothing is
# written (SDM vol. 3, "Page-Fault Exceptions"; "Exception Classifications").

#= X1 a load into an absent page
#: source SDM vol. 3, "Page-Fault Exceptions"
    absent page_b
here: mov rax, [page_b - 4]
    expect PF, ec=0, cr2=page_b

#= X2 a load out of an absent page
#: source SDM vol. 3, "Page-Fault Exceptions"
    absent page_a
here: mov rax, [page_b - 4]
    expect PF, ec=0, cr2=page_b-4

#= X3 a store out of an absent page
#: source SDM vol. 3, "Page-Fault Exceptions"
    absent page_a
    mov  rax, -1
here: mov [page_b - 4], rax
    expect PF, ec=2, cr2=page_b-4

#= X4 a store into a read-only page
#: source SDM vol. 3, "Page-Fault Exceptions": P and W/R
    map page_b, PRESENT
    mov  rax, -1
here: mov [page_b - 4], rax
    expect PF, ec=3, cr2=page_b

#= X5 a locked read-modify-write into an absent page
#: source SDM vol. 3, "Page-Fault Exceptions": W/R; hardware sets it though the read faults
    absent page_b
    mov  rax, -1
here: lock xadd [page_b - 4], rax
    expect PF, ec=2, cr2=page_b, rax=-1

#= X6 a read-modify-write into a read-only page
#: source SDM vol. 3, "Page-Fault Exceptions"
    map page_b, PRESENT
here: inc qword ptr [page_b - 4]
    expect PF, ec=3, cr2=page_b

#= X7 a fetch: an instruction of five bytes, two of them in an absent page
#: source SDM vol. 3, "Page-Fault Exceptions": the saved RIP is the instruction's, CR2 is the second page
    mov  byte ptr [page_b - 3], 0xb8
    absent page_b
    mov  eax, offset page_b - 3
    jmp  rax
here = page_b - 3
    expect PF, ec=0, cr2=page_b

#= X8 a fetch with NXE: the second page has XD
#: source SDM vol. 3, "Page-Fault Exceptions": P and I/D
    efer EFER_NXE
    mov  byte ptr [page_b - 1], 0x66
    mov  byte ptr [page_b], 0x90
    map  page_b, XD+PRESENT+WRITE
    mov  eax, offset page_b - 1
    jmp  rax
here = page_b - 1
    expect PF, ec=0x11, cr2=page_b

#= X9 a fetch at CPL 3: the second page is the supervisor's
#: source SDM vol. 3, "Page-Fault Exceptions": P and U/S, no I/D without NXE and SMEP
    mov  byte ptr [page_b - 1], 0x66
    mov  byte ptr [page_b], 0x90
    allow_user page_a
    allow_user user_stack
    iret_to page_b-1, USER_CS, 2, user_stack_top, USER_DS
here = page_b - 1
    expect_user PF, ec=5, cr2=page_b

#= X10 PUSH across a page end into an absent page
#: source SDM vol. 2, PUSH; vol. 3, "Page-Fault Exceptions"
    gate PF, unexpected, ist=4
    absent page_a
    mov  rsp, offset page_b + 4
here: push rax
    expect PF, ec=2, cr2=page_b-4, rsp=page_b+4, ist=4

#= X11 PUSH across a page end, the upper page absent
#: source SDM vol. 2, PUSH; vol. 3, "Page-Fault Exceptions"
    gate PF, unexpected, ist=4
    absent page_b
    mov  rsp, offset page_b + 4
here: push rax
    expect PF, ec=2, cr2=page_b, rsp=page_b+4, ist=4

#= X12 POP across a page end
#: source SDM vol. 2, POP; vol. 3, "Page-Fault Exceptions"
    gate PF, unexpected, ist=4
    absent page_b
    mov  rsp, offset page_b - 4
here: pop rax
    expect PF, ec=0, cr2=page_b, rsp=page_b-4, ist=4

#= X13 CALL with a push across a page end: RIP and RSP stay
#: source SDM vol. 2, CALL; vol. 3, "Page-Fault Exceptions"
    gate PF, unexpected, ist=4
    absent page_a
    mov  rsp, offset page_b + 4
here: call done
    expect PF, ec=2, cr2=page_b-4, rsp=page_b+4, ist=4

#= X14 an NMI frame whose upper slots are in a present page
#: source SDM vol. 2, INT n: pushes in the order SS, RSP, RFLAGS, CS, RIP; whether they stay is open
#: --nmi at=here
#: cpu intel
#: cpu intel frame-writes-atomic=false
    gate NMI, nmi_entry
    gate PF, unexpected, ist=4
    absent page_a
    mov  rsp, offset page_b + 16
here: nop
    expect PF, ec=2, cr2=page_b-8, rsp=page_b+16, ist=4, nmi=BLOCKED
.if frame_writes_atomic
    holds page_b, 0
    holds page_b+8, 0
.else
    wrote page_b, 16
    holds page_b, page_b+16
    holds page_b+8, KERNEL_DS
.endif

#= X15 an NMI frame whose upper slots are in an absent page: nothing is written
#: source SDM vol. 2, INT n: SS is pushed first
#: --nmi at=here
#: cpu intel
#: cpu intel frame-writes-atomic=false
    gate NMI, nmi_entry
    gate PF, unexpected, ist=4
    absent page_b
    mov  rsp, offset page_b + 16
here: nop
    expect PF, ec=2, cr2=page_b+8, rsp=page_b+16, ist=4, nmi=BLOCKED

#= X16 IRETQ whose frame crosses into an absent page at its RSP slot
#: source SDM vol. 2, IRET: RSP and SS are popped last
    gate PF, unexpected, ist=4
    absent page_b
    mov  rsp, offset page_b - 24
    mov  qword ptr [rsp], offset done
    mov  qword ptr [rsp + 8], KERNEL_CS
    mov  qword ptr [rsp + 16], 2
here: iretq
    expect PF, ec=0, cr2=page_b, rsp=page_b-24, ist=4

#= X17 MOVSQ across a page end of its destination
#: source SDM vol. 3, "Page-Fault Exceptions"; vol. 2, MOVS
    absent page_b
    mov  esi, offset user_stack
    mov  edi, offset page_b - 1
here: movsq
    expect PF, ec=2, cr2=page_b, rsi=user_stack, rdi=page_b-1

#= X18 CMPXCHG16B into an absent page
#: source SDM vol. 2, CMPXCHG8B/CMPXCHG16B: the destination gets a write cycle whatever the comparison says
    absent page_b
    mov  ebx, offset page_b
here: lock cmpxchg16b [rbx]
    expect PF, ec=2, cr2=page_b

#= X19 a store across the end of the lower half
#: source SDM vol. 1, "Canonical Addressing": #GP(0) if any byte is not canonical
    mov  rbx, 0x7ffffffffffc
here: mov [rbx], rax
    expect GP, ec=0

#= X20 a gate that crosses into an absent page
#: source SDM vol. 2, INT n: the read of the gate, an implicit supervisor access
#: --nmi at=here
    absent page_b
    # The gate of the NMI lies at page_b - 8; that of #PF is behind the limit, and so is #DF's.
    mov  word ptr [idt_pointer], 16*3 - 1
    mov  qword ptr [idt_pointer + 2], offset page_b - 40
    lidt [idt_pointer]
here: nop
    shuts_down cr2=page_b, nmi=BLOCKED
