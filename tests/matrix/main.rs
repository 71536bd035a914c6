//! The matrix: a stand-in whose numbers can be worked out by hand, the command, and its reports.

mod cells;
mod command;
mod reports;
#[path = "../cli/schema.rs"]
mod schemas;
#[path = "../cli/support.rs"]
#[expect(dead_code, reason = "shared with tests that link executables")]
mod support;
