#@ gate PF page_fault
#@ context user
#@ raise PF,ec=0x6,addr=0x12345678
#@ fails "the direction flag is set at the call of do_page_fault at page_fault+"
    DIRECTION_FLAG = 1
    .include "page_fault.inc"
