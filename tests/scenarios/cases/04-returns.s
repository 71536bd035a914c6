# IRET, SYSRET and branches (SDM vol. 2).

#= 35 IRETQ to CPL 3 with a non-canonical RIP
#: source SDM vol. 2, IRET: #GP(0) before anything is loaded
    frame cs=USER_CS, sp=user_stack_top, ss=USER_DS
    mov  rax, NON_CANONICAL
    mov  [rsp], rax
here: iretq
    expect GP, ec=0, rsp=FRAME

#= 36 IRETQ to CPL 3 with a null SS
#: source SDM vol. 2, IRET
    frame cs=USER_CS, sp=user_stack_top, ss=3
here: iretq
    expect GP, ec=0, rsp=FRAME

#= 37 IRETQ to CPL 0 with SS = 3
#: source SDM vol. 2, IRET: a null SS must have the new CPL as RPL
    frame ss=3
here: iretq
    expect GP, ec=0, rsp=FRAME

#= 38 IRETQ with an SS that is not present
#: source SDM vol. 2, IRET: #SS(SS)
    descriptor 0x38, 0x00cf13000000ffff
    frame ss=0x38
here: iretq
    expect SS, ec=0x38, rsp=FRAME

#= 39 IRETQ with a CS that has L = D = 1
#: source SDM vol. 2, IRET
    descriptor 0x38, 0x00ef9b000000ffff
    frame cs=0x38
here: iretq
    expect GP, ec=0x38, rsp=FRAME

#= 40 IRETD in 64-bit mode with VM = 1 in the image
#: source SDM vol. 2, IRET: VM is ignored, RSP and SS are popped
    sub  rsp, 20
    mov  dword ptr [rsp], offset target
    mov  dword ptr [rsp + 4], KERNEL_CS
    mov  dword ptr [rsp + 8], 0x20002
    mov  dword ptr [rsp + 12], offset page_b
    mov  dword ptr [rsp + 16], KERNEL_DS
here: iretd
target: nop
    reaches target, rsp=page_b

#= 41 IRETQ at CPL 3 with its frame on a page of the supervisor's
#: source SDM vol. 2, IRET: pops have the current privilege
    in_user
    mov  rsp, offset page_a
here: iretq
    expect_user PF, ec=5, cr2=page_a, rsp=page_a

#= 42 IRETQ to CPL 3 with DS of DPL 0 and a null FS with a base
#: source SDM vol. 2, IRET, RETURN-TO-OUTER-PRIVILEGE-LEVEL
#: --nmi at=user_start
    gate NMI, handler
    mov  qword ptr [saved], -1
    mov  qword ptr [saved + 8], -1
    mov  eax, 3
    mov  fs, eax
    set_msr 0xc0000100, 0, 0x12345678
    allow_user user_start
    allow_user user_stack
    frame rip=user_start, cs=USER_CS, sp=user_stack_top, ss=USER_DS
here: iretq
handler: mov [saved], ds
    mov  [saved + 8], fs
    mov  ecx, 0xc0000100
    rdmsr
    mov  [saved + 16], eax
    jmp  done
in_kernel
user_start: nop
    expect_user NMI, rip=user_start
    reaches done, rsp=FRAME, ss=0, nmi=BLOCKED
    holds saved, 0xffffffffffff0000
    holds saved+8, 0xffffffffffff0000
    holds saved+16, 0x12345678

#= 43 SYSRETQ with a non-canonical RCX
#: source SDM vol. 2, SYSRET: #GP(0) at CPL 0; APM vol. 3, SYSRET: the fetch faults at CPL 3
#: cpu intel
#: cpu intel sysret-checks-rcx=false
#: cpu amd
#: cpu amd sysret-checks-rcx=true
    init_syscall
    gate GP, unexpected, ist=4
    mov  rcx, NON_CANONICAL
    mov  r11, 2
    mov  rsp, offset user_stack_top
here: sysretq
entry_syscall: nop
.if sysret_checks_rcx
    expect GP, ec=0, rsp=user_stack_top, ist=4
.else
    expect_user GP, ec=0, rip=NON_CANONICAL, ist=4
.endif

#= 44 SYSRETQ with RF and VM in R11
#: source SDM vol. 2, SYSRET: RFLAGS := (R11 AND 3C7FD7H) OR 2
#: --nmi at=user_start
    init_syscall
    gate NMI, nmi_entry
    allow_user user_start
    mov  rcx, offset user_start
    mov  r11, 0x30002
    mov  rsp, offset user_stack_top
here: sysretq
entry_syscall: nop
in_kernel
user_start: nop
    expect_user NMI, rip=user_start

#= 46 JMP to a non-canonical address
#: source SDM vol. 2, JMP: #GP(0), nothing loaded
    mov  rax, NON_CANONICAL
here: jmp rax
    expect GP, ec=0

#= 47 PUSH with a non-canonical RSP
#: source SDM vol. 2, PUSH: #SS(0)
    gate SS, unexpected, ist=4
    mov  rsp, NON_CANONICAL + 0x1000
here: push rax
    expect SS, ec=0, rsp=NON_CANONICAL+0x1000, ist=4
