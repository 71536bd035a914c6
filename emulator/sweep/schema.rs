//! The published schema of a sweep's report.

/// JSON Schema (draft 2020-12) of a report: `traces/schema/sweep-v1.schema.json`.
pub const REPORT_SCHEMA: &str = include_str!("../../traces/schema/sweep-v1.schema.json");
