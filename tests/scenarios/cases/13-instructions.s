# Faults of instructions with several accesses: nothing of them is done (SDM vol. 3,
# "Exception Classifications"; vol. 2, the instructions).

#= E1 PUSH of a memory operand: the read faults before the stack is touched
#: source SDM vol. 2, PUSH
    absent page_b
here: push qword ptr [page_b]
    expect PF, ec=0, cr2=page_b

#= E2 POP to a memory operand: the write faults, RSP stays
#: source SDM vol. 2, POP
    absent page_b
    push 5
here: pop qword ptr [page_b]
    expect PF, ec=2, cr2=page_b, rsp=kernel_stack_top-8

#= E3 CALL through memory: the operand is read first
#: source SDM vol. 2, CALL
    absent page_b
here: call qword ptr [page_b]
    expect PF, ec=0, cr2=page_b

#= E4 RET from an absent page
#: source SDM vol. 2, RET
    gate PF, unexpected, ist=4
    absent page_b
    mov  rsp, offset page_b
here: ret
    expect PF, ec=0, cr2=page_b, rsp=page_b, ist=4

#= E5 LEAVE with RBP in an absent page: RSP stays
#: source SDM vol. 2, LEAVE
    absent page_b
    mov  ebp, offset page_b
here: leave
    expect PF, ec=0, cr2=page_b

#= E6 ENTER into an absent page: RSP and RBP stay
#: source SDM vol. 2, ENTER
    gate PF, unexpected, ist=4
    absent page_a
    mov  rsp, offset page_b
here: enter 8, 0
    expect PF, ec=2, cr2=page_b-8, rsp=page_b, ist=4

#= E7 BTS with a bit offset beyond its operand
#: source SDM vol. 2, BTS: the bit string is addressed by it
    absent page_b
    mov  eax, 4096*8 + 3
here: bts dword ptr [page_b - 4096], eax
    expect PF, ec=2, cr2=page_b, rax=4096*8+3

#= E8 MOVSB: the source faults before the destination is touched
#: source SDM vol. 2, MOVS
    absent page_a
    mov  esi, offset page_a
    mov  edi, offset page_b
here: movsb
    expect PF, ec=0, cr2=page_a, rsi=page_a, rdi=page_b

#= E9 XCHG with memory is locked, and a write
#: source SDM vol. 2, XCHG
    absent page_a
    mov  eax, 7
here: xchg [page_a], eax
    expect PF, ec=2, cr2=page_a, rax=7

#= E10 CMPXCHG that does not match writes its operand back
#: source SDM vol. 2, CMPXCHG: the destination gets a write cycle whatever the comparison says
    map page_a, PRESENT
    mov  eax, 1
here: cmpxchg [page_a], ecx
    expect PF, ec=3, cr2=page_a, rax=1

#= E11 DIV by a memory operand in an absent page: a page fault, no divide error
#: source SDM vol. 3, "Interrupt 14"
    absent page_a
    xor  eax, eax
here: div dword ptr [page_a]
    expect PF, ec=0, cr2=page_a

#= E12 LGDT from an absent page leaves GDTR
#: source SDM vol. 2, LGDT/LIDT
    absent page_b
here: lgdt [page_b - 2]
    expect PF, ec=0, cr2=page_b

#= E13 SGDT into a page that crosses into an absent one writes nothing
#: source SDM vol. 2, SGDT; vol. 3, "Page-Fault Exceptions"
    absent page_b
here: sgdt [page_b - 4]
    expect PF, ec=2, cr2=page_b

#= E14 MOV DS from a selector behind the limit
#: source SDM vol. 2, MOV: #GP(selector)
    mov  eax, 0x40
here: mov ds, eax
    expect GP, ec=0x40

#= E15 LTR of a busy TSS
#: source SDM vol. 2, LTR: #GP(selector)
    mov  eax, TSS_SELECTOR
here: ltr ax
    expect GP, ec=TSS_SELECTOR

#= E16 a far return across a page end
#: source SDM vol. 2, RET; vol. 3, "Page-Fault Exceptions"
    gate PF, unexpected, ist=4
    absent page_b
    mov  rsp, offset page_b - 8
    mov  qword ptr [rsp], offset done
here: rex.w retf
    expect PF, ec=0, cr2=page_b, rsp=page_b-8, ist=4

#= E17 SYSRET at CPL 3
#: source SDM vol. 2, SYSRET: #GP(0)
    init_syscall
    in_user
here: sysretq
in_kernel
entry_syscall: nop
    expect_user GP, ec=0

#= E18 SYSCALL with EFER.SCE = 0
#: source SDM vol. 2, SYSCALL: #UD
    in_user
here: syscall
    expect_user UD

#= E19 HLT at CPL 3
#: source SDM vol. 2, HLT: #GP(0)
    in_user
here: hlt
    expect_user GP, ec=0

#= E20 POPF at CPL 3 with IOPL 0 leaves IF
#: source SDM vol. 2, POPF
#: --nmi at=after
    gate NMI, nmi_entry
    in_user RFLAGS_IF+2
    push 2
