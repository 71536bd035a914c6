//! The JSON is what its schema says; the page stands alone.

use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::command::matrix;
use crate::schemas::Schema;
use crate::support::{folder, word};

/// A small matrix as JSON and as a page.
fn written() -> &'static (Value, String) {
    static WRITTEN: OnceLock<(Value, String)> = OnceLock::new();
    WRITTEN.get_or_init(|| {
        let here = folder();
        let (json, html) = (here.path().join("r.json"), here.path().join("r.html"));
        let files = ["--json", word(&json), "--html", word(&html)];
        let filter = ["--pages", "lazy,walk,stack", "--nmi", "naive,no-touch"];
        let all: Vec<&str> = files.into_iter().chain(filter).collect();
        matrix(&all).ends_with(100);
        let read = |p| std::fs::read_to_string(p).expect("written");
        (serde_json::from_str(&read(json)).expect("JSON"), read(html))
    })
}

#[test]
fn the_report_is_valid_and_each_of_its_keys_is_needed() {
    let schema = Schema::printed("matrix");
    let report = &written().0;
    schema.check(report).unwrap_or_else(|e| panic!("{e}"));
    let (mut objects, mut keys) = (vec![String::new()], 0);
    while let Some(place) = objects.pop() {
        let value = report.pointer(&place).expect("it is there");
        let children: Vec<String> = match value {
            // One of each list stands for all.
            Value::Array(list) => (0..list.len().min(1)).map(|n| n.to_string()).collect(),
            Value::Object(map) => map.keys().cloned().collect(),
            _ => continue,
        };
        objects.extend(children.iter().map(|c| format!("{place}/{c}")));
        if !value.is_object() || place.ends_with("/verdicts") {
            continue;
        }
        for key in children {
            let mut without = report.clone();
            let object = without.pointer_mut(&place).and_then(Value::as_object_mut);
            object.expect("an object").remove(&key);
            assert!(schema.check(&without).is_err(), "without {place}/{key}");
            keys += 1;
        }
        let mut more = report.clone();
        more.pointer_mut(&place).expect("it is there")["surprise"] = json!(1);
        assert!(schema.check(&more).is_err(), "more in {place}");
    }
    assert!(keys > 80, "{keys} keys were tried");
}

#[test]
fn the_page_needs_nothing_and_shows_each_cell_and_curve() {
    let page = &written().1;
    for never in [
        "<script", "<img", "<link", "http:", "https:", "url(", "@import", "NaN",
    ] {
        assert!(!page.contains(never), "{never}");
    }
    // Three strategies by two; the verdict's colour is the cell's.
    assert_eq!(page.matches("<td class=\"v").count(), 6);
    assert_eq!(page.matches("<td class=\"v2\"").count(), 2);
    assert!(page.contains("Without costs, as they fail: stack."));
    // The walk's curve, and its name at the end.
    assert!(page.contains("<path class=\"line s2\""));
    assert!(page.contains(">walk</text>"));
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    assert!(page.matches("<svg").count() >= 5);
}
