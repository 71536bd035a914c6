# Page faults: error codes, CR2, A and D, cached translations (SDM vol. 3, "Paging").

#= 48 a reserved bit in the PML4E over a PDPTE that is not present
#: source SDM vol. 3, "Page-Fault Exceptions": P and RSVD
    mov  rax, offset page_a + HUGE + TABLE
    mov  [kernel_pml4 + 8], rax
    mov  rbx, 1 << 39
here: mov al, [rbx]
    expect PF, ec=9, cr2=1<<39

#= 49 XD = 1 with EFER.NXE = 0
#: source SDM vol. 3, "Page-Fault Exceptions": bit 63 is reserved
    map page_a, XD+PRESENT+WRITE
here: mov al, [page_a]
    expect PF, ec=9, cr2=page_a

#= 50 WP = 0 does not override SMAP
#: source SDM vol. 3, "Determination of Access Rights"
    map page_a, PRESENT+USER
    set_bits cr4, CR4_SMAP
    clear_bits cr0, CR0_WP
here: mov [page_a], al
    expect PF, ec=3, cr2=page_a

#= 51a a load of DS at CPL 0 from a GDT page of the user's, SMAP = 1, AC = 1
#: source SDM vol. 3, "Access Rights": AC is ignored for implicit accesses
    split_gdt
    set_bits cr4, CR4_SMAP
    mov  ebx, USER_DS
    stac
here: mov ds, ebx
    expect PF, ec=1, cr2=page_b, rflags=RFLAGS_AC+RFLAGS_RF+2

#= 51b the same at CPL 3: not a user-mode access
#: source SDM vol. 3, "Access Rights": implicit supervisor-mode accesses
    init_syscall
    split_gdt
    set_bits cr4, CR4_SMAP
    mov  ebx, USER_DS
    allow_user user_start
    mov  rcx, offset user_start
    mov  r11, RFLAGS_AC+2
    mov  rsp, offset user_stack_top
    sysretq
entry_syscall: nop
in_kernel
user_start:
here: mov ds, ebx
    expect_user PF, ec=1, cr2=page_b, rflags=RFLAGS_AC+RFLAGS_RF+2

#= 52a a read at CPL 0 from a user page whose key has AD = 1
#: source SDM vol. 3, "Protection Keys"
    map page_a, KEY1+PRESENT+WRITE+USER
    keys PKRU_AD1
here: mov al, [page_a]
    expect PF, ec=0x21, cr2=page_a

#= 52b a fetch at CPL 0 from it
#: source SDM vol. 3, "Protection Keys": not for fetches
    mov  byte ptr [page_a], 0xc3
    map page_a, KEY1+PRESENT+WRITE+USER
    keys PKRU_AD1
    mov  eax, offset page_a
here: call rax
after: nop
    reaches after
    wrote kernel_stack_top-8, 8

#= 52c the same with SMEP
#: source SDM vol. 3, "Page-Fault Exceptions": I/D
    mov  byte ptr [page_a], 0xc3
    map page_a, KEY1+PRESENT+WRITE+USER
    keys PKRU_AD1
    set_bits cr4, CR4_SMEP
    mov  eax, offset page_a
here: call rax
after: nop
    expect PF, ec=0x11, rip=page_a, cr2=page_a, rsp=kernel_stack_top-8
    wrote kernel_stack_top-8, 8

#= 53 a user's write, refused by R/W and by the key
#: source SDM vol. 3, "Page-Fault Exceptions": PK too
    map page_a, KEY1+PRESENT+USER
    keys PKRU_WD1
    in_user
here: mov [page_a], al
    expect_user PF, ec=0x27, cr2=page_a

#= 54 a write at CPL 0 to a supervisor page, PKRU all ones
#: source SDM vol. 3, "Protection Keys": user pages only
    map page_a, KEY1+PRESENT+WRITE
    keys -1
here: mov byte ptr [page_a], 1
after: nop
    reaches after
    wrote page_a, 1
    pte_bits page_a, 0x63

#= 55a LOCK ADD to a page that is not present
#: source SDM vol. 3, "Page-Fault Exceptions": W/R; hardware sets it though the read faults
    absent page_a
here: lock add [page_a], eax
    expect PF, ec=2, cr2=page_a

#= 55b ADD to it
#: source SDM vol. 3, "Page-Fault Exceptions": W/R; open without LOCK, and taken as with it
    absent page_a
here: add [page_a], eax
    expect PF, ec=2, cr2=page_a

#= 56 a store of eight bytes into a second page that is not present
#: source SDM vol. 3, "Page-Fault Exceptions": CR2 is the byte that faults; "Exception Classifications": nothing stays
    absent page_b
    mov  rax, -1
