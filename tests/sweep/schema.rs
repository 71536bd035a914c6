//! The report is what its schema says.

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};

use crate::programs::{CLEAN, INCLUDE, NO_IDT, forms, source, undivided};
use crate::support::{folder, iretrace, word};

struct Schema {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Schema {
    /// The one that the program prints.
    fn printed() -> Self {
        let o = iretrace(["schema", "sweep"]);
        o.ends_with(0);
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        let url = "urn:iretrace:sweep-v1";
        let schema: Value = serde_json::from_str(&o.stdout).expect("JSON");
        let meta = "https://json-schema.org/draft/2020-12/schema";
        assert_eq!(schema["$schema"], meta);
        let of_schemas = Compiler::new().compile(meta, &mut schemas).expect("known");
        schemas.validate(&schema, of_schemas).expect("a schema");
        compiler.add_resource(url, schema).expect("a resource");
        let index = compiler.compile(url, &mut schemas).expect("a schema");
        Self { schemas, index }
    }

    fn is_valid(&self, report: &Value) -> Result<(), String> {
        let result = self.schemas.validate(report, self.index);
        result.map_err(|e| format!("{e:#}"))
    }
}

#[test]
fn reports_are_valid() {
    let schema = Schema::printed();
    let folder = folder();
    let image = source(&folder, NO_IDT);
    let shutdown = forms(&["sweep", word(&image)]);
    let deeper = source(&folder, CLEAN);
    let deeper = [
        "sweep",
        word(&deeper),
        "-I",
        INCLUDE,
        "--from",
        "ready",
        "--to",
        "last",
        "--then",
        "BP;nmi",
    ];
    let deeper = forms(&deeper);
    for forms in [undivided(), &shutdown, &deeper] {
        let report = serde_json::from_str(&forms.json).expect("JSON");
        schema.is_valid(&report).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn the_schema_says_what_there_must_be() {
    let schema = Schema::printed();
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
            assert!(schema.is_valid(&without).is_err(), "without {place}/{key}");
        }
        let mut more = report.clone();
        more.pointer_mut(place).expect(place)["surprise"] = json!(1);
        assert!(schema.is_valid(&more).is_err(), "more in {place}");
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
        assert!(schema.is_valid(&bad).is_err(), "{place}");
    }
}
