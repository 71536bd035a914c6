# Five levels of page tables and 57 bits of linear address (SDM vol. 3, "4-Level Paging and 5-Level
# Paging"; vol. 1, 3.3.7.1).

#= L1 a store through entry 1 of the PML5: A and D
#: source SDM vol. 3, "Accessed and Dirty Flags"
    five_levels
    upper_room
    mov  qword ptr [kernel_pml4], offset low_pdpt + TABLE
here: mov byte ptr [rbx + page_a], 7
    nop
after: nop
    reaches after
    wrote page_a, 1
    holds page_a, 7
    holds five_level_root+8, kernel_pml4+TABLE+0x20
    pte_bits page_a, 0x63

#= L2 an entry of the PML5 that is absent
#: source SDM vol. 3, "Page-Fault Exceptions"
    five_levels
    mov  rbx, ROOM
here: mov al, [rbx + page_a]
    expect PF, ec=0, cr2=ROOM+page_a

#= L3 with four levels the address is not canonical
#: source SDM vol. 1, 3.3.7.1: bits 63:47
    mov  rbx, ROOM
here: mov al, [rbx + page_a]
    expect GP, ec=0

#= L4 PS in a PML5E is reserved
#: source SDM vol. 3, "4-Level Paging and 5-Level Paging": must be 0
    five_levels
    upper_room TABLE+HUGE
here: mov al, [rbx + page_a]
    expect PF, ec=9, cr2=ROOM+page_a

#= L5 bit 8 of a PML5E
#: source SDM vol. 3, "4-Level Paging and 5-Level Paging": ignored; APM vol. 2, 5.3.3: must be zero
#: cpu intel
#: cpu amd
    five_levels
    upper_room TABLE+0x100
    mov  dword ptr [page_a], 0x1234
here: mov eax, [rbx + page_a]
after: nop
.if nonleaf_bit8_reserved
    expect PF, ec=9, cr2=ROOM+page_a
.else
    reaches after, rax=0x1234
.endif

#= L6 bit 51 of a PML5E is above MAXPHYADDR
#: source SDM vol. 3, "4-Level Paging and 5-Level Paging": bits 51:M are reserved
    five_levels
    upper_room TABLE+(1<<51)
here: mov [rbx + page_a], al
    expect PF, ec=0xb, cr2=ROOM+page_a

#= L7 a store with R/W = 0 in the PML5E alone
#: source SDM vol. 3, "Access Rights": R/W of every entry
    five_levels
    upper_room PRESENT+USER
here: mov [rbx + page_a], al
    expect PF, ec=3, cr2=ROOM+page_a

#= L8 a load at CPL 3 with U/S = 0 in the PML5E alone
#: source SDM vol. 3, "Access Rights": U/S of every entry
    five_levels
    upper_room PRESENT+WRITE
    allow_user page_a
    in_user
here: mov al, [rbx + page_a]
    expect_user PF, ec=5, cr2=ROOM+page_a

#= L9 a fetch with XD in the PML5E alone
#: source SDM vol. 3, "Access Rights": XD of any entry
    efer EFER_NXE
    five_levels
    upper_room TABLE+XD
    lea  rax, [rbx + there]
here: jmp rax
there: nop
    expect PF, ec=0x11, rip=ROOM+there, cr2=ROOM+there

#= L10 code at CPL 0 above 48 bits, and its fault
#: source SDM vol. 2, UD
    five_levels
    upper_room
    lea  rax, [rbx + there]
here = ROOM + spot
    jmp  rax
there: add dword ptr [rbx + page_a], 2
    call 1f
1:  pop  rcx
    mov  ecx, 0
spot: ud2
    expect UD, rip=ROOM+spot

#= L11 the last byte below the hole of 57 bits
#: source SDM vol. 1, 3.3.7.1: canonical
    five_levels
    mov  rbx, (1 << 56) - 1
here: mov al, [rbx]
    expect PF, ec=0, cr2=(1<<56)-1

#= L12 a load that reaches into the hole
#: source SDM vol. 1, 3.3.7.1: #GP(0) if any byte is not canonical
    five_levels
    mov  rbx, (1 << 56) - 1
here: mov ax, [rbx]
    expect GP, ec=0

#= L13 the first byte of the hole
#: source SDM vol. 1, 3.3.7.1
    five_levels
    mov  rbx, 1 << 56
here: mov al, [rbx]
    expect GP, ec=0

#= L14 the last byte of the hole
#: source SDM vol. 1, 3.3.7.1
    five_levels
    mov  rbx, -(1 << 56) - 1
here: mov [rbx], al
    expect GP, ec=0

#= L15 the first byte above the hole
#: source SDM vol. 1, 3.3.7.1: canonical
    five_levels
    mov  rbx, -(1 << 56)
here: mov [rbx], al
    expect PF, ec=2, cr2=-(1<<56)

#= L16 a push whose address is in the hole
#: source SDM vol. 1, 3.3.7.1: #SS(0) for the stack
    five_levels
    gate SS, unexpected, ist=4
    mov  rsp, (1 << 56) + 8
here: push rax
    expect SS, ec=0, rsp=(1<<56)+8, ist=4

#= L17 bit 47 alone is no hole
#: source SDM vol. 1, 3.3.7.1: bits 63:56
    five_levels
    mov  rbx, 1 << 47
here: mov al, [rbx]
    expect PF, ec=0, cr2=1<<47

#= L18 addresses that differ in bit 48 alone are two pages
#: source SDM vol. 3, "4-Level Paging and 5-Level Paging": bits 56:48 select the PML5E
    five_levels
    upper_room
    mov  dword ptr [user_stack], 0x2222
    mov  dword ptr [page_a], 0x1111
    mov  eax, offset page_a             # cached below bit 48 alone, when it moves
    shr  eax, 12
    mov  ecx, offset user_stack + PRESENT
    mov  [low_pt + rax * 8], rcx
