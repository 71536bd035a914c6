#@ stubs do_page_fault
#@ gate PF page_fault

#@ test a page fault of the kernel's
#@ raise PF,ec=0x0,addr=0x1000
#@ expect sound
#@ expect call do_page_fault rdi=0x1000

#@ test the user's GS base is not ours to use
#@ context user without-gs
#@ raise PF,ec=0x4,addr=0x1000
    .include "../../src/page_fault.S"
