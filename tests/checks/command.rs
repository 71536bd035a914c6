//! Runs the program, and reads what it found.

use std::process::{Command, Output};

use serde_json::Value;

/// Runs `iretrace` with `words`.
pub fn iretrace<'a>(words: impl IntoIterator<Item = &'a str>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_iretrace"))
        .args(words)
        .env("NO_COLOR", "1")
        .output()
        .expect("iretrace runs")
}

/// What a run of `words` (a program, and options) finds, as written by `--findings`.
pub fn findings(words: &str) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("findings.json");
    let path = path.to_str().expect("UTF-8");
    let all = ["run", "-q", "--max-insns", "100k", "--findings", path];
    let run = iretrace(all.into_iter().chain(words.split_whitespace()));
    let text = std::fs::read_to_string(path);
    let text = text.unwrap_or_else(|e| panic!("{words}: {e}; {run:?}"));
    serde_json::from_str(&text).expect("JSON")
}

/// Severity, rule and place of each finding.
pub fn told(words: &str) -> Vec<String> {
    lines(&findings(words))
}

/// Severity, rule and place of each finding of a report.
pub fn lines(all: &Value) -> Vec<String> {
    let list = all["findings"].as_array().expect("a list");
    list.iter()
        .map(|f| {
            let text = |key: &str| f[key].as_str().unwrap_or("?").to_owned();
            format!("{} {} {}", text("severity"), text("rule"), text("symbol"))
        })
        .collect()
}
