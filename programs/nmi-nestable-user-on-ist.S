# nmi-nestable-user-on-ist: nmi-nestable, but an NMI from CPL 3 is handled on the NMI stack: its IRET may fault there
#
# An IRET to CPL 3 may fault: here the user's stack segment has become not present. The fault's handler then runs on the
# NMI stack, where the flag is already clear; its frame is the next NMI's prey, as NMIs are not blocked: the #PF's IRET
# has seen to that (and on Intel, the IRET that faults does so too). (Twin: nmi-nestable. Run it with
# --nmi at=user_withdrawn and --nmi 'at=stack_fault_entry#2'.)
#
#     NMI#2            at user_withdrawn, from CPL 3
#       #SS            at nmi_leave_iret: its frame is where nmi_outermost is
#         NMI#3        at stack_fault_entry, DF still set: takes itself for nested, and points nmi_iret at nmi_repeat
#       IRET of #SS    to nmi_leave_iret
#     IRET of NMI#2    to nmi_repeat: nmi_outermost, the #SS's frame, leads to nmi_leave_iret, and so for ever
#
# One instruction later DF is clear, and NMI#3 takes itself for the first: its frames and registers go over the #SS
# handler's, which then finds a stack fault by another segment or at another place, or (when it is about to leave) comes
# back for ever. The last such boundary is nmi_leave_iret, where the IRET is tried again.
#
# Try:
#     iretrace sweep @nmi-nestable-user-on-ist --from user_withdrawn --to call_end --then nmi
#     iretrace run @nmi-nestable-user-on-ist --nmi at=user_withdrawn --nmi 'at=stack_fault_entry#2' --max-insns 3k

.set USER_ON_IST, 1
.include "kernel.inc"
.include "apic.inc"
.include "nestable-kernel.inc"
