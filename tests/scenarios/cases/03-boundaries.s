# Boundaries: string instructions, RF, shadows, single-stepping, priorities.

#= 22 an NMI after two of five iterations of REP MOVSB
#: source SDM vol. 2, REP; vol. 3, "Instruction-Breakpoint Exception Condition"
#: --nmi icount={here}.2
    gate NMI, nmi_entry
    mov  dword ptr [page_a], 0x04030201
    mov  esi, offset page_a
    mov  edi, offset page_b
    mov  ecx, 5
here: rep movsb
    expect NMI, rflags=RFLAGS_RF+2, rcx=3, rsi=page_a+2, rdi=page_b+2
    wrote page_b, 2

#= 23a no boundary lies between the last iteration and the end
#: source SDM vol. 2, REP
#: --nmi icount={here}.5
    gate NMI, nmi_entry
    mov  dword ptr [page_a], 0x04030201
    mov  byte ptr [page_a + 4], 5
    mov  esi, offset page_a
    mov  edi, offset page_b
    mov  ecx, 5
here: rep movsb
after: nop
    reaches after, rcx=0, rsi=page_a+5, rdi=page_b+5
    wrote page_b, 5
    holds page_b, 0x0504030201

#= 23b an NMI after the last iteration
#: source SDM vol. 3, "Instruction-Breakpoint Exception Condition": RF = 0 at an instruction boundary
#: --nmi icount={next}
    gate NMI, nmi_entry
    mov  dword ptr [page_a], 0x04030201
    mov  esi, offset page_a
    mov  edi, offset page_b
    mov  ecx, 3
here: rep movsb
after: nop
    expect NMI, rip=after, rcx=0
    wrote page_b, 3

#= 24a IRETQ loads RF = 1, one instruction, then an NMI
#: source SDM vol. 3, "Instruction-Breakpoint Exception Condition": the next instruction clears RF
#: --nmi at=after
    gate NMI, nmi_entry
    frame rip=target, flags=RFLAGS_RF+2
here: iretq
target: nop
after: nop
    expect NMI, rip=after

#= 24b IRETQ loads RF = 1, then an NMI
#: source SDM vol. 3, "Instruction-Breakpoint Exception Condition"
#: --nmi at=target
    gate NMI, nmi_entry
    frame rip=target, flags=RFLAGS_RF+2
here: iretq
target: nop
    expect NMI, rip=target, rflags=RFLAGS_RF+2

#= 25 an NMI after MOV SS waits for the next instruction
#: source SDM vol. 3, "Masking Exceptions and Interrupts When Switching Stacks"
#: --nmi at=shadow
    gate NMI, nmi_entry
    mov  eax, KERNEL_DS
here: mov ss, eax
shadow: mov rsp, offset page_b
after: nop
    expect NMI, rip=after, rsp=page_b

#= 26 an NMI after the second of two MOV SS
#: source SDM vol. 2, MOV: only the first is sure to hold it
#: --nmi at=shadow
    gate NMI, nmi_entry
    mov  eax, KERNEL_DS
here: mov ss, eax
shadow: mov ss, eax
second: nop
    expect NMI, rip=second

#= 27 an interrupt that arrives during an STI with IF = 1
#: source SDM vol. 2, STI: no shadow if IF was 1
#: --irq 0x21@at=after
    gate IRQ, unexpected
    load_flags RFLAGS_IF
here: sti
after: nop
    expect IRQ, rip=after, rflags=RFLAGS_IF+2

#= 28 an NMI in the shadow of STI
#: source SDM vol. 2, STI ("may"); APM vol. 2, 15.21.5 and 15.21.10
#: cpu intel
#: cpu intel sti-shadow-blocks-nmi=false
#: cpu amd
#: --nmi at=shadow
    gate NMI, nmi_entry
    push offset after
here: sti
shadow: ret
after: nop
.if sti_shadow_blocks_nmi
    expect NMI, rip=after, rflags=RFLAGS_IF+2
.else
    expect NMI, rip=shadow, rflags=RFLAGS_IF+2, rsp=kernel_stack_top-8
.endif

