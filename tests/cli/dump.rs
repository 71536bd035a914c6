//! `--dump`.

use crate::support::iretrace;

fn dump(list: &str) -> crate::support::Outcome {
    let o = iretrace([
        "run",
        "@user-mode",
        "-q",
        "--until",
        "nmi_entry",
        "--dump",
        list,
    ]);
    o.ends_with(0);
    o
}

#[test]
fn registers_are_decoded() {
    // The first boundary of an NMI handler: CPL 0; delivery through an interrupt gate cleared IF
    // (SDM vol. 3, 6.12.1.3) and loaded SS from the kernel's CS or null.
    dump("regs").shows(&[
        "CPL 0, rip ",
        " nmi_entry\n",
        "rflags",
        "IOPL 0",
        "cs   0008",
        "code 64-bit DPL 0",
        "tr ",
        "TSS busy DPL 0",
        "cr0",
        " WP PG",
        "efer",
        "SCE LME LMA",
        "NMIs blocked by delivery",
    ]);
}

#[test]
fn tables_are_decoded() {
    dump("gdt").shows(&[
        "GDT at",
        "0008  ",
        "code 64-bit DPL 0",
        "in CS",
        "data 32-bit DPL 3",
        "TSS busy",
    ]);
    dump("idt").shows(&[
        "IDT at",
        "02 NMI",
        "interrupt DPL 0 IST1 to 0008:",
        "nmi_entry",
        "beyond the limit",
    ]);
    dump("tss").shows(&[
        "TSS ",
        "RSP0",
        "kernel_stack_top",
        "IST1",
        "nmi_stack_top",
        "I/O map base",
    ]);
    dump("tables").shows(&["page tables, 4 levels", "->", "2 MiB W"]);
    dump("tlb").shows(&["cached translations: ", "fetched"]);
}

#[test]
fn parts_come_in_one_order() {
    let all = dump("all");
    all.shows(&[
        "registers at",
        "\nGDT",
        "\nIDT",
        "\nTSS",
        "\npage tables",
        "\ncached translations",
    ]);
    assert_eq!(dump("tlb,tables,tss,idt,gdt,regs,regs").stdout, all.stdout);
}

#[test]
fn it_keeps_out_of_json_lines() {
    let o = iretrace(["run", "@nested-nmi", "--format", "jsonl", "--dump", "tlb"]);
    assert!(o.stdout.lines().all(|line| line.starts_with('{')), "{o:#?}");
    assert!(o.stderr.contains("cached translations"), "{o:#?}");
    let o = iretrace(["run", "@nested-nmi", "--dump", "tlb"]);
    o.shows(&["STOP guest-success", "cached translations"]);
}

#[test]
fn the_start_up_state_has_empty_tables() {
    let o = iretrace([
        "run",
        "@nested-nmi",
        "-q",
        "--until",
        "icount=0",
        "--dump",
        "idt,tables",
    ]);
    o.ends_with(0);
    o.shows(&[
        "IDT at 0x0, limit 0x0",
        "256 beyond the limit",
        "page tables",
    ]);
    // All RAM at its own address, in one row of 2 MiB pages, and the APIC's page.
    o.shows(&["0000000000000000..0000000003ffffff -> 000000000000  2 MiB W"]);
    o.shows(&["00000000fee00000..00000000fee00fff -> 0000fee00000  4 KiB W PCD PWT"]);
}
