# nmi-nestable-early-clear: nmi-nestable, but the flag is cleared before DF is set: a gap of one instruction
#
# The handler has left its registers' place and has only to IRET. Until then either the flag or DF must tell that it is
# there. Here, for one boundary, neither does. (Twin: nmi-nestable. Run it with --nmi at=nmi_leave_mark.)
#
#     NMI#1            at work_interrupted; its #PF's IRET unblocks NMIs
#       NMI#2          at nmi_leave_mark: the flag is clear, DF too; it is first, and nmi_iret is NMI#2's from here on
#       IRET of NMI#2  to nmi_leave_mark
#     IRET of NMI#1    pops nmi_iret: to nmi_leave_mark again, and so for ever
#
# Try:
#     iretrace sweep @nmi-nestable-early-clear --from ready
#     iretrace run @nmi-nestable-early-clear --nmi at=nmi_leave_mark --max-insns 3k

.set FLAG_CLEARED_EARLY, 1
.include "kernel.inc"
.include "apic.inc"
.include "nestable-kernel.inc"
