use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::*;
use crate::arch::{CpuModel, Vendor, VirtAddr};
use crate::load::{Builtin, Format, LoadError, Placement, boot, builtin};
use crate::trace::Symbols;

/// A whole program; line numbers in tests count from its first line.
const PROGRAM: &str = "\
.globl _start
_start:
    nop
    jmp handler
    .type handler, @function
handler:
    hlt
    ret
    .size handler, . - handler
    .section .rodata
message: .asciz \"x\"
    .bss
stack: .skip 8192
";

fn assemble(source: &str) -> Result<Image, LoadError> {
    Image::from_bytes("dir/t.S", source.as_bytes(), &LoadOptions::default())
}

fn error(source: &str) -> String {
    let e = assemble(source).unwrap_err().to_string();
    assert!(!e.contains('\n'), "{e}");
    assert!(!e.contains("iretrace-"), "no temporary paths: {e}");
    e
}

fn limited(source: &str, limits: Limits) -> Result<Image, LoadError> {
    let options = LoadOptions {
        assembler: limits,
        ..LoadOptions::default()
    };
    Image::from_bytes("t.S", source.as_bytes(), &options)
}

#[test]
fn a_source_becomes_an_image_with_names_and_lines() {
    let i = assemble(PROGRAM).unwrap();
    assert_eq!(
        (i.format, i.placement),
        (Format::Assembly, Placement::Headers)
    );
    assert_eq!(i.name, "dir/t.S");
    assert_eq!(i.entry, VirtAddr(0x10_0000));
    let handler = i.resolve("handler").unwrap();
    assert_eq!(
        i.name(VirtAddr(handler.0 + 1)).as_deref(),
        Some("handler+0x1")
    );
    assert_eq!(i.line(i.entry).as_deref(), Some("t.S:3"));
    assert_eq!(i.line(handler).as_deref(), Some("t.S:7"));
    assert_eq!(i.line(VirtAddr(handler.0 + 1)).as_deref(), Some("t.S:8"));
    let bss = i.segment_at(i.resolve("stack").unwrap()).unwrap();
    assert_eq!((bss.data.len(), bss.mem_size), (0, 8192));
    assert_eq!(i.notes, [""; 0]);
    boot(&i, 64 << 20, &CpuModel::of(Vendor::Intel)).unwrap();
}

#[test]
fn twice_gives_the_same_image() {
    let (a, b) = (assemble(PROGRAM).unwrap(), assemble(PROGRAM).unwrap());
    assert_eq!(a.segments, b.segments);
    assert_eq!(a.debug, b.debug);
}

#[test]
fn errors_show_file_and_line() {
    assert_eq!(
        error(".globl _start\n_start:\n  nonsense\n  more nonsense\n"),
        "dir/t.S: as: t.S:3: no such instruction: `nonsense' (and 1 more); mend the source there"
    );
    let e = error(".globl _start\n_start: nop\n call nowhere\n");
    assert!(e.starts_with("dir/t.S: ld: t.S:3:"), "{e}");
    assert!(e.contains("undefined reference to `nowhere'"), "{e}");
    let e = error(".include \"absent.inc\"\n");
    assert!(e.contains("t.S:1: ") && e.contains("absent.inc"), "{e}");
    let e = error("start: hlt\n");
    assert!(e.contains("no global symbol '_start'"), "{e}");
    let e = error("_start: hlt\n");
    assert!(e.contains(".globl _start"), "{e}");
}

#[test]
fn other_dialects_are_told() {
    let e = error(".globl _start\n#define X 5\n_start: hlt\n");
    assert!(
        e.contains("t.S:2: #define is for the C preprocessor"),
        "{e}"
    );
    // A remark that begins with the word is none.
    assert!(assemble(&format!("# define the GDT\n#if not\n{PROGRAM}")).is_ok());
    let e = error("bits 64\nsection .text\nglobal _start\n_start: hlt\n");
    assert!(e.contains("NASM"), "{e}");
}

#[test]
fn warnings_are_notes() {
    let i = assemble(&format!("{PROGRAM}.warning \"careful\"\n")).unwrap();
    assert_eq!(i.notes.len(), 1);
    assert!(
        i.notes[0].starts_with("t.S:14: Warning: careful"),
        "{:?}",
        i.notes
    );
}

