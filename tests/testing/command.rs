//! `iretrace test`: finds, lists, runs, reports.

use std::path::PathBuf;
use std::process::Command;

const GOOD: &str = "#@ gate NMI nmi ist=1\n#@ raise nmi\n#@ test first\n#@ expect sound\n#@ test second <&>\n#@ expect instructions 1\nnmi: iretq\n";
const BAD: &str = "#@ gate NMI nmi ist=1\n#@ raise nmi\nnmi: inc %rax\n iretq\n";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, text).expect("written");
        path
    }

    /// Runs `iretrace test` in the folder.
    fn test(&self, words: &str) -> (i32, String, String) {
        let out = Command::new(env!("CARGO_BIN_EXE_iretrace"))
            .arg("test")
            .args(words.split_whitespace())
            .current_dir(self.0.path())
            .output()
            .expect("it runs");
        let text = |b| String::from_utf8(b).expect("UTF-8");
        (
            out.status.code().expect("a code"),
            text(out.stdout),
            text(out.stderr),
        )
    }
}

#[test]
fn a_folder_of_tests_for_people() {
    let folder = Folder::new(&[
        ("a.S", GOOD),
        ("sub/b.s", BAD),
        ("no.S", "nop\n"),
        (".x/c.S", BAD),
    ]);
    let (code, out, err) = folder.test(".");
    assert_eq!(code, 100, "{out}{err}");
    assert!(
        out.starts_with(
            "./a.S\n  ok       first\n  ok       second <&>\n./sub/b.s\n  FAILED   b\n"
        ),
        "{out}"
    );
    assert!(
        out.contains("---- ./sub/b.s:1: b ----\nb fails:\n  rax is not restored\n"),
        "{out}"
    );
    assert!(out.ends_with("\n3 tests: 2 passed, 1 failed\n"), "{out}");
    assert_eq!(folder.test("a.S").0, 0);
    // The report does not depend on the number of threads.
    assert_eq!(folder.test(". --jobs 1").1, folder.test(". --jobs 3").1);
}

#[test]
fn lists_and_filters() {
    let folder = Folder::new(&[("a.S", GOOD), ("b.S", BAD)]);
    let (code, out, _) = folder.test("--list .");
    assert_eq!(
        (code, out.as_str()),
        (0, "./a.S::first\n./a.S::second <&>\n./b.S::b\n")
    );
    assert_eq!(folder.test(". --filter a.S").0, 0);
    assert_eq!(folder.test(". --skip b.S").0, 0);
    assert_eq!(folder.test(". --filter b --exact").0, 100);
    let (code, _, err) = folder.test(". --filter nothing");
    assert_eq!(code, 2, "{err}");
    assert!(
        err.contains("none of 3 tests fits --filter nothing"),
        "{err}"
    );
    let (code, out, _) = folder.test("--directives");
    assert_eq!(code, 0);
    assert!(
        out.contains("  gate VECTOR PLACE [ist=N] [dpl=N] [trap]\n      the handler of a vector\n"),
        "{out}"
    );
}

#[test]
fn bad_input_is_96() {
    let folder = Folder::new(&[
        ("a.S", GOOD),
        ("b.S", "#@ expcet sound\nnop\n"),
        ("c.S", "#@ expect sound\n mov foo bar\n"),
    ]);
    let (code, out, _) = folder.test(".");
    assert_eq!(code, 96, "{out}");
    assert!(
        out.contains("./b.S:1:4: no such directive 'expcet': did you mean 'expect'?"),
        "{out}"
    );
    assert!(out.contains("c.S:2: "), "{out}");
    assert!(out.ends_with("\n4 tests: 2 passed, 2 broken\n"), "{out}");
    assert_eq!(folder.test("nowhere").0, 96);
    let empty = Folder::new(&[("x.txt", "")]);
    let (code, _, err) = empty.test(".");
    assert_eq!(code, 96);
    assert!(err.contains("no tests are there"), "{err}");
}

#[test]
fn what_is_not_modelled_is_97() {
    // VZEROUPPER: AVX.
    let folder = Folder::new(&[(
        "a.S",
        "#@ gate NMI nmi\n#@ raise nmi\nnmi: vzeroupper\n iretq\n",
    )]);
    let (code, out, _) = folder.test("a.S");
    // AVX is not enabled in XCR0, so the manual has #UD (SDM vol. 1, 14.3), or it is not modelled.
    assert!(code == 97 || out.contains("#UD"), "{code} {out}");
}

#[test]
fn golden_traces() {
    let source = GOOD.replace("#@ test first\n", "#@ test first\n#@ golden\n");
    let folder = Folder::new(&[("a.S", &source)]);
    let (code, out, _) = folder.test("a.S");
    assert_eq!(code, 96, "{out}");
    assert!(out.contains("(--bless writes it)"), "{out}");
    let (code, out, _) = folder.test("a.S --bless");
    assert!(code == 0 && out.contains("  blessed  first\n"), "{out}");
    let golden = folder.0.path().join("a.first.trace");
    let text = std::fs::read_to_string(&golden).expect("it was written");
    assert!(text.contains("NMI#1 delivered to nmi on IST1"), "{text}");
    assert_eq!(folder.test("a.S").0, 0);
    // Blessed again: nothing has changed.
    assert!(folder.test("a.S --bless").1.contains("  ok       first\n"));
    std::fs::write(&golden, text.replace("IST1", "IST2")).expect("written");
    let (code, out, _) = folder.test("a.S");
    assert_eq!(code, 105, "{out}");
    assert!(
        out.contains("the trace differs from the golden one in line 3"),
        "{out}"
    );
}

#[test]
fn ktap_junit_and_json() {
    let folder = Folder::new(&[("a.S", GOOD), ("b.S", BAD)]);
    let (code, out, _) = folder.test(". --format ktap");
    assert_eq!(code, 100);
    assert!(
        out.starts_with(
            "KTAP version 1\n1..3\nok 1 ./a.S: first\nok 2 ./a.S: second <&>\n# b fails:\n"
        ),
        "{out}"
    );
    assert!(out.contains("\nnot ok 3 ./b.S: b\n"), "{out}");

    let report = folder.0.path().join("r.xml");
    let (code, out, _) = folder.test(". --format junit -o r.xml");
    assert_eq!((code, out.as_str()), (100, ""));
    let xml = std::fs::read_to_string(&report).expect("written");
    assert!(xml.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"iretrace\" tests=\"3\" failures=\"1\" errors=\"0\">\n"), "{xml}");
    assert!(xml.contains("name=\"second &lt;&amp;&gt;\""), "{xml}");
    assert!(
        xml.contains("<failure message=\"rax is not restored\" type=\"failed\">b fails:\n"),
        "{xml}"
    );
    balanced(&xml);

    let (_, out, _) = folder.test(". --format json");
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        (&json["version"], &json["passed"]),
        (&1.into(), &false.into())
    );
    let outcomes: Vec<_> = json["tests"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|t| t["outcome"].as_str())
        .collect();
    assert_eq!(outcomes, [Some("ok"), Some("ok"), Some("failed")]);
    assert_eq!(json["tests"][2]["headline"], "rax is not restored");
}

/// Every element is closed, in order.
fn balanced(xml: &str) {
    let mut open = Vec::new();
    for part in xml.split('<').skip(1) {
        let (tag, _) = part.split_once('>').expect("a tag ends");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name.to_owned()));
        } else if !tag.ends_with('/') && !tag.starts_with('?') {
            open.push(tag.split_whitespace().next().unwrap_or_default().to_owned());
        }
    }
    assert!(open.is_empty(), "{open:?}");
}
