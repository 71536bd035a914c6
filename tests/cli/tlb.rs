//! `--tlb`: cached translations, or none.

use crate::support::{file, folder, iretrace, word};

/// What the program of this name says with `--tlb` as given. How often something is walked and
/// invalidated is what differs.
fn run(program: &str, tlb: &str) -> (Option<i32>, String, String) {
    let o = iretrace([
        "run",
        &format!("@{program}"),
        "--tlb",
        tlb,
        "--events",
        "-walk,-tlb,io",
        // Two of them are long loops.
        "--max-insns=20k",
    ]);
    let body = o.stdout.lines().filter(|l| !l.starts_with("# "));
    // The command that finds it again names the option.
    let said = o.stderr.lines().filter(|l| !l.contains("= again: "));
    (
        o.code,
        body.collect::<Vec<_>>().join("\n"),
        said.collect::<Vec<_>>().join("\n"),
    )
}

/// SDM vol. 3, 4.10.4: software that invalidates as it must cannot tell.
#[test]
fn the_built_in_programs_behave_the_same_without_cached_translations() {
    for program in iretrace::load::builtin::list() {
        let name = program.name;
        let model = run(name, "model");
        assert!(model.1.lines().count() > 0, "{name}");
        assert_eq!(model, run(name, "none"), "{name}");
    }
}

/// The page is unmapped without INVLPG: its old translation may be used, or not.
const STALE: &str = "\
.include \"kernel.inc\"
.globl _start
_start:
    mov  rsp, offset kernel_stack_top
    call kernel_init
    mov  eax, [page]
    mov  eax, offset page
    shr  eax, 12
    mov  qword ptr [low_pt + rax * 8], 0
    mov  eax, [page]
    succeed \"the old translation was used\"
.section .bss
.balign 4096
page: .skip 4096
";

#[test]
fn a_stale_translation_is_used_or_not() {
    let folder = folder();
    let source = file(&folder, "stale.S", STALE);
    let run = |words: &[&str]| iretrace(["run", word(&source)].iter().chain(words));
    run(&[]).ends_with(0);
    run(&["--tlb", "model"]).ends_with(0);
    let none = run(&["--tlb", "none"]);
    none.ends_with(98)
        .shows(&["--tlb none", "#PF", "delivered to unexpected"]);
    run(&["--tlb=maybe"]).is_error(2, &["--tlb", "model", "none"]);
}

#[test]
fn it_is_part_of_the_command_that_repeats_a_trace() {
    let header = |words: &[&str]| {
        let o = iretrace(["run", "@nested-nmi", "--format=jsonl"].iter().chain(words));
        let line = o.stdout.lines().next().expect("a header").to_owned();
        let header: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let argv = header["argv"].as_array().expect("words").clone();
        let at = argv.iter().position(|w| w == "--tlb").expect("spelt out");
        (argv[at + 1].clone(), header["config"]["tlb"].clone())
    };
    assert_eq!(header(&[]), ("model".into(), "model".into()));
    assert_eq!(header(&["--tlb", "none"]), ("none".into(), "none".into()));
    let text = iretrace(["run", "@nested-nmi", "--tlb", "none"]);
    text.shows(&["again: iretrace run @nested-nmi --tlb none\n"]);
    assert!(
        !iretrace(["run", "@nested-nmi"]).stdout.contains("--tlb"),
        "a default in a text"
    );
}

#[test]
fn help_and_completions_name_it() {
    for command in ["run", "walk"] {
        iretrace([command, "--help"]).shows(&["--tlb <TLB>", "model", "none"]);
    }
    let o = iretrace(["completions", "bash"]);
    o.shows(&["--tlb", "model none"]);
}
