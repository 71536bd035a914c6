//! Tests as text: what is wrong in one is said with its place, and what is right is done.

use std::path::Path;

use iretrace::testing::TestError;
use iretrace::testing::directive::TestFile;
use iretrace::testing::suite::{Options, Outcome, Suite, discover};

const HANDLER: &str = "
page_fault:
    push %rax
    call do_page_fault
    pop %rax
    add $8, %rsp
    iretq
";

/// What is wrong with a file that begins with these lines.
fn error(lines: &str) -> String {
    let text = format!("{lines}\n{HANDLER}");
    let all = || -> Result<(), TestError> {
        let file = TestFile::parse(Path::new("pf.S"), text)?;
        let program = file.program()?;
        for test in &file.tests {
            file.ready(test, &program)?;
        }
        Ok(())
    };
    all().expect_err(lines).to_string()
}

#[test]
fn a_wrong_directive_is_named_with_line_column_and_a_suggestion() {
    for (lines, expected) in [
        (
            "#@ expcet sound",
            "pf.S:1:4: no such directive 'expcet': did you mean 'expect'?",
        ),
        (
            "\n  #@  expect soudn",
            "pf.S:2:14: no such expectation 'soudn': did you mean 'sound'?",
        ),
        (
            "#@ gate PF page_falt",
            "pf.S:1:12: gate: symbol 'page_falt': not in the image; did you mean 'page_fault'?",
        ),
        (
            "//@ gate PG page_fault",
            "pf.S:1:10: no such vector 'PG': did you mean 'GP'? (or a number: 0x21)",
        ),
        ("#@ gate PF page_fault ist=8", "pf.S:1:27: ist is at most 7"),
        (
            "#@ gate PF page_fault isst=1",
            "pf.S:1:23: no such option 'isst': did you mean 'ist'?",
        ),
        (
            "#@ gate PF",
            "pf.S:1:4: write gate VECTOR PLACE [ist=N] [dpl=N] [trap]",
        ),
        (
            "#@ context usr",
            "pf.S:1:12: no such context 'usr': did you mean 'user'?",
        ),
        ("#@ context user gs=1", "pf.S:1:20: write gs=USER,KERNEL"),
        (
            "#@ register rxa=1",
            "pf.S:1:13: no such register 'rxa': did you mean 'rax'?",
        ),
        (
            "#@ register rax=0xg",
            "pf.S:1:17: register: address '0xg': is no hex number of at most 64 bits; write NAME, NAME+0x1f, NAME-4 or 0xffffffff80000000",
        ),
        ("#@ raise nni", "pf.S:1:10: \"nni\" is no event to inject"),
        (
            "#@ expect call do_page_falt",
            "pf.S:1:16: no such stub 'do_page_falt': did you mean 'do_page_fault'?",
        ),
        (
            "#@ expect finding frame-list",
            "pf.S:1:19: no such rule: did you mean frame-lost?; 'iretrace explain' lists them",
        ),
        (
            "#@ expect no wrong-sg",
            "pf.S:1:14: no such mistake 'wrong-sg': did you mean 'wrong-gs'?",
        ),
        (
            "#@ expect restored except=rax,rxc",
            "pf.S:1:27: no such register 'rxc': did you mean 'rcx'?",
        ),
        (
            "#@ memory page_fault u64 1 zz",
            "pf.S:1:28: memory: symbol 'zz': not in the image",
        ),
        (
            "#@ memory page_fault u8 256",
            "pf.S:1:25: does not fit in u8",
        ),
        (
            "#@ limit many",
            "pf.S:1:10: 'many' is no number: write 12 or 0x1f",
        ),
        (
            "#@ until never",
            "pf.S:1:10: no such end 'never': write one of return, stop, place, call",
        ),
        ("#@ test", "pf.S:1:4: a test needs a name"),
        (
            "#@ test a\n#@ test a",
            "pf.S:2:4: a second test is called 'a'",
        ),
        (
            "#@ test a\n#@ base 0x300000",
            "pf.S:2:4: 'base' is of the whole file: write it before the first test",
        ),
        ("#@ inject --nmi att=page_fault", "pf.S:1:11: "),
        (
            "#@ raise PF,addr=page_falt+0x8+nmi",
            "pf.S:1:10: PF,addr=page_falt+0x8+nmi: the image has no symbol \"page_falt\"; did you mean page_fault?",
        ),
        (
            "#@ expect survives PF,addr=page_falt",
            "pf.S:1:20: PF,addr=page_falt: the image has no symbol \"page_falt\"; did you mean page_fault?",
        ),
        // What would say nothing.
        ("#@ expect nmi", "pf.S:1:4: write expect nmi ["),
        ("#@ expect console", "pf.S:1:4: write expect console LINE"),
        (
            "#@ expect memory page_fault u8",
            "pf.S:1:4: write expect memory PLACE",
        ),
        ("#@ memory page_fault u8", "pf.S:1:4: write memory PLACE"),
        ("#@ identity-map all", "pf.S:1:4: write identity-map"),
        ("#@ quiet", "pf.S:1:4: write quiet VECTOR"),
        ("#@ machine", "pf.S:1:4: write machine REGISTER"),
        ("#@ register", "pf.S:1:4: write register REGISTER"),
        ("#@ golden a b", "pf.S:1:4: write golden [FILE]"),
        ("#@ elf", "pf.S:1:4: write elf PATH"),
        (
            "#@ elf kernel.elf",
            "pf.S:1:4: elf is a whole program: leave this source out, or elf",
        ),
        (
            "#@ base 0x1000\n#@ elf kernel.elf",
            "pf.S:2:4: elf is a whole program: leave base out, or elf",
        ),
        (
            "#@ golden\n#@ test a b\n#@ test a-b",
            "pf.S:1:4: the golden trace of 'a b' would be that of 'a-b': write golden FILE",
        ),
        (
            "#@ fails \"open",
            "pf.S:1:10: this double quote has no other one",
        ),
        (
            "#@ stubs do_page_falt",
            "pf.S: ld: undefined symbol 'do_page_fault': did you mean 'do_page_falt', which is a stub?",
        ),
    ] {
        let said = error(lines);
        assert!(said.starts_with(expected), "{lines:?}:\n{said}\n{expected}");
    }
}

