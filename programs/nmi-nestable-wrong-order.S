# nmi-nestable-wrong-order: nmi-nestable, but nmi_iret is copied to nmi_outermost: a repetition keeps the wrong one
#
# The first time it makes no difference in which order the two frames are filled in. But a nested NMI writes nmi_iret,
# so a repetition must copy from nmi_outermost. Here nmi_setup copies the processor's frame to nmi_iret, and nmi_repeat
# copies that to nmi_outermost. (Twin: nmi-nestable. Run it with --nmi at=nmi_body_done.)
#
#     NMI#1                at work_interrupted; its #PF's IRET unblocks NMIs
#       NMI#2              at nmi_body_done: nmi_iret leads to nmi_repeat
#     IRET of NMI#1        to nmi_repeat: nmi_outermost leads to nmi_repeat; where NMI#1 came from is lost
#     IRET, IRET, ...      to nmi_repeat, for ever
#
# Any NMI from nmi_entry (it is latched until the #PF's IRET) to nmi_leave_iret does that.
#
# Try:
#     iretrace sweep @nmi-nestable-wrong-order --from ready
#     iretrace run @nmi-nestable-wrong-order --nmi at=nmi_body_done --max-insns 3k

.set FRAMES_IN_WRONG_ORDER, 1
.include "kernel.inc"
.include "apic.inc"
.include "nestable-kernel.inc"
