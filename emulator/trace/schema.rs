//! The published schema of the JSON Lines format.

/// JSON Schema (draft 2020-12) of one line: `traces/schema/trace-v1.schema.json`.
pub const TRACE_SCHEMA: &str = include_str!("../../traces/schema/trace-v1.schema.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use boon::{Compiler, SchemaIndex, Schemas};
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;
    use crate::arch::{CpuModel, Vendor, VirtAddr};
    use crate::trace::samples;
    use crate::trace::{
        Event, Header, ImageInfo, JsonEncoder, RecordWriter, Symbols, TraceReader, TracedEvent,
    };

    struct Schema {
        schemas: Schemas,
        index: SchemaIndex,
    }

    impl Schema {
        fn new() -> Self {
            let mut schemas = Schemas::new();
            let mut compiler = Compiler::new();
            let json = serde_json::from_str(TRACE_SCHEMA).expect("JSON");
            let url = "urn:iretrace:trace-v1";
            compiler.add_resource(url, json).expect("a resource");
            let index = compiler.compile(url, &mut schemas).expect("a schema");
            Self { schemas, index }
        }

        fn check(&self, line: &Value) -> Result<(), String> {
            self.schemas
                .validate(line, self.index)
                .map_err(|e| format!("{line}\n{e:#}"))
        }

        fn refuses(&self, line: &Value) {
            assert!(self.check(line).is_err(), "valid: {line}");
        }
    }

    fn header() -> Header {
        let mut h = Header::new(
            ImageInfo::of("programs/nested-nmi.S", b"code"),
            &CpuModel::of(Vendor::Intel),
        );
        h.config.insert("memory".to_owned(), json!(67_108_864));
        h.schedule.push("--nmi at=main+0x1a".to_owned());
        h.argv.push("iretrace".to_owned());
        h
    }

    fn lines() -> Vec<Value> {
        samples::events()
            .iter()
            .map(|e| serde_json::to_value(e).expect("serialises"))
            .collect()
    }

    /// Every object in `value`, as a JSON pointer.
    fn objects(value: &Value, at: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                found.push(at.to_owned());
                for (key, member) in members {
                    objects(member, &format!("{at}/{key}"), found);
                }
            }
            Value::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    objects(item, &format!("{at}/{i}"), found);
                }
            }
            _ => {}
        }
    }

    #[test]
    fn schema_is_valid_draft_2020_12() {
        let mut schemas = Schemas::new();
        let json: Value = serde_json::from_str(TRACE_SCHEMA).expect("JSON");
        let meta = "https://json-schema.org/draft/2020-12/schema";
        assert_eq!(json["$schema"], meta);
        let index = Compiler::new()
            .compile(meta, &mut schemas)
            .expect("the meta-schema");
        schemas.validate(&json, index).expect("valid");
    }

    #[test]
    fn every_kind_of_event_is_sampled_and_in_the_schema() {
        // serde itself lists the variants, so none can be forgotten.
        let unknown = json!({"icount":0,"sub":0,"rip":"0x0","cpl":0,"depth":0,"event":"?"});
        let message = Event::deserialize(&unknown).unwrap_err().to_string();
        let variants: BTreeSet<&str> = message.split('`').skip(3).step_by(2).collect();
        assert!(variants.len() >= 29, "{message}");
        let schema: Value = serde_json::from_str(TRACE_SCHEMA).expect("JSON");
        let listed = schema["$defs"]["event"]["properties"]["event"]["enum"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        assert_eq!(variants, listed);
        let lines = lines();
        let sampled = lines.iter().filter_map(|l| l["event"].as_str()).collect();
        assert_eq!(variants, sampled);
    }

    #[test]
    fn every_event_validates_with_and_without_names() {
        struct Named;
        impl Symbols for Named {
            fn name(&self, _: VirtAddr) -> Option<String> {
                Some("main+0x1".to_owned())
            }
            fn line(&self, _: VirtAddr) -> Option<String> {
                Some("a.S:1".to_owned())
            }
        }
        let schema = Schema::new();
        let mut encoder = JsonEncoder::new(Named);
        for event in samples::events() {
            let bare = serde_json::to_value(&event).expect("serialises");
            schema.check(&bare).unwrap_or_else(|e| panic!("{e}"));
            let mut named = Vec::new();
            encoder.encode(&event, &mut named);
            let named = serde_json::from_slice(&named).expect("JSON");
            schema.check(&named).unwrap_or_else(|e| panic!("{e}"));
        }
    }

    #[test]
    fn headers_validate_and_wrong_ones_do_not() {
        let schema = Schema::new();
        for vendor in [Vendor::Intel, Vendor::Amd] {
            let mut h = header();
            h.cpu = serde_json::to_value(CpuModel::of(vendor)).expect("serialises");
            let h = serde_json::to_value(h).expect("serialises");
            schema.check(&h).unwrap_or_else(|e| panic!("{e}"));
            for key in h.as_object().expect("an object").keys() {
                let mut without = h.clone();
                without.as_object_mut().expect("an object").remove(key);
                schema.refuses(&without);
            }
        }
        let h = serde_json::to_value(header()).expect("serialises");
        for (pointer, wrong) in [
            ("/iretrace", json!("something")),
            ("/version", json!(2)),
            ("/image/size", json!(-1)),
            ("/image/hash", json!("md5:00")),
            ("/cpu/vendor", json!("via")),
            ("/cpu/maxphyaddr", json!(60)),
            ("/cpu/features/nx", json!("yes")),
            ("/schedule/0", json!("at=main")),
            ("/argv/0", json!(1)),
        ] {
            let mut bad = h.clone();
            *bad.pointer_mut(pointer).expect(pointer) = wrong;
            schema.refuses(&bad);
        }
    }

    #[test]
    fn the_schema_refuses_what_the_reader_refuses_when_a_member_is_missing() {
        let schema = Schema::new();
        for line in lines() {
            let mut places = Vec::new();
            objects(&line, "", &mut places);
            for place in &places {
                let keys: Vec<String> = line
                    .pointer(place)
                    .and_then(Value::as_object)
                    .expect("an object")
                    .keys()
                    .cloned()
                    .collect();
                for key in keys {
                    let mut without = line.clone();
                    without
                        .pointer_mut(place)
                        .and_then(Value::as_object_mut)
                        .expect("an object")
                        .remove(&key);
                    let reads = Event::deserialize(&without).is_ok();
                    let valid = schema.check(&without);
                    assert_eq!(valid.is_ok(), reads, "without {place}/{key}: {valid:?}");
                }
            }
        }
    }

    #[test]
    fn unknown_members_and_wrong_spellings_are_refused() {
        let schema = Schema::new();
        for line in lines() {
            let mut places = Vec::new();
            objects(&line, "", &mut places);
            for place in &places {
                let mut more = line.clone();
                more.pointer_mut(place).expect("an object")["surprise"] = json!(1);
                schema.refuses(&more);
            }
            for wrong in [
                json!(16),
                json!("10"),
                json!("0xAB"),
                json!("0x00"),
                json!("0x"),
            ] {
                let mut bad = line.clone();
                bad["rip"] = wrong;
                schema.refuses(&bad);
            }
            for (key, wrong) in [
                ("cpl", json!(4)),
                ("depth", json!(65_536)),
                ("sub", json!(-1)),
                ("icount", json!("1")),
                ("event", json!("surprise")),
                ("sym", json!("")),
            ] {
                let mut bad = line.clone();
                bad[key] = wrong;
                schema.refuses(&bad);
            }
        }
    }

    #[test]
    fn a_written_trace_validates_line_by_line_and_reads_back() {
        let mut out = Vec::new();
        let mut writer = crate::trace::JsonlWriter::new(
            RecordWriter::new(&mut out),
            &header(),
            crate::trace::NoSymbols,
        )
        .expect("memory");
        for event in samples::events() {
            crate::trace::EventSink::event(&mut writer, &event).expect("memory");
        }
        drop(writer);
        let schema = Schema::new();
        for line in std::str::from_utf8(&out).expect("UTF-8").lines() {
            let line: Value = serde_json::from_str(line).expect("JSON");
            schema.check(&line).unwrap_or_else(|e| panic!("{e}"));
        }
        let read: Result<Vec<TracedEvent>, _> = TraceReader::new(out.as_slice(), "t")
            .expect("a trace")
            .collect();
        assert_eq!(read.expect("readable").len(), samples::events().len());
    }
}
