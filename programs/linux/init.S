# init: the first process of a Linux kernel that iretrace starts, where no other initrd is given
#
# It makes a few system calls, touches memory that is mapped on demand, and ends the machine through the debug-exit
# port. Each thing to look at stands between two labels, which are symbols of the kernel's image too:
#
#     init_start                          the first instruction
#     init_syscall, init_after_syscall    one system call, getppid
#     init_fault, init_after_fault        one page fault, for a page of anonymous memory
#
# What it says goes to the kernel's log: a console that takes it needs no interrupt. From the first of these places on it
# says nothing more: what an NMI's handler has put into the log is read by nobody, and so makes no difference.

.intel_syntax noprefix

SYS_WRITE = 1
SYS_OPEN = 2
SYS_MMAP = 9
SYS_EXIT = 60
SYS_MKDIR = 83
SYS_GETPPID = 110
SYS_MKNOD = 133
SYS_IOPERM = 173

O_WRONLY = 1
S_IFCHR = 0x2000
KMSG = 0x10b                    # major 1, minor 11
PROT_READ_WRITE = 3
MAP_PRIVATE_ANONYMOUS = 0x22

DEBUG_EXIT = 0xf4
EXIT_SUCCESS = 0x10
EXIT_FAILURE = 0x11

.macro system number
    mov  eax, \number
    syscall
.endm

# say "TEXT": a record of the log. The descriptor is in ebx.
.macro say text
    .pushsection .rodata
.Lsay\@:
    .ascii "<6>init: \text\n"
.Lend\@:
    .popsection
    mov  edi, ebx
    mov  esi, offset .Lsay\@
    mov  edx, offset .Lend\@ - .Lsay\@
    system SYS_WRITE
.endm

.text
.globl _start, init_start
_start:
init_start:
    mov  edi, offset dev
    mov  esi, 0x1ed             # 0755
    system SYS_MKDIR            # it may be there
    mov  edi, offset kmsg
    mov  esi, S_IFCHR + 0x180   # 0600
    mov  edx, KMSG
    system SYS_MKNOD
    mov  edi, offset kmsg
    mov  esi, O_WRONLY
    system SYS_OPEN
    mov  ebx, eax
    say  "a process runs"

    xor  edi, edi
    mov  esi, 17 << 12
    mov  edx, PROT_READ_WRITE
    mov  r10d, MAP_PRIVATE_ANONYMOUS
    mov  r8, -1
    xor  r9d, r9d
    system SYS_MMAP
    test rax, rax
    js   .Lfailed
    mov  r12, rax
    mov  byte ptr [r12], 1      # a page fault
    cmp  byte ptr [r12 + 1], 0
    jne  .Lfailed
    say  "pages come on demand"
    mov  edi, DEBUG_EXIT
    mov  esi, 1
    mov  edx, 1
    system SYS_IOPERM
    test rax, rax
    jnz  .Lfailed
    say  "all else is quiet"

    mov  ebp, 3
.Lsyscalls:
    mov  eax, SYS_GETPPID
.globl init_syscall
init_syscall:
    syscall
.globl init_after_syscall
init_after_syscall:
    test eax, eax               # nobody is init's parent
    jnz  .Lfailed
    dec  ebp
    jnz  .Lsyscalls

    mov  ebp, 16
.Lfaults:
    add  r12, 4096
.globl init_fault
init_fault:
    mov  byte ptr [r12], 1      # a page fault
.globl init_after_fault
init_after_fault:
    dec  ebp
    jnz  .Lfaults

    mov  al, EXIT_SUCCESS
.globl init_end
init_end:
    out  DEBUG_EXIT, al
    hlt
.Lfailed:
    say  "something failed"
    mov  edi, DEBUG_EXIT
    mov  esi, 1
    mov  edx, 1
    system SYS_IOPERM
    mov  al, EXIT_FAILURE
    out  DEBUG_EXIT, al
    hlt

.section .rodata
dev:
    .asciz "/dev"
kmsg:
    .asciz "/dev/kmsg"
