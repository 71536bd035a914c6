# iret-fault-on-nmi-stack: an NMI interrupts the user, and its IRET faults on the NMI stack, which is free again
#
# CVE-2015-5157. An IRET to CPL 3 may fault: a user can make its segments not present. At the end of an NMI handler the
# "executing" word is already clear, and on Intel the IRET that faults has unblocked NMIs. The fault's handler runs on
# the NMI stack, over the frame that a repetition would need, and the next NMI does the rest. (Linux: commit
# 9b6e6a8334d5, "x86/nmi/64: Switch stacks on userspace NMI entry", July 2015: an NMI from CPL 3 leaves the NMI stack
# first. So does the twin.)
#
# Undisturbed, nothing goes wrong. With one more NMI at stack_fault_entry, or one that waits since nmi_entry:
#
#     NMI#1            at user_called, from CPL 3, on IST1
#       #SS            at nmi_leave_iret; its frame is where nmi_outermost is
#         NMI#2        at stack_fault_entry, DF still set: takes itself for nested, and points nmi_iret at nmi_repeat
#       IRET of #SS    to nmi_leave_iret
#     IRET of NMI#1    to nmi_repeat: nmi_outermost, the #SS's frame, leads to nmi_leave_iret, and so for ever
#
# Success: every NMI was followed by a run of nmi_body.
#
# Try:
#     iretrace sweep @iret-fault-on-nmi-stack --from ready            # hung, from nmi_entry to stack_fault_iret
#     iretrace run @iret-fault-on-nmi-stack --nmi at=stack_fault_entry --max-insns 1066
#     iretrace run @iret-fault-on-nmi-stack --nmi at=stack_fault_entry --max-insns 1066 --cpu amd
#     iretrace sweep @iret-fault-on-nmi-stack.ok --from ready         # nothing

.set INTERRUPT_USER, 1
.set WITHDRAW_SEGMENT, 1
.ifndef MENDED
.set USER_ON_IST, 1
.endif

.include "kernel.inc"
.include "apic.inc"
.include "user.inc"
.include "nestable-user.inc"
