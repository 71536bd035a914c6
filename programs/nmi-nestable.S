# nmi-nestable: an NMI handler that may fault and be interrupted by NMIs, and a kernel in which each safeguard matters
#
# The other cure for nested-nmi, the one that Linux took (the first is nested-nmi-popf). How the handler works stands in
# include/nestable.inc; the kernel and the user around it are in include/nestable-kernel.inc.
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
#     nmi_entry to nmi_setup's end,       if another NMI is raised before the fault's IRET: that IRET unblocks it, and
#     and to the end of nmi_user's copy   the frames are not safe yet
#     nmi_entry to nmi_nested_iret,       always: the fault's frame goes over nmi_executing and nmi_iret, and these are
#     of a nested NMI                     the outer one's
#     nmi_repeat's boundaries 3 to 7      always: RSP is above nmi_outermost, and the fault's frame goes over it
#     its boundaries 1 and 8              in a repetition, if another NMI comes before the fault's IRET
#     nmi_leave_mark, _flag and _iret     if another NMI comes before the fault's IRET, or has asked for a repetition
#                                         before: the fault's frame goes over nmi_outermost
#
# and nowhere else, but for CR2: until nmi_setup has read it, and after nmi_leave has written it, the fault's CR2 is the
# one that stays. These are the places in which an NMI handler must not fault, and this one does not.
#
# Each of these lacks one safeguard, and fails at the schedule given, which does this program no harm:
#
#     nmi-nestable-no-flag           at=nmi_body_done                           runs for ever in the handler
#     nmi-nestable-no-df-test        at=entry_syscall                           an NMI is lost
#     nmi-nestable-no-repeat-check   at=nmi_body_done and at=nmi_repeat+0x22#2  returns to the kernel on the NMI stack
#     nmi-nestable-early-clear       at=nmi_leave_mark                          runs for ever in two instructions
#     nmi-nestable-wrong-order       at=nmi_body_done                           runs for ever in the handler
#     nmi-nestable-no-cr2            at=page_fault_read                         a wrong address is taken for CR2
#     nmi-nestable-user-on-ist       at=user_withdrawn, at=stack_fault_entry#2  a stack fault's frame is lost
#
# Try:
#     iretrace run @nmi-nestable --nmi at=nmi_body_done     # the cure at work
#     iretrace sweep @nmi-nestable --from ready              # nothing

.include "kernel.inc"
.include "apic.inc"
.include "nestable-kernel.inc"
