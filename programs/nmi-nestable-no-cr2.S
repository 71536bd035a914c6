# nmi-nestable-no-cr2: nmi-nestable, but CR2 is not brought back: the page fault that was interrupted reads the NMI's
#
# CR2 belongs to the latest fault, and the page-fault handler reads it late. An NMI that comes first, and faults itself,
# must leave CR2 as it was. (Twin: nmi-nestable. Run it with --nmi at=page_fault_read.)
#
#     #PF#1                at work_copy, CR2 = LAZY_COPY + 4
#       NMI#1              at page_fault_read
#         #PF#2            at nmi_touch, CR2 = LAZY_NMI, and its IRET
#       IRET of NMI#1      to page_fault_read
#     MOV from CR2         LAZY_NMI: the wrong page is mapped, and work_copy faults once more
#
# So it is at every boundary from page_fault_entry to page_fault_read.
#
# Try:
#     iretrace sweep @nmi-nestable-no-cr2 --from ready
#     iretrace run @nmi-nestable-no-cr2 --nmi at=page_fault_read

.set WITHOUT_CR2, 1
.include "kernel.inc"
.include "apic.inc"
.include "nestable-kernel.inc"
