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
    assert!(xml.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"iretrace\" tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"0\">\n"), "{xml}");
    assert!(xml.contains("name=\"second &lt;&amp;&gt;\""), "{xml}");
    assert!(
        xml.contains("<failure message=\"rax is not restored\" type=\"failed\">b fails:\n"),
        "{xml}"
    );
    well_formed(&xml);

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

/// The report is XML 1.0, whatever the file, the test and the message are called.
#[cfg(unix)]
#[test]
fn junit_of_hostile_names_is_xml() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let folder = Folder::new(&[("h.S", "nmi: iretq\n"), ("b.S", "#@ gate <&>\n")]);
    let name = OsStr::from_bytes(b"a\xff<\"&'>\x1b\x07]]>.test.toml");
    let text = r#"
code = "h.S"
gate = "NMI nmi"
raise = "nmi"
[[test]]
name = "<\"&'>\u001b[31m\u0085\uFFFE\u202E]]><!--"
expect = "console <&\"'>\u0001\u000B\uFFFF]]>"
"#;
    std::fs::write(folder.0.path().join(name), text).expect("written");
    let (code, xml, _) = folder.test(". --format junit");
    assert_ne!(code, 0, "{xml}");
    well_formed(&xml);
    assert_eq!(xml.matches("<testcase ").count(), 2, "{xml}");
    assert!(
        xml.contains("the console never says &quot;&lt;&amp;"),
        "{xml}"
    );
    let (_, human, _) = folder.test(".");
    let harmful = |c: char| c != '\n' && iretrace::printable::is_harmful(c);
    assert!(!human.contains(harmful), "{human:?}");
}

/// Checks the productions of XML 1.0 that the report is made of: characters (2.2), references (4.1),
/// attributes (3.1: a name once, no `<`), and elements that are closed in order.
fn well_formed(xml: &str) {
    let is_char = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    assert!(xml.chars().all(is_char), "{xml:?}");
    let references = |text: &str| {
        for part in text.split('&').skip(1) {
            let (name, _) = part.split_once(';').unwrap_or_default();
            assert!(
                ["amp", "lt", "gt", "quot", "apos"].contains(&name),
                "{part:?}"
            );
        }
        assert!(!text.contains("]]>"), "{text:?}");
    };
    let declaration = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
    let mut rest = xml.strip_prefix(declaration).expect("a declaration");
    let mut open: Vec<&str> = Vec::new();
    let mut roots = 0;
    while let Some((text, behind)) = rest.split_once('<') {
        references(text);
        assert!(!open.is_empty() || text.trim().is_empty(), "{text:?}");
        let (tag, behind) = behind.split_once('>').expect("a tag ends");
        rest = behind;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
            continue;
        }
        let (tag, empty) = tag.strip_suffix('/').map_or((tag, false), |t| (t, true));
        let (name, mut attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        roots += usize::from(open.is_empty());
        if !empty {
            open.push(name);
        }
        let mut names = std::collections::BTreeSet::new();
        while let Some((name, more)) = attributes.split_once("=\"") {
            let word = name.trim();
            assert!(word.chars().all(|c| c.is_ascii_alphabetic()), "{name:?}");
            assert!(names.insert(word), "{word} twice");
            let (value, more) = more.split_once('"').expect("a value ends");
            references(value);
            attributes = more;
        }
        assert_eq!(attributes.trim(), "", "{tag:?}");
    }
    assert!(
        open.is_empty() && roots == 1 && rest.trim().is_empty(),
        "{open:?} {roots}"
    );
}

/// An input is no output, and a report says how it went where it does not show it.
#[test]
fn the_report_overwrites_no_test() {
    let folder = Folder::new(&[("a.S", GOOD)]);
    let (code, _, said) = folder.test("a.S -o ./a.S");
    assert_eq!(code, 2);
    assert!(said.contains("a.S: that is an input"), "{said}");
    let kept = std::fs::read_to_string(folder.0.path().join("a.S")).expect("there");
    assert_eq!(kept, GOOD);
    let (code, out, said) = folder.test("a.S -o r.txt");
    assert_eq!((code, out.as_str()), (0, ""));
    assert!(said.contains("2 tests: 2 passed"), "{said}");
    let (code, _, said) = folder.test("a.S --skip first,second --skip second --skip first");
    assert_eq!(code, 2);
    assert!(
        said.contains("fits --skip first,second, second, first;"),
        "{said}"
    );
}