here: mov [page_b - 4], rax
    expect PF, ec=2, cr2=page_b

#= 57a a read sets A alone
#: source SDM vol. 3, "Accessed and Dirty Flags"
here: mov al, [page_a]
after: nop
    reaches after
    pte_bits page_a, 0x23

#= 57b a write after it sets D
#: source SDM vol. 3, "Accessed and Dirty Flags"
here: mov al, [page_a]
    mov byte ptr [page_a], 1
after: nop
    reaches after
    wrote page_a, 1
    pte_bits page_a, 0x63

#= 58a a page that becomes present needs no INVLPG
#: source SDM vol. 3, "Optional Invalidation"
    gate PF, pf_entry
    absent page_a
here: mov al, [page_a]
after: nop
pf_entry: pte page_a, PRESENT+WRITE
    add  rsp, 8
    iretq
    expect PF, ec=0, cr2=page_a
    reaches after, cr2=page_a

#= 58b a page that becomes absent without INVLPG stays in use
#: source SDM vol. 3, "Caching Translation Information": may; a run takes it as yes
    mov  al, [page_a]
    unmap page_a
here: mov al, [page_a]
after: nop
    reaches after

#= 58c until INVLPG
#: source SDM vol. 3, "Operations that Invalidate TLBs and Paging-Structure Caches"
    mov  al, [page_a]
    unmap page_a
    invlpg [page_a]
here: mov al, [page_a]
    expect PF, ec=0, cr2=page_a

#= 58d until MOV to CR3
#: source SDM vol. 3, "Operations that Invalidate TLBs and Paging-Structure Caches"
    mov  al, [page_a]
    unmap page_a
    mov  rax, cr3
    mov  cr3, rax
here: mov al, [page_a]
    expect PF, ec=0, cr2=page_a

#= 59a LASS: a load at CPL 3 from the upper half
#: source SDM vol. 3, "Linear-Address-Space Separation": #GP(0) before the walk
    upper_half
    set_bits cr4, CR4_LASS
    mov  rbx, UPPER
    in_user
here: mov al, [rbx + page_a]
    expect_user GP, ec=0

#= 59b LASS: the same through SS
#: source SDM vol. 3, "Linear-Address-Space Separation": #SS(0) for the stack
    upper_half
    gate SS, unexpected, ist=4
    set_bits cr4, CR4_LASS
    mov  rbx, UPPER
    in_user
    lea  rsp, [rbx + page_a]
here: push rax
    expect_user SS, ec=0, rsp=UPPER+page_a, ist=4

#= 59c without LASS it is a page fault
#: source SDM vol. 3, "Page-Fault Exceptions": P and U/S
    upper_half
    mov  rbx, UPPER
    in_user
here: mov al, [rbx + page_a]
    expect_user PF, ec=5, cr2=UPPER+page_a

#= 59d LASS: a fetch at CPL 0 from the lower half
#: source SDM vol. 3, "Linear-Address-Space Separation"
    upper_half
    set_bits cr4, CR4_LASS
    mov  eax, offset low
here = spot + UPPER
spot: jmp rax
low:
    expect GP, ec=0, rip=low, rsp=UPPER+kernel_stack_top

#= 59e LASS and SMAP: a load at CPL 0 from the lower half with AC = 0
#: source SDM vol. 3, "Linear-Address-Space Separation"
    upper_half
    set_bits cr4, CR4_LASS+CR4_SMAP
here = spot + UPPER
spot: mov al, [page_a]
    expect GP, ec=0, rsp=UPPER+kernel_stack_top

#= 59f LASS and SMAP: the same with AC = 1
#: source SDM vol. 3, "Linear-Address-Space Separation"
    upper_half
    set_bits cr4, CR4_LASS+CR4_SMAP
    stac
here = spot + UPPER
spot: mov al, [page_a]
next: nop
after = next + UPPER
    reaches after, rflags=RFLAGS_AC+2, rsp=UPPER+kernel_stack_top

#= 59g LASS and SMAP: the read of the IDT is implicit, AC = 1 or not
#: source SDM vol. 3, "Linear-Address-Space Separation"
    upper_half
    set_bits cr4, CR4_LASS+CR4_SMAP
    stac
    lea  rax, [rip + idt_pointer]
    mov  qword ptr [idt_pointer + 2], offset idt
    lidt [rax]
here = spot + UPPER
spot: ud2
    shuts_down rflags=RFLAGS_AC+2, rsp=UPPER+kernel_stack_top
