# nmi-nestable-no-df-test: nmi-nestable, but any RSP on the NMI stack means nested: a user can have NMIs lost
#
# The user's RSP points into the NMI stack, and SYSCALL does not change RSP. An NMI at CPL 0 that finds such an RSP is
# nested only if DF is set: the handler sets it when it leaves, and SYSCALL clears it. Without that test an NMI in the
# gap asks a handler to run again that does not run. (Twin: nmi-nestable. Run it with --nmi at=entry_syscall.)
#
#     SYSCALL        to entry_syscall
#     NMI#1          at entry_syscall, saved RSP nmi_iret: to nmi_nested
#     IRET of NMI#1  to entry_syscall; nmi_body has not run
#
# So it is at all boundaries with the user's RSP: the three from entry_syscall, and the two before SYSRET.
#
# Try:
#     iretrace sweep @nmi-nestable-no-df-test --from ready
#     iretrace run @nmi-nestable-no-df-test --nmi at=entry_syscall

.set WITHOUT_DF_TEST, 1
.include "kernel.inc"
.include "apic.inc"
.include "nestable-kernel.inc"
