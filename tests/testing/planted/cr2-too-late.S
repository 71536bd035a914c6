#@ gate PF page_fault
#@ context user
#@ raise PF,ec=0x6,addr=0x12345678
#@ fails "CR2 is read too late: at page_fault+"
    CR2_TOO_LATE = 1
    .include "page_fault.inc"
