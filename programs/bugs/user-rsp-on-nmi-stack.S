# user-rsp-on-nmi-stack: a user's RSP points into the NMI stack at a system call: an NMI there takes itself for nested
#
# CVE-2015-3291. A nested NMI leaves its work to the one that it interrupted. How does it know? Since Linux 3.3 by an
# "executing" word, and in the last instructions of the handler, when that is already clear, by the interrupted RSP.
# But in the SYSCALL gap RSP is the user's. So NMIs were ignored there. (Linux: commit 810bc075f78f. The handler sets
# DF before it clears the word, and only RSP and DF together mean "nested": SYSCALL clears DF. So does the twin.)
#
# Undisturbed there is no NMI. With one at entry_syscall:
#
#     SYSCALL          to entry_syscall; RSP is nmi_iret
#     NMI#1            from CPL 0, on IST1: RSP on the NMI stack: "nested"
#     IRET             to entry_syscall, without a run of nmi_body
#
# It ends in the last system call. Success: every NMI was followed by a run of nmi_body.
#
# Try:
#     iretrace sweep @user-rsp-on-nmi-stack --from ready --nmi-body nmi_body      # nmi-unserved, at both gaps
#     iretrace run @user-rsp-on-nmi-stack --nmi at=entry_syscall --nmi-body nmi_body
#     iretrace sweep @user-rsp-on-nmi-stack.ok --from ready --nmi-body nmi_body   # nothing

USER_RSP = nmi_iret                     # inside the NMI stack
.ifndef MENDED
.set WITHOUT_DF_TEST, 1
.endif

.include "kernel.inc"
.include "apic.inc"
.include "user.inc"
.include "nestable-user.inc"
