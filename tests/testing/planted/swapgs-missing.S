#@ gate PF page_fault
#@ context user
#@ raise PF,ec=0x6,addr=0x12345678
#@ fails "with the user's GS base (0x7ffff7000000, the kernel's is 0xffffc40000000000): SWAPGS is missing"
    SWAPGS_MISSING = 1
    .include "page_fault.inc"
