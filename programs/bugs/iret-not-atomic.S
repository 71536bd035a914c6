# iret-not-atomic: the last IRET of an NMI handler goes through a copy of its frame: the next NMI spoils it
#
# CVE-2015-3290. That NMI handlers may nest rests on one thing: the last IRET looks at the request of a nested NMI and
# leaves, in one instruction. Linux left otherwise if the user had a 16-bit stack segment: its frame was first copied
# to another stack (espfix64, against a leak of RSP's upper half). An NMI between two words of that copy found nobody
# on the NMI stack, and took the frame for its own; the rest of the copy was of its frame: a mixture of the user's and
# the kernel's registers. (Linux 3.13 and newer, till July 2015: commit 9b6e6a8334d5, "x86/nmi/64: Switch stacks on
# userspace NMI entry": an NMI from CPL 3 leaves the NMI stack first. So does the twin.) Here all returns to CPL 3 go
# through it.
#
# Undisturbed, nothing goes wrong. With one more NMI when three of five words are copied:
#
#     NMI#1            at user_called, from CPL 3, on IST1
#       #BP            in nmi_body; its IRET unblocks NMIs, as that of a page fault would
#       copy           of SS, RSP and RFLAGS
#       NMI#2          in the copy: RSP is elsewhere, so it is first; nmi_iret is its frame from here on
#       IRET of NMI#2  to the copy, which goes on with CS and RIP, of NMI#2's frame
#     IRET of NMI#1    with the user's SS, RSP and RFLAGS, and the kernel's CS and RIP: #GP, as SS does not fit
#
# So it is with one and two words. With four, CPL 3 is entered at an address of the kernel's; with none, the IRET leads
# back to the copy, for ever.
#
# Success: every NMI was followed by a run of nmi_body.
#
# Try:
#     iretrace sweep @iret-not-atomic --from ready                    # bad at each boundary of the copy
#     iretrace run @iret-not-atomic --nmi at=nmi_leave_iret+0x26      # three words copied
#     iretrace sweep @iret-not-atomic.ok --from ready                 # nothing

.set INTERRUPT_USER, 1
.set TRACED_BODY, 1
.ifndef MENDED
.set USER_ON_IST, 1
.endif

# leave_by_copy FRAME: if it leads to CPL 3, RSP points at a copy of it afterwards. It changes no register beside.
.set LEAVE_BY_COPY, 1
.macro leave_by_copy frame
    test byte ptr [\frame + FRAME_CS], 3
    jz   .Lto_kernel\@
    mov  rsp, offset spare_stack_top
    push_frame "\frame"
.Lto_kernel\@:
.endm

.include "kernel.inc"
.include "apic.inc"
.include "user.inc"
.include "nestable-user.inc"
