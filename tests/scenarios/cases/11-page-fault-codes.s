# Each bit of the #PF error code, alone and with others (SDM vol. 3, "Page-Fault Exceptions").

#= P1 a read of an absent page at CPL 0: 0
#: source SDM vol. 3, "Page-Fault Exceptions"
    absent page_a
here: mov al, [page_a]
    expect PF, ec=0, cr2=page_a

#= P2 P: a write to a read-only page at CPL 0
#: source SDM vol. 3, "Page-Fault Exceptions"
    map page_a, PRESENT
here: mov [page_a], al
    expect PF, ec=3, cr2=page_a
    pte_bits page_a, PRESENT

#= P3 W/R: a write to an absent page
#: source SDM vol. 3, "Page-Fault Exceptions"
    absent page_a
here: mov [page_a + 5], al
    expect PF, ec=2, cr2=page_a+5

#= P4 U/S: a read of an absent page at CPL 3
#: source SDM vol. 3, "Page-Fault Exceptions"
    absent page_a
    in_user
here: mov al, [page_a]
    expect_user PF, ec=4, cr2=page_a

#= P5 W/R and U/S
#: source SDM vol. 3, "Page-Fault Exceptions"
    absent page_a
    in_user
here: mov [page_a], al
    expect_user PF, ec=6, cr2=page_a

#= P6 P and U/S: a supervisor page at CPL 3
#: source SDM vol. 3, "Page-Fault Exceptions"
    in_user
here: mov al, [page_a]
    expect_user PF, ec=5, cr2=page_a

#= P7 P, W/R and U/S
#: source SDM vol. 3, "Page-Fault Exceptions"
    map page_a, PRESENT+USER
    in_user
here: mov [page_a], al
    expect_user PF, ec=7, cr2=page_a

#= P8 RSVD: a bit above MAXPHYADDR in the PTE
#: source SDM vol. 3, "Page-Fault Exceptions"
    map page_a, PRESENT+WRITE+(1<<51)
here: mov [page_a], al
    expect PF, ec=0x0b, cr2=page_a

#= P9 RSVD at CPL 3
#: source SDM vol. 3, "Page-Fault Exceptions"
    map page_a, PRESENT+WRITE+USER+(1<<51)
    in_user
here: mov al, [page_a]
    expect_user PF, ec=0x0d, cr2=page_a

#= P10 RSVD: bit 13 of the PDE of a 2 MiB page
#: source SDM vol. 3, "4-Level Paging and 5-Level Paging": bits 20:13 are reserved
    mov  qword ptr [low_pd + 8*4], (4 << 21) + HUGE + WRITE + PRESENT + (1 << 13)
    mov  ebx, 4 << 21
here: mov al, [rbx]
    expect PF, ec=9, cr2=4<<21

#= P11 a reserved bit in an entry that is not present is none
#: source SDM vol. 3, "Page-Fault Exceptions": P = 0
    map page_a, (1<<51)
here: mov al, [page_a]
    expect PF, ec=0, cr2=page_a

#= P12 the reserved bit of a lower level under an absent upper one
#: source SDM vol. 3, "Page-Fault Exceptions": the walk ends at the upper level
    mov  qword ptr [low_pd + 8*4], 0
    mov  ebx, 4 << 21
here: mov al, [rbx]
    expect PF, ec=0, cr2=4<<21

#= P13 I/D: a fetch from a page with XD
#: source SDM vol. 3, "Page-Fault Exceptions"
    efer EFER_NXE
    map  page_a, XD+PRESENT+WRITE
    mov  eax, offset page_a
here: jmp rax
    expect PF, ec=0x11, rip=page_a, cr2=page_a

#= P14 I/D with P = 0
#: source SDM vol. 3, "Page-Fault Exceptions"
    efer EFER_NXE
    absent page_a
    mov  eax, offset page_a
here: jmp rax
    expect PF, ec=0x10, rip=page_a, cr2=page_a

#= P15 a fetch from an absent page without NXE and SMEP
#: source SDM vol. 3, "Page-Fault Exceptions": I/D = 0
    absent page_a
    mov  eax, offset page_a
here: jmp rax
    expect PF, ec=0, rip=page_a, cr2=page_a

#= P16 SMEP alone sets I/D
#: source SDM vol. 3, "Page-Fault Exceptions"
    absent page_a
    set_bits cr4, CR4_SMEP
    mov  eax, offset page_a
here: jmp rax
    expect PF, ec=0x10, rip=page_a, cr2=page_a

#= P17 a fetch at CPL 3 from a supervisor page with NXE
#: source SDM vol. 3, "Page-Fault Exceptions"
    efer EFER_NXE
    in_user
    mov  eax, offset page_a