#[test]
fn every_word_after_expect_is_understood() {
    // What the tables list is never an unknown word.
    for row in iretrace::testing::directive::EXPECTATIONS {
        let file = TestFile::parse(
            Path::new("pf.S"),
            format!("#@ expect {}\n{HANDLER}", row.name),
        )
        .expect("a directive");
        let program = file.program().expect("code");
        if let Err(e) = file.ready(&file.tests[0], &program) {
            assert!(!e.to_string().contains("no such"), "{e}");
        }
    }
}

#[test]
fn the_planted_mistakes_are_found_in_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testing/planted");
    let files = discover(&[folder]).expect("files");
    // The include file is no test.
    assert_eq!(files.len(), 8, "{files:?}");
    let suite = Suite::read(&files);
    let report = suite.run(&Options::default(), &false.into(), &|_| {});
    assert_eq!(report.results.len(), 9);
    for r in &report.results {
        assert_eq!(r.outcome, Outcome::Passed, "{}: {}", r.file, r.name);
    }
}

/// The files of mistakes fail for no other reason than that: without the mistake they pass.
#[test]
fn without_its_mistake_each_file_passes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testing/planted");
    for path in discover(&[folder]).expect("files") {
        let text = std::fs::read_to_string(&path).expect("it is there");
        let mended: String = text
            .lines()
            .filter(|l| !l.contains(" = 1") && !l.starts_with("#@ fails"))
            .map(|l| format!("{l}\n"))
            .collect();
        let file = TestFile::parse(&path, mended).expect("directives");
        let program = file.program().expect("code");
        for test in &file.tests {
            let ready = file.ready(test, &program).expect("directives");
            ready.case.assert();
        }
    }
}

#[test]
fn a_toml_file_beside_an_object_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    let source = write("pf.S", &format!(".globl page_fault\n{HANDLER}"));
    let object = folder.path().join("pf.o");
    let done = std::process::Command::new("as")
        .arg("-o")
        .args([&object, &source])
        .status()
        .expect("as runs");
    assert!(done.success());
    let toml = write(
        "pf.test.toml",
        "code = \"pf.o\"\ngate = [\"PF page_fault\"]\n\n[[test]]\nname = \"misaligned\"\ncontext = \"kernel\"\nraise = \"PF,ec=0x2,addr=0x1000\"\nlimit = 0x1000\nfails = '\"rcx, rdx, rsi, rdi, r8, r9, r10, r11 are not restored\"'\n\n[[test]]\nname = \"bytes\"\nexpect = [\"memory page_fault u8 0x50\", \"nothing\"]\n",
    );
    let suite = Suite::read(std::slice::from_ref(&toml));
    let report = suite.run(&Options::default(), &false.into(), &|_| {});
    let outcomes: Vec<_> = report
        .results
        .iter()
        .map(|r| (r.name.as_str(), &r.outcome))
        .collect();
    assert_eq!(outcomes[0], ("misaligned", &Outcome::Passed));
    let (name, Outcome::Broken(text)) = outcomes[1] else {
        panic!("{outcomes:?}");
    };
    // The word in the string, in the line of its file.
    assert_eq!(name, "bytes");
    assert_eq!(
        text.strip_prefix(&*toml.to_string_lossy()),
        Some(
            ":13:41: no such expectation 'nothing': write one of sound, no, returns, returns-to, reaches, stops, exit, halts, triple-fault, stray, restored, frame, aligned, call, writes-within, no-findings, finding, nmi, instructions, stack, register, memory, console, survives"
        ),
    );
    for (bad, at) in [
        ("code = \n", ":1:8: "),
        (
            "gaet = \"PF x\"\n",
            ":1:1: no such directive 'gaet': did you mean 'gate'?",
        ),
        (
            "[[test]]\ncontext = \"user\"\n",
            ":1:1: a test needs a name",
        ),
        ("gate = { a = 1 }\n", ":1:8: write a string"),
        ("gate = \"PF \\\"x\"\n", ":1:12: this double quote"),
        (
            "[[test]]\nname = \"a\"\ntest = \"b\"\n",
            ":3:1: a test is in no other one",
        ),
    ] {
        let path = write("bad.test.toml", bad);
        let e = TestFile::read(&path).expect_err(bad).to_string();
        let e = e.strip_prefix(&*path.to_string_lossy()).unwrap_or(&e);
        assert!(e.starts_with(at), "{bad:?}: {e}");
    }
}