#[test]
fn includes_are_found_in_order_and_named_relatively() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("src/include/a.inc", "a: hlt\n");
    write("src/b.inc", "b: hlt\n");
    write("lib/b.inc", ".error \"the wrong b\"\n");
    write("lib/c.inc", "c: hlt\n");
    let source =
        ".globl _start\n_start: .include \"a.inc\"\n.include \"b.inc\"\n.include \"c.inc\"\n";
    write("src/-odd name.S", source);
    let options = LoadOptions {
        include: vec![dir.path().join("lib")],
        ..LoadOptions::default()
    };
    let i = Image::open(dir.path().join("src/-odd name.S"), &options).unwrap();
    let line = |n: &str| i.line(i.resolve(n).unwrap()).unwrap();
    assert_eq!(line("a"), "include/a.inc:1");
    assert_eq!(line("b"), "b.inc:1");
    assert!(line("c").ends_with("/lib/c.inc:1"));

    write("src/bad.inc", "\n wrong\n");
    write("src/t.S", ".include \"bad.inc\"\n");
    let e = Image::open(dir.path().join("src/t.S"), &options)
        .unwrap_err()
        .to_string();
    assert!(e.contains("t.S: as: bad.inc:2: no such instruction"), "{e}");
}

#[test]
fn a_script_beside_the_source_lays_it_out() {
    let dir = tempfile::tempdir().unwrap();
    let high = 0xffff_ffff_8010_0000u64;
    std::fs::write(dir.path().join("k.S"), PROGRAM).unwrap();
    std::fs::write(
        dir.path().join("k.ld"),
        "ENTRY(_start)\nSECTIONS { . = 0xffffffff80100000;\n\
         .text : AT(ADDR(.text) - 0xffffffff80000000) { *(.text) }\n\
         .rodata : AT(ADDR(.rodata) - 0xffffffff80000000) { *(.rodata) }\n\
         .bss : AT(ADDR(.bss) - 0xffffffff80000000) { *(.bss) } }\n",
    )
    .unwrap();
    let i = Image::open(dir.path().join("k.S"), &LoadOptions::default()).unwrap();
    assert_eq!(i.entry, VirtAddr(high));
    assert_eq!(i.placement, Placement::Headers);
    for s in &i.segments {
        assert_eq!(s.vaddr.0 - s.paddr.0, 0xffff_ffff_8000_0000);
    }
    assert_eq!(i.line(i.entry).as_deref(), Some("k.S:3"));
    boot(&i, 64 << 20, &CpuModel::of(Vendor::Amd)).unwrap();
}

/// Another tool's output, without our script or options: a position-independent executable.
#[test]
fn what_ld_makes_by_itself_loads() {
    let dir = tempfile::tempdir().unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let status = Command::new(program)
            .args(arguments)
            .current_dir(dir.path())
            .status();
        assert!(status.unwrap().success(), "{program} {arguments:?}");
    };
    let source =
        ".globl _start\n_start: lea table(%rip), %rax\n hlt\n.data\ntable: .quad _start, table\n";
    std::fs::write(dir.path().join("p.s"), source).unwrap();
    run("as", &["-o", "p.o", "p.s"]);
    run(
        "ld",
        &["-pie", "--no-dynamic-linker", "-o", "pie.elf", "p.o"],
    );
    run("ld", &["-pie", "-o", "dyn.elf", "p.o"]);
    run("ld", &["-r", "-o", "rel.elf", "p.o"]);
    let open = |f: &str| Image::open(dir.path().join(f), &LoadOptions::default());
    let i = open("pie.elf").unwrap();
    let table = i.resolve("table").unwrap();
    let s = i.segment_at(table).unwrap();
    let o = (table.0 - s.vaddr.0) as usize;
    assert_eq!(s.data[o..o + 8], i.entry.0.to_le_bytes());
    assert_eq!(s.data[o + 8..o + 16], table.0.to_le_bytes());
    assert!(i.debug.is_none());
    let e = open("dyn.elf").unwrap_err().to_string();
    assert!(e.contains("PT_INTERP"), "{e}");
    let e = open("rel.elf").unwrap_err().to_string();
    assert!(e.contains("not linked (ET_REL)"), "{e}");
}

#[test]
fn bombs_end_at_the_limits() {
    let limits = Limits {
        seconds: 3,
        output: 1 << 20,
        memory: 256 << 20,
    };
    let started = Instant::now();
    for bomb in [
        ".globl _start\n_start: .fill 1000000000, 1, 0x90\n",
        ".globl _start\n_start: .rept 1000000000\n nop\n .endr\n",
        ".macro m\n .rept 1000\n m\n .endr\n.endm\nm\n",
        "_start: .include \"/dev/zero\"\n",
        "_start: .incbin \"/dev/zero\"\n",
        ".rept 1000000\n.error \"flood\"\n.endr\n.fill 1000000000, 1, 1\n",
    ] {
        let e = limited(bomb, limits).unwrap_err();
        let known = matches!(
            e,
            LoadError::AssembleLimit { .. } | LoadError::Assemble { .. }
        );
        assert!(known, "{bomb}: {e}");
        assert!(!e.to_string().contains('\n'), "{e}");
    }
    assert!(started.elapsed() < Duration::from_secs(6 * 8));
    // The same limits suffice for a program.
    limited(PROGRAM, limits).unwrap();
}