here: jmp rax
    expect_user PF, ec=0x15, rip=page_a, cr2=page_a

#= P18 a fetch through a reserved bit
#: source SDM vol. 3, "Page-Fault Exceptions"
    efer EFER_NXE
    map  page_a, PRESENT+(1<<51)
    mov  eax, offset page_a
here: jmp rax
    expect PF, ec=0x19, rip=page_a, cr2=page_a

#= P19 PK: a read at CPL 3
#: source SDM vol. 3, "Protection Keys"
    map page_a, KEY1+PRESENT+USER+WRITE
    keys PKRU_AD1
    in_user
here: mov al, [page_a]
    expect_user PF, ec=0x25, cr2=page_a

#= P20 PK: a write at CPL 0 with WD
#: source SDM vol. 3, "Protection Keys"
    map page_a, KEY1+PRESENT+USER+WRITE
    keys PKRU_WD1
here: mov [page_a], al
    expect PF, ec=0x23, cr2=page_a

#= P21 WD is not for writes at CPL 0 with WP = 0
#: source SDM vol. 3, "Protection Keys"
    map page_a, KEY1+PRESENT+USER+WRITE
    keys PKRU_WD1
    clear_bits cr0, CR0_WP
here: mov byte ptr [page_a], 1
after: nop
    reaches after
    wrote page_a, 1

#= P22 WD is for writes at CPL 3 whatever WP is
#: source SDM vol. 3, "Protection Keys"
    map page_a, KEY1+PRESENT+USER+WRITE
    keys PKRU_WD1
    clear_bits cr0, CR0_WP
    in_user
here: mov [page_a], al
    expect_user PF, ec=0x27, cr2=page_a

#= P23 no PK with P = 0
#: source SDM vol. 3, "Page-Fault Exceptions"
    map page_a, KEY1
    keys PKRU_AD1
    in_user
here: mov al, [page_a]
    expect_user PF, ec=4, cr2=page_a

#= P24 SMAP: a read at CPL 0 from a user page
#: source SDM vol. 3, "Access Rights"
    map page_a, PRESENT+USER+WRITE
    set_bits cr4, CR4_SMAP
here: mov al, [page_a]
    expect PF, ec=1, cr2=page_a

#= P25 SMAP with AC = 1
#: source SDM vol. 3, "Access Rights"
    map page_a, PRESENT+USER+WRITE
    set_bits cr4, CR4_SMAP
    stac
here: mov al, [page_a]
after: nop
    reaches after, rflags=RFLAGS_AC+2

#= P26 SMEP: a fetch at CPL 0 from a user page; AC does not matter
#: source SDM vol. 3, "Access Rights"
    map page_a, PRESENT+USER+WRITE
    set_bits cr4, CR4_SMEP+CR4_SMAP
    stac
    mov  eax, offset page_a
here: jmp rax
    expect PF, ec=0x11, rip=page_a, cr2=page_a, rflags=RFLAGS_AC+RFLAGS_RF+2

#= P27 WP = 0: a write at CPL 0 to a read-only page sets D
#: source SDM vol. 3, "Access Rights" and "Accessed and Dirty Flags"
    map page_a, PRESENT
    clear_bits cr0, CR0_WP
here: mov byte ptr [page_a], 1
after: nop
    reaches after
    wrote page_a, 1
    pte_bits page_a, 0x61

#= P28 bit 8 of a PML4E
#: source SDM vol. 3, "4-Level Paging and 5-Level Paging": ignored; APM vol. 2, 5.3.3: must be zero
#: cpu intel
#: cpu intel nonleaf-bit8-reserved=true
#: cpu amd
    mov  rax, [kernel_pml4]
    or   rax, 0x100
    mov  [kernel_pml4 + 8], rax
    mov  rbx, 1 << 39
    add  rbx, offset page_a
here: mov al, [rbx]
after: nop
.if nonleaf_bit8_reserved
    expect PF, ec=9, cr2=(1<<39)+page_a
.else
    reaches after
.endif

#= P29 A bits of the levels above a leaf that is absent
#: source SDM vol. 3, "Accessed and Dirty Flags": may be set
#: cpu intel
#: cpu intel set-a-on-failed-walk=true
    mov  qword ptr [kernel_pml4 + 8], offset user_stack + TABLE
here: mov rbx, 1 << 39
    mov  al, [rbx]
.if set_a_on_failed_walk
    expect PF, ec=0, rip=here+10, cr2=1<<39
    holds kernel_pml4+8, user_stack+TABLE+0x20
.else
    expect PF, ec=0, rip=here+10, cr2=1<<39
    holds kernel_pml4+8, user_stack+TABLE
.endif
