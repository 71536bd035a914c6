//! What is said to the user, on standard error. Standard output is for results.

use std::io::Write as _;

/// Says one line. A closed standard error is no reason to fail.
fn say(line: &str) {
    let mut text = String::with_capacity(line.len() + 16);
    text.push_str("iretrace: ");
    // Texts of guests and tools may hold line ends; one message is one line.
    text.extend(line.chars().map(|c| if c == '\n' { ' ' } else { c }));
    text.push('\n');
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Why a command failed.
pub fn error(message: &str) {
    say(&format!("error: {message}"));
}

/// What the user should know.
pub fn note(message: &str) {
    say(&format!("note: {message}"));
}

/// How a run ended.
pub fn summary(message: &str) {
    say(message);
}
