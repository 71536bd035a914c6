//! The report is what its schema says.

use serde_json::{Value, json};

use crate::programs::{CLEAN, NO_IDT, forms, source, undivided, window};
use crate::schemas::Schema;
use crate::support::{folder, word};

#[test]
fn reports_are_valid() {
    let schema = Schema::printed("sweep");
    let folder = folder();
    let image = source(&folder, NO_IDT);
    let shutdown = forms(&["sweep", word(&image)]);
    let deeper = source(&folder, CLEAN);
    let deeper = [&window(&deeper)[..], &["--then", "BP;nmi"]].concat();
    let deeper = forms(&deeper);
    for forms in [undivided(), &shutdown, &deeper] {
        let report = serde_json::from_str(&forms.json).expect("JSON");
        schema.check(&report).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn the_schema_says_what_there_must_be() {
    let schema = Schema::printed("sweep");
    let folder = folder();
    let image = source(&folder, NO_IDT);
    let report = forms(&["sweep", word(&image)]).json;
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(report["verdicts"]["shutdown"], report["cases"]);
    for place in [
        "",
        "/classes/0",
        "/classes/0/ranges/0",
        "/listing/0",
        "/columns/0",
    ] {
        let keys = report
            .pointer(place)
            .and_then(Value::as_object)
            .expect(place);
        for key in keys.keys() {
            let mut without = report.clone();
            let object = without.pointer_mut(place).and_then(Value::as_object_mut);
            object.expect(place).remove(key);
            assert!(schema.check(&without).is_err(), "without {place}/{key}");
        }
        let mut more = report.clone();
        more.pointer_mut(place).expect(place)["surprise"] = json!(1);
        assert!(schema.check(&more).is_err(), "more in {place}");
    }
    for (place, wrong) in [
        ("/version", json!(2)),
        ("/classes/0/verdict", json!("good")),
        ("/verdicts", json!({"good": 1})),
        ("/listing/0/rip", json!(16)),
        ("/listing/0/counts/0", json!([1, 2])),
        ("/cases", json!(-1)),
        ("/explored/0", json!([0, 4])),
    ] {
        let mut bad = report.clone();
        *bad.pointer_mut(place).expect(place) = wrong;
        assert!(schema.check(&bad).is_err(), "{place}");
    }
}
