#@ gate PF page_fault
#@ context user
#@ raise PF,ec=0x6,addr=0x12345678
#@ fails "the stack is misaligned at the call of do_page_fault at page_fault+"
    MISALIGNED_CALL = 1
    .include "page_fault.inc"
