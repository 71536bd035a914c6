//! The JSON Schemas that the program prints.

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::Value;

use crate::support::iretrace;

/// One of them.
pub struct Schema {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Schema {
    /// What `iretrace schema NAME` prints, which is a schema itself.
    pub fn printed(name: &str) -> Self {
        let o = iretrace(["schema", name]);
        o.ends_with(0);
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        let url = format!("urn:iretrace:{name}-v1");
        let schema: Value = serde_json::from_str(&o.stdout).expect("JSON");
        let meta = "https://json-schema.org/draft/2020-12/schema";
        assert_eq!(schema["$schema"], meta);
        let of_schemas = Compiler::new().compile(meta, &mut schemas).expect("known");
        schemas.validate(&schema, of_schemas).expect("a schema");
        compiler.add_resource(&url, schema).expect("a resource");
        let index = compiler.compile(&url, &mut schemas).expect("a schema");
        Self { schemas, index }
    }

    /// Whether `report` is what it says.
    pub fn check(&self, report: &Value) -> Result<(), String> {
        let result = self.schemas.validate(report, self.index);
        result.map_err(|e| format!("{e:#}"))
    }
}
