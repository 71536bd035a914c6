//! A table of three symbols.

use super::*;

fn table() -> SymbolTable {
    SymbolTable::from_list(
        [
            ("_start", VirtAddr(0x1000), 0),
            ("nmi_entry", VirtAddr(0x1040), 0x20),
            ("a+b", VirtAddr(0x1080), 0),
        ],
        VirtAddr(0x1fff),
    )
}

#[test]
fn names() {
    let t = table();
    let shown = |a| t.shown(VirtAddr(a));
    assert_eq!(shown(0xfff), None);
    assert_eq!(shown(0x1000).as_deref(), Some("_start"));
    assert_eq!(shown(0x103f).as_deref(), Some("_start+0x3f"));
    assert_eq!(shown(0x105f).as_deref(), Some("nmi_entry+0x1f"));
    assert_eq!(shown(0x1060), None, "past the end of a sized symbol");
    assert_eq!(shown(0x1fff).as_deref(), Some("a+b+0xf7f"));
    assert_eq!(shown(0x2000), None);
    assert_eq!(t.name(VirtAddr(0x1041)), Some(("nmi_entry", 1)));
}

#[test]
fn places() {
    let t = table();
    for (text, at) in [
        ("_start", 0x1000),
        (" nmi_entry ", 0x1040),
        ("nmi_entry+0x1f", 0x105f),
        ("nmi_entry + 31", 0x105f),
        ("nmi_entry-4", 0x103c),
        ("a+b", 0x1080),
        ("a+b+1", 0x1081),
        ("0x10", 0x10),
        ("0xffffffff_80000000", 0xffff_ffff_8000_0000),
        ("0x1000+8", 0x1008),
        ("_start-0x1000", 0),
    ] {
        assert_eq!(t.find(text), Ok(VirtAddr(at)), "{text}");
    }
}

#[test]
fn bad_places_say_what_is_wrong() {
    let t = table();
    for (text, message) in [
        (
            "nmi_enrty",
            "symbol 'nmi_enrty': not in the image; did you mean 'nmi_entry'?",
        ),
        (
            "nmi_enrty+4",
            "symbol 'nmi_enrty': not in the image; did you mean 'nmi_entry'?",
        ),
        (
            "zebra",
            "symbol 'zebra': not in the image; list its symbols with nm",
        ),
        ("nmi_entry+", "the offset is no number"),
        ("nmi_entry+0xg", "the offset is no number"),
        ("nmi_entry++4", "not in the image"),
        ("1234", "addresses are written in hex"),
        ("0x", "is no hex number"),
        (
            "0x1_0000_0000_0000_0000",
            "is no hex number of at most 64 bits",
        ),
        ("0xffffffffffffffff+1", "lies outside"),
        ("_start-0x1001", "lies outside"),
        ("", "is empty"),
        ("x\ny", "symbol 'x\\ny'"),
    ] {
        let e = t.find(text).unwrap_err().to_string();
        assert!(e.contains(message), "{text}: {e}");
        assert!(!e.contains('\n'));
        assert_eq!(t.resolve(text), None);
    }
    let none = SymbolTable::default().find("x").unwrap_err().to_string();
    assert!(none.contains("has no symbols"), "{none}");
}
