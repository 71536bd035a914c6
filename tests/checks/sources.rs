//! Runs a program that a test writes, and reads what it found.

use serde_json::Value;

use super::command::{findings, lines};

/// What a run of the program `source` finds.
pub fn findings_of(source: &str, options: &str) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("program.S");
    std::fs::write(&path, source).expect("written");
    findings(&format!("{} {options}", path.to_str().expect("UTF-8")))
}

/// Severity, rule and place of each.
pub fn run(source: &str, options: &str) -> Vec<String> {
    lines(&findings_of(source, options))
}
