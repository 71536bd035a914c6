//! JSON Lines: valid, the same every time, and again from the header's own command.

use boon::{Compiler, SchemaIndex, Schemas};
use iretrace::load::builtin::{self, Group};
use serde_json::Value;

use crate::support::{file, folder, iretrace, word};

struct Schema {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Schema {
    /// The one that the program prints.
    fn printed() -> Self {
        let text = iretrace(["schema"]).stdout;
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        let url = "urn:iretrace:trace";
        let schema = serde_json::from_str(&text).expect("JSON");
        compiler.add_resource(url, schema).expect("a resource");
        let index = compiler.compile(url, &mut schemas).expect("a schema");
        Self { schemas, index }
    }

    fn check(&self, trace: &str) {
        for line in trace.lines() {
            let value: Value = serde_json::from_str(line).expect("JSON");
            if let Err(e) = self.schemas.validate(&value, self.index) {
                panic!("{line}\n{e:#}");
            }
        }
    }
}

/// The command in the header of `trace`.
fn argv(trace: &str) -> Vec<String> {
    let header = trace.lines().next().expect("a header");
    let header: Value = serde_json::from_str(header).expect("JSON");
    let words = header["argv"].as_array().expect("words");
    words
        .iter()
        .map(|w| w.as_str().expect("a word").to_owned())
        .collect()
}

/// Runs `words` twice, and what the header says once; all three are the same trace.
fn repeats(words: &[&str]) -> String {
    let first = iretrace(words);
    assert!(first.stdout.lines().count() > 1, "{first:#?}");
    assert_eq!(iretrace(words).stdout, first.stdout, "{words:?}");
    let argv = argv(&first.stdout);
    assert_eq!(argv[0], "iretrace");
    let again = iretrace(&argv[1..]);
    assert_eq!(again.stdout, first.stdout, "{argv:?}");
    assert_eq!(again.code, first.code);
    first.stdout
}

#[test]
fn every_program_s_lines_are_valid_and_repeat() {
    let schema = Schema::printed();
    for program in builtin::list() {
        if program.group == Group::Benchmarks {
            continue;
        }
        let name = format!("@{}", program.name);
        schema.check(&repeats(&["run", &name, "--format", "jsonl"]));
    }
}

#[test]
fn every_kind_of_event_is_valid() {
    let schema = Schema::printed();
    let o = iretrace(["run", "@user-mode", "--format", "jsonl", "--events", "all"]);
    o.ends_with(0);
    schema.check(&o.stdout);
}

#[test]
fn every_option_that_matters_is_in_the_command() {
    let folder = folder();
    let words = [
        "run",
        "@iret-faults",
        "--format=jsonl",
        "--cpu=amd",
        "--cpu-feature=-smap,-la57",
        "--knob=set-a-on-failed-walk=true",
        "--maxphyaddr=40",
        "--ram=33M",
        "--max-insns=1_200",
        "--success-value=17",
        "--tlb=none",
        "--exception=divide-error@icount=1100",
        "--nmi=every=400,from=_start",
        "--irq=33@icount=700",
        "--mce=@icount=1190",
        "--events=-reg,insn",
    ];
    let trace = repeats(&words);
    let argv = argv(&trace);
    for word in [
        "amd",
        "40",
        "33M",
        "1200",
        "0x11",
        "--cpu-feature=-smap",
        "every=400,from=_start",
    ] {
        assert!(argv.iter().any(|w| w == word), "{word} in {argv:?}");
    }
    // Where the trace goes is not part of what it is.
    let path = folder.path().join("t.jsonl");
    let filed = ["-o", word(&path)];
    assert_eq!(iretrace(words.iter().chain(&filed)).stdout, "");
    assert_eq!(std::fs::read_to_string(path).expect("a trace"), trace);
}

#[test]
fn files_repeat_too() {
    let folder = folder();
    let include = folder.path().join("inc");
    std::fs::create_dir(&include).expect("a folder");
    std::fs::write(include.join("end.inc"), "mov al, 0x10\nout 0xf4, al\nhlt\n").expect("written");
    let source = file(
        &folder,
        "it's a kernel.S",
        ".intel_syntax noprefix\n.globl _start\n_start: nop\nend: .include \"end.inc\"\n",
    );
    let source = word(&source);
    repeats(&[
        "run",
        source,
        "-I",
        word(&include),
        "--format",
        "jsonl",
        "--events",
        "all",
    ]);
    repeats(&[
        "run",
        source,
        "-I",
        word(&include),
        "--format",
        "jsonl",
        "--until",
        "end",
    ]);
    let flat = file(&folder, "k", b"\xb0\x10\xe6\xf4\xf4");
    repeats(&[
        "run",
        word(&flat),
        "--flat",
        "--base",
        "0x7000",
        "--format",
        "jsonl",
    ]);
}

#[test]
fn definitions_repeat_too() {
    let folder = folder();
    let source = "\
.globl _start
_start:
    .rept N
    nop
    .endr
.ifdef HOW.by_halt
    cli
    hlt
.else
    .error \"HOW is none of: by-halt\"
.endif
";
    let source = file(&folder, "defined.S", source);
    let run = |n: &str| {
        repeats(&[
            "run",
            word(&source),
            "--format=jsonl",
            "-D",
            n,
            "--define=HOW=by-halt",
        ])
    };
    let (two, three) = (run("N=2"), run("N=0x3"));
    let header = |trace: &str| -> serde_json::Value {
        serde_json::from_str(trace.lines().next().expect("a header")).expect("JSON")
    };
    assert_eq!(
        header(&three)["config"]["define"],
        serde_json::json!(["N=3", "HOW=by-halt"])
    );
    let hash = |trace: &str| header(trace)["image"]["hash"].clone();
    assert_ne!(hash(&two), hash(&three));
    iretrace(["run", word(&source), "-D", "N=2", "-D", "HOW=by-stealth"])
        .is_error(96, &["defined.S:10: HOW is none of: by-halt"]);
    iretrace(["run", word(&source), "-D", "N"]).is_error(2, &["write NAME=NUMBER or NAME=WORD"]);
    iretrace(["run", "@nested-nmi", "-D", "TASKS=2"])
        .is_error(96, &["TASKS=2: the source nowhere asks for TASKS"]);
}
