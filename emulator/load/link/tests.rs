//! Pieces that are assembled and linked by themselves.

use super::*;

fn linkage(sources: &[(&str, &str)]) -> Linkage {
    let source = |(name, text): &(&str, &str)| Source {
        name: (*name).to_owned(),
        bytes: text.as_bytes().to_vec(),
        folder: None,
    };
    Linkage {
        sources: sources.iter().map(source).collect(),
        base: 0x20_0000,
        include: Vec::new(),
        roots: Vec::new(),
        stubs: None,
        stub_at: (0x1f_0000, 128),
        defined: Vec::new(),
        limits: Limits::default(),
    }
}

#[test]
fn undefined_symbols_get_addresses() {
    let linked = link(&linkage(&[(
        "entry.S",
        ".globl entry\nentry: call second\ncall first\nmov value(%rip), %rax\nret\n.data\nvalue: .quad 1\n",
    )]))
    .unwrap();
    let stubs: Vec<_> = linked
        .stubs
        .iter()
        .map(|(n, a)| (n.as_str(), a.0))
        .collect();
    assert_eq!(stubs, [("first", 0x1f_0000), ("second", 0x1f_0080)]);
    assert_eq!(linked.image.resolve("entry").unwrap().0, 0x20_0000);
    // call rel32, from the end of the instruction.
    let text = &linked.image.segments[0].data;
    let target = i32::from_le_bytes(text[1..5].try_into().unwrap());
    assert_eq!(0x20_0005 + i64::from(target), 0x1f_0080);
}

#[test]
fn built_in_includes_are_found() {
    let linked = link(&linkage(&[("a.S", ".include \"kernel.inc\"\nhere: nop\n")])).unwrap();
    assert!(linked.image.resolve("kernel_init").is_ok());
    let e = link(&linkage(&[("a.S", ".include \"none.inc\"\n")])).unwrap_err();
    assert!(e.to_string().contains("none.inc"), "{e}");
}

#[test]
fn several_sources_see_each_other() {
    let linked = link(&linkage(&[
        ("a.S", "entry: call other\ncall nobody\n"),
        ("b.S", ".globl other\nother: ret\n"),
    ]))
    .unwrap();
    assert_eq!(linked.stubs.len(), 1);
    assert_eq!(linked.stubs[0].0, "nobody");
}

#[test]
fn what_is_not_named_as_a_stub_is_an_error() {
    let mut l = linkage(&[("a.S", "entry: call do_page_falt\n")]);
    l.stubs = Some(vec!["do_page_fault".to_owned()]);
    let e = link(&l).unwrap_err().to_string();
    assert_eq!(
        e,
        "a.S: ld: undefined symbol 'do_page_falt': did you mean 'do_page_fault', which is a stub?; mend the source there"
    );
}

#[test]
fn errors_name_the_line() {
    let e = link(&linkage(&[("x.S", "nop\n mov foo bar\n")])).unwrap_err();
    assert!(e.to_string().starts_with("x.S: as: x.S:2: "), "{e}");
    let e = link(&linkage(&[("x.txt", "hello\n")])).unwrap_err();
    assert!(e.to_string().contains("give an assembly source"), "{e}");
}

#[test]
fn errors_in_an_include_name_it_relative_to_its_source() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("part.inc"), "nop\n mov foo bar\n").unwrap();
    let mut l = linkage(&[("x.S", ".include \"part.inc\"\n")]);
    l.sources[0].folder = Some(folder.path().to_owned());
    let e = link(&l).unwrap_err().to_string();
    assert!(e.starts_with("x.S: as: part.inc:2: "), "{e}");
}
