//! An ELF64 that another tool linked, in the higher half.

use crate::support::{folder, iretrace, link, word};

const SOURCE: &str = "
    .intel_syntax noprefix
    .text
    .globl kernel_main
    .type kernel_main, @function
kernel_main:
    lea  rsp, [rip + stack_top]
    call report
    hlt
    .size kernel_main, . - kernel_main
    .type report, @function
report:
    mov  eax, [rip + value]
    out  0xf4, al
    ret
    .size report, . - report
    .data
value: .long 0x10
    .bss
    .align 16
    .skip 4096
stack_top:
";

/// The kernel is linked 2 GiB below the top, and loaded at 2 MiB.
const SCRIPT: &str = "
ENTRY(kernel_main)
SECTIONS {
    . = 0xffffffff80000000;
    .text : AT(0x200000) { *(.text) }
    . = ALIGN(4096);
    .data : { *(.data) }
    .bss  : { *(.bss) }
}
";

#[test]
fn it_runs_and_is_symbolised() {
    let folder = folder();
    let elf = link(&folder, SOURCE, SCRIPT);
    let o = iretrace(["run", word(&elf), "-v"]);
    o.ends_with(0);
    o.shows(&[
        "kernel_main",
        "kernel_main+0x7",
        "report",
        "report+0x6",
        "STOP guest-success",
    ]);
    assert!(!o.stdout.contains("<unknown>"), "{o:#?}");
    let o = iretrace(["run", word(&elf), "--until", "report", "--dump", "regs"]);
    // lea is 7 bytes, call 5, hlt 1: report is the 14th byte; and one return address is pushed.
    o.ends_with(0);
    o.shows(&["rip 0xffffffff8000000d report"]);
    let o = iretrace(["walk", word(&elf), "report", "--access", "fetch"]);
    o.ends_with(0).shows(&["0xffffffff8000000d -> 0x20000d"]);
}
