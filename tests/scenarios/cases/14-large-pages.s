# Pages of 1 GiB (SDM vol. 3, "4-Level Paging and 5-Level Paging").

#= G1 a store through a 1 GiB page sets A and D in its PDPTE
#: source SDM vol. 3, "Accessed and Dirty Flags"
    giant_page WRITE+PRESENT
here: mov byte ptr [rbx + page_a], 7
    nop
after: nop
    reaches after
    wrote page_a, 1
    holds page_a, 7
    holds low_pdpt+8, HUGE+WRITE+PRESENT+0x60

#= G2 a load sets A alone, whatever low address it has
#: source SDM vol. 3, "Accessed and Dirty Flags"
    giant_page WRITE+PRESENT
    mov  dword ptr [page_a], 0x1234
here: mov eax, [rbx + page_a]
    nop
after: nop
    reaches after, rax=0x1234
    holds low_pdpt+8, HUGE+WRITE+PRESENT+0x20

#= G3 a store to a read-only 1 GiB page marks nothing
#: source SDM vol. 3, "Page-Fault Exceptions": P and W/R
    giant_page PRESENT
here: mov byte ptr [rbx + page_a + 3], 7
    expect PF, ec=3, cr2=GIANT+page_a+3
    holds low_pdpt+8, HUGE+PRESENT

#= G4 a load at CPL 3 from a supervisor's 1 GiB page
#: source SDM vol. 3, "Page-Fault Exceptions": P and U/S
    giant_page WRITE+PRESENT
    in_user
here: mov al, [rbx + page_a]
    expect_user PF, ec=5, cr2=GIANT+page_a

#= G5 a load at CPL 3 from a user's one
#: source SDM vol. 3, "Access Rights"
    mov  dword ptr [page_a], 0x1234
    giant_page WRITE+PRESENT+USER
    in_user
here: mov eax, [rbx + page_a]
    nop
after: nop
    reaches after, cs=USER_CS, ss=USER_DS, rsp=user_stack_top, rax=0x1234

#= G6 the same at CPL 0 with SMAP and AC = 0
#: source SDM vol. 3, "Access Rights"
    giant_page WRITE+PRESENT+USER
    set_bits cr4, CR4_SMAP
here: mov al, [rbx + page_a]
    expect PF, ec=1, cr2=GIANT+page_a

#= G7 code at CPL 0 runs in a 1 GiB page, and faults there
#: source SDM vol. 3, "Page-Fault Exceptions"; vol. 2, UD
    giant_page WRITE+PRESENT
    lea  rax, [rbx + there]
here = GIANT + spot
    jmp  rax
there: add dword ptr [rbx + page_a], 2
spot: ud2
    expect UD, rip=GIANT+spot

#= G8 a fetch from a 1 GiB page with XD
#: source SDM vol. 3, "Page-Fault Exceptions": P and I/D
    efer EFER_NXE
    giant_page WRITE+PRESENT+XD
    lea  rax, [rbx + there]
here: jmp rax
there: nop
    expect PF, ec=0x11, rip=GIANT+there, cr2=GIANT+there

#= G9 a fetch at CPL 0 from a user's 1 GiB page with SMEP
#: source SDM vol. 3, "Page-Fault Exceptions": P and I/D
    giant_page WRITE+PRESENT+USER
    set_bits cr4, CR4_SMEP
    lea  rax, [rbx + there]
here: jmp rax
there: nop
    expect PF, ec=0x11, rip=GIANT+there, cr2=GIANT+there

#= G10 bit 13 of a 1 GiB page's PDPTE
#: source SDM vol. 3, "4-Level Paging and 5-Level Paging": bits 29:13 are reserved
    giant_page WRITE+PRESENT+(1<<13)
here: mov al, [rbx + page_a]
    expect PF, ec=9, cr2=GIANT+page_a

#= G11 bit 29 of it
#: source SDM vol. 3, "4-Level Paging and 5-Level Paging": bits 29:13 are reserved
    giant_page WRITE+PRESENT+(1<<29)
here: mov [rbx + page_a], al
    expect PF, ec=0xb, cr2=GIANT+page_a

#= G12 bit 12 of it is PAT
#: source SDM vol. 3, "4-Level Paging and 5-Level Paging"
    giant_page WRITE+PRESENT+(1<<12)
    mov  dword ptr [page_a], 0x1234
here: mov eax, [rbx + page_a]
    nop
after: nop
    reaches after, rax=0x1234

#= G13 PS in a PDPTE without 1 GiB pages
#: source SDM vol. 3, "4-Level Paging and 5-Level Paging": PS is reserved if they are not supported
#: cpu intel -page-1gb
#: cpu amd -page-1gb
    giant_page WRITE+PRESENT
here: mov al, [rbx + page_a]
    expect PF, ec=9, cr2=GIANT+page_a

#= G14 a key in the PDPTE of a 1 GiB page
#: source SDM vol. 3, "Protection Keys": bits 62:59 of the entry that maps the page
    giant_page WRITE+PRESENT+USER+KEY1
    keys PKRU_WD1
here: mov [rbx + page_a], al
    expect PF, ec=0x23, cr2=GIANT+page_a

#= G15 a store that leaves a 1 GiB page for one that is absent
#: source SDM vol. 3, "Page-Fault Exceptions": the first byte that faults
    giant_page WRITE+PRESENT
here: mov [GIANT + (1<<30) - 4], rax
    expect PF, ec=2, cr2=GIANT+(1<<30)

#= G16 a 1 GiB page that becomes absent without INVLPG stays in use at all its addresses
#: source SDM vol. 3, "Caching Translation Information"
    giant_page WRITE+PRESENT
    mov  al, [rbx + page_a]
    mov  qword ptr [low_pdpt + 8], 0
    invlpg [rbx - 1]
    invlpg [rbx + (1<<30)]
    mov  dword ptr [page_b], 0x1234
here: mov eax, [rbx + page_b]
    nop
after: nop
    reaches after, rax=0x1234

#= G17 INVLPG of any address in it ends that for all
#: source SDM vol. 3, "Operations that Invalidate TLBs and Paging-Structure Caches": the page that contains the address
    giant_page WRITE+PRESENT
    mov  al, [rbx + page_a]
    mov  qword ptr [low_pdpt + 8], 0
    invlpg [rbx + 0x3fffffff]
here: mov al, [rbx + page_b]
    expect PF, ec=0, cr2=GIANT+page_b

#= G18 the first write through a cached 1 GiB page sets D
#: source SDM vol. 3, "Accessed and Dirty Flags"
    giant_page WRITE+PRESENT
    mov  al, [rbx + page_b]
here: add byte ptr [rbx + page_a], 1
    nop
after: nop
    reaches after
    wrote page_a, 1
    holds low_pdpt+8, HUGE+WRITE+PRESENT+0x60

#= G19 a frame is pushed through a 1 GiB page
#: source SDM vol. 2, INT n
#: --nmi at=here
    giant_page WRITE+PRESENT
    mov  rax, [tss + TSS_IST1]
    add  rax, rbx
    mov  [tss + TSS_IST1], rax
    gate NMI, nmi_entry, ist=1
here: nop
    expect NMI, ist=1
