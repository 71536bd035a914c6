//! The published schema of a matrix.

/// JSON Schema (draft 2020-12) of a report: `traces/schema/matrix-v1.schema.json`.
pub const MATRIX_SCHEMA: &str = include_str!("../../traces/schema/matrix-v1.schema.json");
