//! What is wrong is said in one line that names file, place and mend; the exit code is the
//! documented one (design, section 4).

use crate::support::{file, folder, iretrace, link, word};

const ENDLESS: &str = ".globl _start\n_start: jmp _start\n";
const SCRIPT: &str = "ENTRY(_start) SECTIONS { . = 0x100000; .text : { *(.text) } }";

#[test]
fn files() {
    let folder = folder();
    let gone = folder.path().join("gone.elf");
    iretrace(["run", word(&gone)]).is_error(96, &["gone.elf: no such file", "check the path"]);
    iretrace(["run", word(folder.path())]).is_error(96, &["it is a directory"]);
    let text = file(&folder, "notes.txt", "hello\nworld\n");
    iretrace(["run", word(&text)]).is_error(96, &["notes.txt: byte 0", "text file", "ELF64"]);
    let empty = file(&folder, "empty.elf", "");
    iretrace(["run", word(&empty)]).is_error(96, &["empty.elf", "empty"]);
    iretrace(["run", "@nested-nim"]).is_error(96, &["@nested-nim", "did you mean @nested-nmi?"]);
    iretrace(["programs", "nested-nim"]).is_error(96, &["did you mean @nested-nmi?"]);
}

#[test]
fn elf_files() {
    let folder = folder();
    let elf = link(&folder, ENDLESS, SCRIPT);
    let bytes = std::fs::read(&elf).expect("an ELF");
    for len in [5, 63, 64 + 20, bytes.len() / 2] {
        let cut = file(&folder, "cut.elf", &bytes[..len]);
        iretrace(["run", word(&cut), "--max-insns", "9"]).is_error(96, &["cut.elf"]);
    }
    // e_machine (gABI, Elf64_Ehdr, offset 18): 183 is AArch64.
    let mut other = bytes.clone();
    other[18..20].copy_from_slice(&183_u16.to_le_bytes());
    let other = file(&folder, "arm.elf", other);
    iretrace(["run", word(&other)]).is_error(96, &["arm.elf", "AArch64"]);
    // EI_CLASS: 1 is ELF32.
    let mut narrow = bytes.clone();
    narrow[4] = 1;
    let narrow = file(&folder, "narrow.elf", narrow);
    iretrace(["run", word(&narrow)]).is_error(96, &["narrow.elf"]);
}

#[test]
fn segments_beyond_ram() {
    let folder = folder();
    let elf = link(&folder, ENDLESS, &SCRIPT.replace("0x100000", "0x8000000"));
    let o = iretrace(["run", word(&elf)]);
    o.is_error(
        96,
        &["kernel.elf: segment", "beyond the RAM", "give at least"],
    );
    iretrace(["run", word(&elf), "--ram", "256M", "--max-insns", "9"]).ends_with(103);
}

#[test]
fn schedules() {
    let run = |option, text| iretrace(["run", "@nested-nmi", option, text]);
    run("--nmi", "at=nmi_enrty").is_error(2, &["--nmi at=nmi_enrty", "did you mean nmi_entry?"]);
    run("--nmi", "at=").is_error(2, &["--nmi \"at=\"", "column 4", "write"]);
    run("--nmi", "whenever").is_error(2, &["--nmi \"whenever\"", "column 1"]);
    run("--irq", "0x21").is_error(2, &["--irq \"0x21\"", "0x21@at=main"]);
    run("--irq", "300@icount=1").is_error(2, &["--irq", "300"]);
    run("--mce", "icount=1").is_error(2, &["--mce", "@icount=500"]);
    run("--exception", "page-fault@at=interrupted").is_error(2, &["--exception", "ec="]);
    run("--until", "nmi_enrty").is_error(2, &["--until", "did you mean 'nmi_entry'?"]);
}

#[test]
fn options() {
    let run = |words: &[&str]| iretrace(["run", "@nested-nmi"].iter().chain(words));
    run(&["--cpu", "via"]).is_error(2, &["--cpu", "intel, amd", "see 'iretrace run --help'"]);
    run(&["--cpu-feature", "+smpa"]).is_error(2, &["--cpu-feature", "smap"]);
    run(&["--knob", "x=true"]).is_error(2, &["--knob", "sti-shadow-blocks-nmi"]);
    run(&["--maxphyaddr", "60"]).is_error(2, &["--maxphyaddr", "32..=52"]);
    run(&["--events", "nmi,wlak"]).is_error(2, &["--events", "did you mean \"walk\"?"]);
    run(&["--dump", "reg"]).is_error(2, &["--dump", "regs, gdt"]);
    run(&["--max-insns", "many"]).is_error(2, &["--max-insns", "many"]);
    run(&["--ram", "5000"]).is_error(96, &["5000 bytes", "4096"]);
    run(&["--ram", "999999G"]).is_error(96, &["RAM"]);
    run(&["--base", "0x1000"]).is_error(96, &["@nested-nmi", "base"]);
    run(&["--append", "quiet"]).is_error(96, &["@nested-nmi", "command line", "bzImage"]);
    run(&["--initrd", "x"]).is_error(96, &["@nested-nmi", "initrd", "bzImage"]);
    run(&["-q", "-o", "x"]).is_error(2, &["--no-trace", "--output"]);
    run(&["--frobnicate"]).is_error(2, &["--frobnicate"]);
    iretrace(["run"]).is_error(2, &["<IMAGE>"]);
    iretrace(["rum"]).is_error(2, &["rum", "'run'"]);
    iretrace(["walk", "@nested-nmi", "1234"]).is_error(2, &["1234", "0x"]);
}

#[test]
fn instructions_that_are_not_modelled() {
    // AVX-512 (EVEX) and VMX: no CPU model here has them, and they are not guessed over.
    for (name, insn, bytes) in [
        ("zmm.S", "vaddpd %zmm1, %zmm2, %zmm3", "62"),
        ("vmx.S", "vmxon (%rax)", "f3 0f c7 30"),
    ] {
        let folder = folder();
        let source = format!(".att_syntax\n.globl _start\n_start: nop\nbad: {insn}\n hlt\n");
        let source = file(&folder, name, source);
        let o = iretrace(["run", word(&source)]);
        o.ends_with(97).shows(&["STOP not-modelled"]);
        let last = o.stderr.lines().last().expect("a summary");
        assert!(
            last.contains("not modelled") && last.contains(bytes),
            "{o:#?}"
        );
    }
}

#[test]
fn hostile_words_stay_on_one_line() {
    iretrace(["run", "no\nsuch\u{1b}[2J.elf"]).is_error(96, &["no\\nsuch\\u{1b}[2J.elf"]);
    iretrace(["run", "@nested-nmi", "--nmi", "at=a\nb"]).is_error(2, &["--nmi"]);
    iretrace(["run", "@nested-nmi", "--until", "a\nb"]).is_error(2, &["--until"]);
}