#[test]
fn a_source_that_waits_is_ended_by_the_clock() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    let limits = Limits {
        seconds: 1,
        ..Limits::default()
    };
    let e = limited(&format!(".include \"{}\"\n", fifo.display()), limits).unwrap_err();
    assert!(
        matches!(e, LoadError::AssembleLimit { tool: "as", .. }),
        "{e}"
    );
    assert!(e.to_string().contains("took more than 1 s"), "{e}");
    // A FIFO in the image's own place is refused without opening it.
    let e = Image::open(&fifo, &LoadOptions::default()).unwrap_err();
    assert!(matches!(e, LoadError::Unreadable { .. }), "{e}");
}

#[test]
fn files_that_are_not_there() {
    let open = |p: &Path| {
        Image::open(p, &LoadOptions::default())
            .unwrap_err()
            .to_string()
    };
    let e = open(Path::new("/no/such/file.elf"));
    assert!(e.starts_with("/no/such/file.elf: no such file; "), "{e}");
    let e = open(Path::new("/"));
    assert!(
        e.starts_with("/: cannot be read: it is a directory; "),
        "{e}"
    );
    let e = open(Path::new("@no-such-program"));
    assert!(
        e.starts_with("@no-such-program: no such built-in program; "),
        "{e}"
    );
}

#[test]
fn a_built_in_program_is_named_by_its_own_file() {
    let built_in = Builtin {
        group: builtin::Group::Thread,
        twin: None,
        name: "t",
        source: PROGRAM,
        summary: "",
    };
    let i = program(&built_in, &LoadOptions::default()).unwrap();
    assert_eq!((i.name.as_str(), i.format), ("@t", Format::Assembly));
    assert_eq!(i.line(i.entry).as_deref(), Some("t.S:3"));
}

#[test]
fn every_built_in_program_assembles() {
    for b in builtin::list() {
        let i = Image::open(format!("@{}", b.name), &LoadOptions::default())
            .unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(i.name, format!("@{}", b.name));
        let line = i.line(i.entry).expect("the entry point has a line");
        assert!(!line.starts_with('/'), "{line}");
        assert!(i.notes.is_empty(), "{}: {:?}", b.name, i.notes);
        boot(&i, 64 << 20, &CpuModel::of(Vendor::Intel)).unwrap();
    }
}

fn defined(source: &str, define: &[&str]) -> Result<Image, LoadError> {
    let options = LoadOptions {
        define: define.iter().map(|d| d.parse().unwrap()).collect(),
        ..LoadOptions::default()
    };
    Image::from_bytes("t.S", source.as_bytes(), &options)
}

#[test]
fn a_source_sees_what_is_defined() {
    let source = "\
.globl _start
_start:
    nop
.ifdef PAGES.walk_racy
    .rept TASKS
    .byte 0x90
    .endr
.else
    .error \"PAGES is none of: walk-racy\"
.endif
";
    let image = defined(source, &["TASKS=0x3", "PAGES=walk-racy"]).unwrap();
    assert_eq!(image.segments[0].data, [0x90; 4]);
    let shown: Vec<String> = image.define.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["TASKS=3", "PAGES=walk-racy"]);
    // Lines are the source's own.
    assert_eq!(image.line(image.entry).as_deref(), Some("t.S:3"));
    let e = |define: &[&str]| defined(source, define).unwrap_err().to_string();
    assert_eq!(
        e(&["PAGES=lazy"]),
        "t.S: as: t.S:9: PAGES is none of: walk-racy; mend the source there"
    );
    assert_eq!(
        e(&["TASKS=3", "PAGES=walk-racy", "TASK=3"]),
        "t.S: TASK=3: the source nowhere asks for TASK; check the name, or leave it out"
    );
    assert_eq!(
        e(&["TASKS=3", "PAGES=walk-racy", "TASKS=4"]),
        "t.S: TASKS is defined twice; define it once"
    );
}

#[test]
fn what_an_include_asks_for_counts() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("a b$c#d");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("n.inc"), ".byte N\n").unwrap();
    let path = folder.join("t.S");
    std::fs::write(&path, ".globl _start\n_start: .include \"n.inc\"\n").unwrap();
    let options = LoadOptions {
        define: vec!["N=7".parse().unwrap()],
        ..LoadOptions::default()
    };
    assert_eq!(Image::open(&path, &options).unwrap().segments[0].data, [7]);
}

#[test]
fn definitions_are_for_sources() {
    let options = LoadOptions {
        define: vec!["N=7".parse().unwrap()],
        ..LoadOptions::default()
    };
    for (name, bytes) in [("k.elf", &b"\x7fELF"[..]), ("k.bin", b"\xf4")] {
        let e = Image::from_bytes(name, bytes, &options)
            .unwrap_err()
            .to_string();
        assert!(e.contains("N=7 is for the assembler, but this is a"), "{e}");
    }
}
