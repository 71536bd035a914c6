# nmi-nestable-no-flag: nmi-nestable, but nobody looks at the executing flag: a nested NMI takes itself for the first
#
# Only RSP and DF are left to tell a nested NMI. DF is clear until the handler leaves, so an NMI in its middle takes the
# frames for its own. (Twin: nmi-nestable. Run it with --nmi at=nmi_body_done.)
#
#     NMI#1            at work_interrupted; its #PF's IRET unblocks NMIs
#       NMI#2          at nmi_body_done: nmi_outermost, nmi_iret and the saved registers are NMI#2's from here on
#       IRET of NMI#2  to nmi_body_done
#     IRET of NMI#1    pops nmi_iret: to nmi_body_done again, and so for ever
#
# Any NMI from nmi_entry (it is latched until the #PF's IRET) to nmi_leave_mark does that; one instruction later, DF
# tells. Without a second NMI nothing goes wrong.
#
# Try:
#     iretrace sweep @nmi-nestable-no-flag --from ready
#     iretrace run @nmi-nestable-no-flag --nmi at=nmi_body_done --max-insns 3k

.set WITHOUT_FLAG, 1
.include "kernel.inc"
.include "apic.inc"
.include "nestable-kernel.inc"
