# nmi-nestable-no-repeat-check: nmi-nestable, but NMIs may change nmi_iret while the handler fills it in
#
# A repetition begins with an IRET to nmi_repeat, so NMIs are not blocked there. One that comes then must change
# nothing: the handler is about to run anyway. Without the look at the interrupted RIP it writes nmi_iret, in the middle
# of the outer one's copy. It takes three NMIs. (Twin: nmi-nestable. Run it with --nmi at=nmi_body_done and
# --nmi 'at=nmi_repeat+0x22#2'.)
#
#     NMI#1            at work_interrupted; its #PF's IRET unblocks NMIs
#       NMI#2          at nmi_body_done: asks for a repetition
#     IRET of NMI#1    to nmi_repeat, which copies SS and RSP ...
#       NMI#3          at nmi_repeat+0x22: SS, RSP, RFLAGS, CS and RIP are those of a repetition
#                      ... and then RFLAGS, CS and RIP
#     IRET of NMI#1    to work_interrupted, with an RSP on the NMI stack
#
# At nmi_repeat itself the flag is not yet set: NMI#3 is first, NMI#1's context is lost, and the handler runs for ever.
# At +0x22, +0x29 and +0x30 it is as above; at the other boundaries there NMI#3 does no harm.
#
# Try:
#     iretrace sweep @nmi-nestable-no-repeat-check --from nmi_body_done --to nmi_run_restore --then nmi
#     iretrace run @nmi-nestable-no-repeat-check --nmi at=nmi_body_done --nmi 'at=nmi_repeat+0x22#2'

.set WITHOUT_REPEAT_CHECK, 1
.include "kernel.inc"
.include "apic.inc"
.include "nestable-kernel.inc"
