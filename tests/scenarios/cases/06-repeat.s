# REP: what an iteration, a fault and an interrupt leave (SDM vol. 2, REP).

#= R1 a fault in the third iteration of REPE CMPSB leaves RFLAGS as before the instruction
#: source SDM vol. 2, REP: EFLAGS is restored to the state prior to the execution
    absent page_b
    mov  esi, offset page_b - 2
    mov  edi, offset user_stack
    mov  ecx, 5
here: repe cmpsb
    expect PF, ec=0, cr2=page_b, rcx=3, rsi=page_b, rdi=user_stack+2

#= R2 the same for REPNE SCASB
#: source SDM vol. 2, REP: EFLAGS is restored to the state prior to the execution
    absent page_b
    mov  al, 9
    mov  edi, offset page_b - 3
    mov  ecx, 5
here: repne scasb
    expect PF, ec=0, cr2=page_b, rcx=2, rdi=page_b

#= R3 an NMI between two iterations, then a fault in the resumed instruction
#: source SDM vol. 2, REP: as before the instruction was resumed
#: --nmi icount={here}.1
    gate NMI, handler
    absent page_b
    mov  esi, offset page_b - 3
    mov  edi, offset user_stack
    mov  ecx, 5
here: repe cmpsb
    # The comparison of the first iteration was equal: ZF and PF.
handler: and qword ptr [rsp + 16], ~0x8d5
    iretq
    expect NMI, rflags=RFLAGS_RF+0x46, rcx=4
    expect PF, ec=0, cr2=page_b, rcx=2, rsi=page_b

#= R4 a fault in the first iteration
#: source SDM vol. 2, REP
    absent page_b
    mov  edi, offset page_b
    mov  ecx, 5
here: repe scasb
    expect PF, ec=0, cr2=page_b, rcx=5, rdi=page_b

#= R5 REP STOSB into a page that is not present: the iterations before it stay
#: source SDM vol. 2, REP; vol. 3, "Page-Fault Exceptions"
    absent page_b
    mov  al, 7
    mov  edi, offset page_b - 2
    mov  ecx, 5
here: rep stosb
    expect PF, ec=2, cr2=page_b, rcx=3, rdi=page_b
    wrote page_b-2, 2

#= R6 an element of REP STOSQ that crosses into a page that is not present is not written
#: source SDM vol. 3, "Page-Fault Exceptions"; vol. 2, REP
    absent page_b
    mov  rax, -1
    mov  edi, offset page_b - 12
    mov  ecx, 3
here: rep stosq
    expect PF, ec=2, cr2=page_b, rcx=2, rdi=page_b-4
    wrote page_b-12, 8

#= R7 an element of REP MOVSQ whose source crosses into a page that is not present
#: source SDM vol. 3, "Page-Fault Exceptions"; vol. 2, MOVS
    absent page_b
    mov  qword ptr [page_b - 4096], -1
    mov  esi, offset page_b - 4
    mov  edi, offset user_stack
    mov  ecx, 1
here: rep movsq
    expect PF, ec=0, cr2=page_b, rcx=1, rsi=page_b-4, rdi=user_stack

#= R8 with RCX = 0 nothing is accessed
#: source SDM vol. 2, REP
    absent page_b
    mov  edi, offset page_b
    xor  ecx, ecx
here: rep stosb
after: nop
    reaches after, rcx=0, rdi=page_b

#= R9 with DF = 1 addresses fall
#: source SDM vol. 2, MOVS
#: --nmi icount={here}.3
    gate NMI, nmi_entry
    mov  al, 5
    mov  edi, offset page_b + 8
    mov  ecx, 4
    std
here: rep stosb
    # DF is left as it is by delivery.
    expect NMI, rflags=RFLAGS_RF+0x402, rcx=1, rdi=page_b+5
    wrote page_b+6, 3

#= R10 an NMI before the first iteration
#: source SDM vol. 3, "Instruction-Breakpoint Exception Condition": RF = 0 at an instruction boundary
#: --nmi at=here
    gate NMI, nmi_entry
    mov  edi, offset page_b
    mov  ecx, 4
here: rep stosb
    expect NMI, rcx=4, rdi=page_b

#= R11 an interrupt after an iteration of REP LODSB
#: source SDM vol. 2, REP; vol. 3, "Instruction-Breakpoint Exception Condition"
#: --irq 0x21@icount={here}.1
    gate IRQ, unexpected
    mov  esi, offset page_a
    mov  ecx, 3
    load_flags RFLAGS_IF
here: rep lodsb
    expect IRQ, rflags=RFLAGS_RF+RFLAGS_IF+2, rcx=2, rsi=page_a+1

#= R12 a single-step trap after each iteration
#: source SDM vol. 2, REP; vol. 3, "Single-Step Exception Condition"
    gate DB, db_entry
    mov  edi, offset page_b
    mov  ecx, 2
    load_flags RFLAGS_TF
here: rep stosb
after: nop
db_entry: iretq
    expect DB, rflags=RFLAGS_RF+RFLAGS_TF+2, dr6=BS, rcx=1
    expect DB, rip=after, rflags=RFLAGS_TF+2, dr6=BS, rcx=0
    wrote page_b, 1

#= R13 REPE CMPSB that ends at a difference: no boundary behind it at the instruction
#: source SDM vol. 2, REP: the comparison ends it
#: --nmi icount={here}.2
    gate NMI, nmi_entry
    mov  word ptr [page_a], 0x0201
    mov  word ptr [page_b], 0x0101
    mov  esi, offset page_a
    mov  edi, offset page_b
    mov  ecx, 5
here: repe cmpsb
after: nop
    # 2 - 1: no flag is set.
    reaches after, rcx=3, rsi=page_a+2, rdi=page_b+2
