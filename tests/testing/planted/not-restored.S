#@ gate PF page_fault
#@ context user
#@ raise PF,ec=0x6,addr=0x12345678
#@ fails "rdx is not restored: a called function may change it"
    NOT_RESTORED = 1
    .include "page_fault.inc"