here: popfq
after: nop
    expect_user NMI, rip=after, rflags=RFLAGS_IF+2

#= E21 a call to a code page that becomes absent in the call: the return address stays pushed
#: source SDM vol. 3, "Page-Fault Exceptions": the fetch of the next instruction faults
    absent page_a
    mov  eax, offset page_a
here: call rax
after: nop
    expect PF, ec=0, rip=page_a, cr2=page_a, rsp=kernel_stack_top-8
    wrote kernel_stack_top-8, 8
    holds kernel_stack_top-8, after

#= E22 falling through the end of the lower half
#: source SDM vol. 1, "Canonical Addressing": the next fetch faults
    mov  qword ptr [low_pdpt + 8*511], offset low_pd + TABLE
    mov  qword ptr [kernel_pml4 + 8*255], offset low_pdpt + TABLE
    mov  qword ptr [low_pd + 8*511], offset low_pt + TABLE
    mov  rcx, offset page_a + PRESENT + WRITE
    mov  [low_pt + 8*511], rcx
    mov  byte ptr [page_a + 4095], 0x90
    mov  rax, NON_CANONICAL - 1
here: jmp rax
    expect GP, ec=0, rip=NON_CANONICAL

#= E23 MOV to CR4 of LASS on a CPU without it
#: source SDM vol. 2, MOV to control registers: #GP(0) for reserved bits
#: cpu intel -lass
#: cpu amd
    mov  rax, cr4
    or   rax, CR4_LASS
here: mov cr4, rax
    expect GP, ec=0

#= E24 CPUID tells of LASS: leaf 7, sub-leaf 1, EAX bit 6
#: source SDM vol. 2, CPUID
#: cpu intel
#: cpu amd
    mov  eax, 7
    mov  ecx, 1
here: cpuid
after: nop
.if AMD
    reaches after, rax=0
.else
    reaches after, rax=0x40
.endif

#= E25 CPUID leaf 7, sub-leaf 0: the last sub-leaf
#: source SDM vol. 2, CPUID
    mov  eax, 7
    xor  ecx, ecx
here: cpuid
after: nop
    reaches after, rax=1

#= C1 a 32-bit CMPXCHG that matches leaves the accumulator, all of it
#: source SDM vol. 2, CMPXCHG, Operation
    movabs rax, 0x1122334400000000
    mov  ecx, 9
here: cmpxchg [page_a], ecx
after: nop
    reaches after, rflags=0x46, rax=0x1122334400000000, rcx=9
    wrote page_a, 4
    holds page_a, 9

#= C2 one that does not match loads all of the accumulator
#: source SDM vol. 2, CMPXCHG, Operation
    movabs rax, 0x1122334400000001
here: lock cmpxchg [page_a], ecx
after: nop
    reaches after, rflags=2, rax=0

#= C3 with a register that matches, only that register is written
#: source SDM vol. 2, CMPXCHG, Operation
    movabs rax, 0x1122334400000005
    movabs rcx, 0x5566778800000005
    mov  esi, 7
here: cmpxchg ecx, esi
after: nop
    reaches after, rflags=0x46, rax=0x1122334400000005, rcx=7

#= C4 with a register that does not match, only the accumulator is written
#: source SDM vol. 2, CMPXCHG, Operation
    movabs rax, 0x1122334400000006
    movabs rcx, 0x5566778800000005
here: cmpxchg ecx, esi
after: nop
    reaches after, rflags=2, rax=5, rcx=0x5566778800000005

#= C5 the accumulator is the destination: it is written
#: source SDM vol. 2, CMPXCHG, Operation
    movabs rax, 0x1122334400000006
    mov  esi, 7
here: cmpxchg eax, esi
after: nop
    reaches after, rflags=0x46, rax=7

#= C6 a fault in the middle leaves the accumulator
#: source SDM vol. 2, CMPXCHG
    absent page_a
    movabs rax, 0x1122334400000006
here: cmpxchg [page_a], ecx
    expect PF, ec=2, cr2=page_a, rax=0x1122334400000006

#= E26 REP INSB at CPL 3 with RCX = 0 and no right to the port
#: source SDM vol. 1, "I/O Privilege Level": I/O-sensitive instructions; vol. 2, INS: #GP(0)
    in_user
    xor  ecx, ecx
    xor  edi, edi
here: rep insb
    expect_user GP, ec=0, rcx=0

#= E27 REP OUTSB at CPL 3 with RCX = 0 and no right to the port
#: source SDM vol. 1, "I/O Privilege Level": I/O-sensitive instructions; vol. 2, OUTS: #GP(0)
    in_user
    xor  ecx, ecx
    xor  esi, esi
here: rep outsb
    expect_user GP, ec=0, rcx=0

#= E28 REP INSB with RCX = 0 where the port may be used does nothing
#: source SDM vol. 2, REP: no iteration
    in_user 0x3002
    xor  ecx, ecx
    xor  edi, edi
here: rep insb
after: nop
    reaches after, cs=USER_CS, rflags=0x3002, rsp=user_stack_top, ss=USER_DS, rcx=0, rdi=0
