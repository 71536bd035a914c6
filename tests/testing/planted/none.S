#@ gate PF page_fault
#@ raise PF,ec=0x6,addr=0x12345678

#@ test a write by the user
#@ context user
#@ expect sound
#@ expect call do_page_fault times=1 rdi=0x12345678 rsi=6
#@ expect frame error_code=6 cr2=0x12345678 cs=0x2b ss=0x23 rip=user_code+0x10
#@ expect writes-within kernel_gs,0
#@ expect instructions 60
#@ expect stack 200
#@ golden

#@ test a fault of the kernel's
#@ context kernel
#@ expect sound
#@ expect restored
    .include "page_fault.inc"
