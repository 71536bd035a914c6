//! The page needs nothing else, and shows what it is given as text.

use crate::programs::{NO_IDT, forms, source, undivided};
use crate::support::{folder, iretrace, word};

/// Elements without an end.
const VOID: [&str; 2] = ["meta", "wbr"];

/// Every element is ended, in order; returned are the names of all.
fn elements(page: &str) -> Vec<String> {
    let mut open: Vec<String> = Vec::new();
    let mut all = Vec::new();
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        let end = rest[at..].find('>').expect("a tag's end") + at;
        let tag = &rest[at + 1..end];
        let name: String = tag
            .trim_start_matches('/')
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '!')
            .collect();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{tag}>");
        } else if name != "!DOCTYPE" {
            assert!(!name.is_empty(), "<{tag}>");
            assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>");
            all.push(name.clone());
            if !VOID.contains(&name.as_str()) {
                open.push(name);
            }
        }
        rest = &rest[end + 1..];
    }
    assert_eq!(open, Vec::<String>::new());
    all
}

#[test]
fn a_page_stands_alone() {
    let page = &undivided().html;
    let names = elements(page);
    for never in [
        "script", "link", "img", "iframe", "object", "embed", "base", "form",
    ] {
        assert!(!names.iter().any(|n| n == never), "<{never}>");
    }
    for never in ["http:", "https:", "//", "url(", "@import", "src=", " on"] {
        let found = page.match_indices(never).find(|(at, _)| {
            // In a tag or the style, not in a text.
            let before = &page[..*at];
            before.rfind('<') > before.rfind('>') || *at < page.find("</style>").expect("a style")
        });
        assert_eq!(found, None, "{never}");
    }
}

#[test]
fn a_page_has_a_row_an_instruction_and_a_cell_a_column() {
    let folder = folder();
    let image = source(&folder, NO_IDT);
    let page = forms(&["sweep", word(&image), "--inject", "nmi", "--inject", "mce"]).html;
    elements(&page);
    // nop, nop, mov, out: the guest is gone after that.
    assert_eq!(page.matches("<tr id=\"i").count(), 4, "{page}");
    assert_eq!(page.matches("<td class=\"k\"").count(), 8);
    for text in [
        "wide:",
        "<td class=\"text\" title=\"nop\">nop</td>",
        "icount=0",
        "e8\">",
        "triple fault",
    ] {
        assert!(page.contains(text), "{text:?} in {page}");
    }
}

#[test]
fn names_of_the_image_are_text() {
    let folder = folder();
    let name = "<script>alert(1)</script>&amp;'x";
    let image = source(&folder, &NO_IDT.replace("wide:", &format!("\"{name}\":")));
    let path = folder.path().join("r.html");
    let o = iretrace(["sweep", word(&image), "--html", word(&path)]);
    o.ends_with(100).shows(&[name]);
    let page = std::fs::read_to_string(path).expect("written");
    let names = elements(&page);
    assert!(!names.iter().any(|n| n == "script"));
    assert!(
        page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;&#39;x:"),
        "{page}"
    );
}
