#@ gate PF page_fault
#@ context user
#@ raise PF,ec=0x6,addr=0x12345678
#@ fails "the error code is still on the stack: the IRETQ at page_fault+"
    ERROR_CODE_NOT_POPPED = 1
    .include "page_fault.inc"
