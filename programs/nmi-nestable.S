# nmi-nestable: an NMI handler that may fault and be interrupted by NMIs, and a kernel in which each safeguard matters
#
# The cure that Linux took for nested-nmi (the other one is nested-nmi-popf). The handler is in include/nestable.inc and
# tells how it works; the kernel and the user around it are in include/nestable-kernel.inc.
#
#     IRET             to the user, who points RSP into the NMI stack, sets DF, and makes four system calls
#     #PF, #PF, #BP    in the kernel, in the first one
#     NMI#1            at work_interrupted, on IST1
#       #PF, IRET      at nmi_touch; NMIs unblocked early
#       #BP, IRET      at nmi_breakpoint
#     IRET of NMI#1    to work_interrupted
#     #SS              at user_return_iret, in the second one; mended, and the IRET is tried again
#
# It ends in the fourth one, which looks at everything. Success: so it does with one more NMI, or two, at any boundaries
# from ready on. With --nmi at=nmi_body_done, for one, NMI#2 only marks the frame, and NMI#1's IRET leads to nmi_repeat.
#
# Exceptions are another matter. A spurious page fault (--exception page-fault@at=...,ec=0,addr=0x2000) does harm
#
#     from nmi_entry to nmi_setup's end     if an NMI is raised until the fault's IRET, which unblocks it too early: the
#                                           frames are not yet safe. In an NMI that is nested, from nmi_entry to
#                                           nmi_nested_iret, it does so by itself: the fault's frame goes over nmi_iret
#     from nmi_repeat's 3rd to 7th boundary always: RSP is above nmi_outermost, and the fault's frame goes over it
#     at nmi_repeat and its last boundary   in a repetition, if an NMI comes in the fault's handler
#     at nmi_leave_mark, _flag and _iret    if an NMI is raised in the fault's handler (DF and the flag are clear there),
#                                           or has asked for a repetition already: the fault's frame goes over nmi_outermost
#     in nmi_user, up to its frame's end    as in nmi_setup
#
# and nowhere else: NMI handlers must not take a fault there, and nothing there can.
#
# Each of these lacks one safeguard, and fails at the schedule given, which does this program no harm:
#
#     nmi-nestable-no-flag           at=nmi_body_done                           runs for ever in the handler
#     nmi-nestable-no-df-test        at=entry_syscall                           an NMI is lost
#     nmi-nestable-no-repeat-check   at=nmi_body_done and at=nmi_repeat+0x22#2  returns to the kernel on the NMI stack
#     nmi-nestable-early-clear       at=nmi_leave_mark                          runs for ever in two instructions
#     nmi-nestable-wrong-order       at=nmi_body_done                           runs for ever in the handler
#     nmi-nestable-no-cr2            at=page_fault_read                         a page fault is handled at another address
#     nmi-nestable-user-on-ist       at=user_withdrawn, at=stack_fault_entry#2  a stack fault's frame is lost

.include "nestable-kernel.inc"