#= 29 a single-step trap and an NMI at one boundary
#: source SDM vol. 3, "Prioritization of Concurrent Events"
#: --nmi at=after
    gate DB, db_entry
    gate NMI, nmi_entry
    load_flags RFLAGS_TF
here: nop
after: nop
db_entry: nop
    expect DB, rip=after, rflags=RFLAGS_TF+2, dr6=BS, nmi=PENDING
    expect NMI, rip=db_entry, rsp=FRAME

#= 30 POPF sets TF, MOV SS, NOP: one trap
#: source SDM vol. 3, "Masking Exceptions and Interrupts When Switching Stacks"; "Single-Step Exception Condition"
    gate DB, db_entry
    mov  eax, KERNEL_DS
    load_flags RFLAGS_TF
here: mov ss, eax
    nop
after: nop
    jmp  done
db_entry: and qword ptr [rsp + 16], ~RFLAGS_TF
    iretq
    expect DB, rip=after, rflags=RFLAGS_TF+2, dr6=BS
    reaches done

#= 31 IRETQ loads TF = 1: one instruction runs
#: source SDM vol. 3, "Single-Step Exception Condition"
    gate DB, unexpected
    frame rip=target, flags=RFLAGS_TF+2
here: iretq
target: nop
after: nop
    expect DB, rip=after, rflags=RFLAGS_TF+2, dr6=BS

#= 32 TF = 1, and IRETQ loads TF = 0
#: source SDM vol. 3, "Single-Step Exception Condition": TF before the instruction counts
    gate DB, unexpected
    frame rip=target
    load_flags RFLAGS_TF
here: iretq
target: nop
    expect DB, rip=target, dr6=BS

#= 33a SYSCALL with TF = 1 and TF in FMASK
#: source SDM vol. 2, SYSCALL: RFLAGS AND NOT FMASK; that the resulting TF counts is as Xen and Linux have it
    init_syscall RFLAGS_TF
    in_user
    load_flags RFLAGS_TF
here: syscall
after: nop
in_kernel
entry_syscall: nop
    reaches entry_syscall, rsp=user_stack_top, rcx=after

#= 33b SYSRETQ with TF = 1 in R11
#: source SDM vol. 2, SYSRET: #DB right after it
    init_syscall
    gate DB, unexpected
    allow_user user_start
    mov  rcx, offset user_start
    mov  r11, RFLAGS_TF+2
    mov  rsp, offset user_stack_top
here: sysretq
entry_syscall: nop
in_kernel
user_start: nop
    expect_user DB, rip=user_start, rflags=RFLAGS_TF+2, dr6=BS

#= 33c SYSCALL with TF = 1 and not in FMASK: a trap at CPL 0 on the user's stack
#: source SDM vol. 2, SYSCALL: RFLAGS AND NOT FMASK; that the resulting TF counts is as Xen and Linux have it
    init_syscall
    gate DB, unexpected, ist=3
    in_user
    load_flags RFLAGS_TF
here: syscall
in_kernel
entry_syscall: nop
    expect DB, rip=entry_syscall, rflags=RFLAGS_TF+2, rsp=user_stack_top, dr6=BS, ist=3

#= B1 an NMI before an instruction whose page is not present
#: source SDM vol. 3, "Prioritization of Concurrent Events": the NMI (5) before the fetch fault (8)
#: --nmi at=page_b
    gate NMI, nmi_entry
    absent page_b
    mov  eax, offset page_b
here: jmp rax
    expect NMI, rip=page_b
    # The IRETQ returns there; its frame had RF = 0.
    expect PF, ec=0, rip=page_b, cr2=page_b

#= B2 an instruction breakpoint on an instruction whose page is not present
#: source SDM vol. 3, "Prioritization of Concurrent Events": the breakpoint (7) before the fetch fault (8)
    gate DB, db_entry
    absent page_b
    mov  eax, offset page_b
    mov  dr0, rax
    mov  ecx, 1
    mov  dr7, rcx
here: jmp rax
db_entry: bts qword ptr [rsp + 16], 16
    iretq
    expect DB, rip=page_b, dr6=B0
    expect PF, ec=0, rip=page_b, cr2=page_b