here: mov eax, [rbx + page_a]
    mov  ecx, [page_a]
    nop
after: nop
    reaches after, rax=0x2222, rcx=0x1111

#= L19 INVLPG above 48 bits drops that page alone
#: source SDM vol. 3, "Operations that Invalidate TLBs and Paging-Structure Caches"
    five_levels
    upper_room
    mov  al, [rbx + page_a]
    mov  al, [page_a]
    unmap page_a
    invlpg [rbx + page_a]
here: mov al, [page_a]
there: mov al, [rbx + page_a]
    expect PF, ec=0, rip=there, cr2=ROOM+page_a

#= L20 a near jump to bit 47 goes there
#: source SDM vol. 2, JMP; vol. 1, 3.3.7.1
    five_levels
    mov  rax, 1 << 47
here: jmp rax
    expect PF, ec=0, rip=1<<47, cr2=1<<47

#= L21 a near jump into the hole
#: source SDM vol. 2, JMP: #GP(0)
    five_levels
    mov  rax, 1 << 56
here: jmp rax
    expect GP, ec=0

#= L22 RET into the hole
#: source SDM vol. 2, RET: #GP(0)
    five_levels
    mov  rax, 1 << 56
    push rax
here: ret
    expect GP, ec=0, rsp=kernel_stack_top-8

#= L23 IRETQ to bit 47 goes there
#: source SDM vol. 2, IRET; vol. 1, 3.3.7.1
    five_levels
    frame
    mov  rax, 1 << 47
    mov  [rsp], rax
here: iretq
    expect PF, ec=0, rip=1<<47, cr2=1<<47

#= L24 IRETQ into the hole
#: source SDM vol. 2, IRET, 64-bit mode exceptions
    five_levels
    frame
    mov  rax, 1 << 56
    mov  [rsp], rax
here: iretq
    expect GP, ec=0, rsp=FRAME

#= L25 a handler at bit 47
#: source SDM vol. 2, INT n; vol. 1, 3.3.7.1
#: --nmi at=here
    gate NMI, nmi_entry, ist=1
    gate_non_canonical NMI
    mov  dword ptr [idt + 16 * VECTOR_NMI + 4], 0x8e01
    mov  word ptr [idt + 16 * VECTOR_NMI], 0
    five_levels
here: nop
    expect NMI, ist=1
    expect PF, ec=0, rip=1<<47, rsp=nmi_stack_top-40, cr2=1<<47, nmi=BLOCKED

#= L26 a handler in the hole
#: source SDM vol. 2, INT n: #GP(EXT)
#: --nmi at=here
    gate NMI, nmi_entry, ist=1
    mov  dword ptr [idt + 16 * VECTOR_NMI + 8], 1 << 24
    five_levels
here: nop
    expect GP, ec=1, nmi=BLOCKED

#= L27 RSP0 at bit 47
#: source SDM vol. 2, INT n: canonical, and #PF on the first push
#: --irq 0x21@at=here
    gate IRQ, unexpected
    gate PF, unexpected, ist=4
    mov  rax, 1 << 47
    mov  [tss + TSS_RSP0], rax
    five_levels
    in_user RFLAGS_IF+2
here: nop
    expect_user PF, ec=2, cr2=(1<<47)-8, ist=4, rflags=RFLAGS_IF+RFLAGS_RF+2

#= L28 RSP0 in the hole
#: source SDM vol. 2, INT n: #SS(EXT)
#: --irq 0x21@at=here
    gate IRQ, unexpected
    gate SS, unexpected, ist=4
    mov  rax, 1 << 56
    mov  [tss + TSS_RSP0], rax
    five_levels
    in_user RFLAGS_IF+2
here: nop
    expect_user SS, ec=1, ist=4, rflags=RFLAGS_IF+RFLAGS_RF+2

#= L29 CR4.LA57 cannot be cleared in long mode
#: source SDM vol. 2, MOV to control registers: #GP(0) if LA57 changes in IA-32e mode
    five_levels
    mov  rax, cr4
    and  rax, ~(1 << 12)
here: mov cr4, rax
    expect GP, ec=0

#= L30 and cannot be set
#: source SDM vol. 2, MOV to control registers: #GP(0) if LA57 changes in IA-32e mode
    mov  rax, cr4
    or   rax, 1 << 12
here: mov cr4, rax
    expect GP, ec=0

#= L31 a 1 GiB page below a PML5
#: source SDM vol. 3, "4-Level Paging and 5-Level Paging"
    five_levels
    giant_page WRITE+PRESENT
    upper_room
here: mov byte ptr [rbx + GIANT + page_a], 7
    nop
after: nop
    reaches after
    wrote page_a, 1
    holds low_pdpt+8, HUGE+WRITE+PRESENT+0x60

#= L32 SYSRET to bit 47 goes there
#: source SDM vol. 2, SYSRET; vol. 1, 3.3.7.1
    five_levels
    efer 1
    set_msr 0xc0000081, KERNEL_CS + (USER_CS32 << 16), 0
    mov  r11d, 2
    mov  rcx, 1 << 47
    allow_user user_stack
    mov  rsp, offset user_stack_top
here: rex.w sysret
    expect_user PF, ec=4, rip=1<<47, cr2=1<<47

#= L33 SYSRET into the hole
#: source SDM vol. 2, SYSRET: #GP(0)
    five_levels
    efer 1
    mov  r11d, 2
    mov  rcx, 1 << 56
here: rex.w sysret
    expect GP, ec=0
