#@ gate PF page_fault
#@ context user
#@ raise PF,ec=0x6,addr=0x12345678
#@ fails "IRETQ too early: at page_fault+"
    IRET_TOO_EARLY = 1
    .include "page_fault.inc"
