//! The table: scenario, source, expected, seen, pass.

use std::fmt;

use super::case::Case;

/// One row.
pub struct Row {
    scenario: String,
    source: String,
    place: String,
    expected: Vec<String>,
    seen: Vec<String>,
    /// What is wrong, in words.
    wrong: Vec<String>,
}

impl Row {
    /// The row of `case`.
    pub fn new(case: &Case, expected: Vec<String>, seen: Vec<String>, wrong: Vec<String>) -> Self {
        let setting = match case.setting.as_str() {
            "" => String::new(),
            s => format!(" [{s}]"),
        };
        Self {
            scenario: format!("{} {}{setting}", case.id, case.title),
            source: case.source.clone(),
            place: case.place.clone(),
            expected,
            seen,
            wrong,
        }
    }

    /// The row of a case that cannot be run.
    pub fn broken(case: &Case, error: String) -> Self {
        Self::new(case, Vec::new(), Vec::new(), vec![error])
    }

    /// Whether what was seen is what was expected.
    pub fn passes(&self) -> bool {
        self.wrong.is_empty()
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passes() { "pass" } else { "FAIL" };
        writeln!(f, "{verdict}  {}", self.scenario)?;
        writeln!(f, "      source    {} ({})", self.source, self.place)?;
        for (label, lines) in [
            ("expected", &self.expected),
            ("seen", &self.seen),
            ("wrong", &self.wrong),
        ] {
            for (i, line) in lines.iter().enumerate() {
                let label = if i == 0 { label } else { "" };
                writeln!(f, "      {label:<10}{line}")?;
            }
        }
        Ok(())
    }
}

/// Prints all rows and their number.
pub fn print_table<'a>(rows: impl Iterator<Item = &'a Row>) {
    let (mut all, mut passed) = (0, 0);
    for row in rows {
        println!("{row}");
        all += 1;
        passed += usize::from(row.passes());
    }
    println!("{passed} of {all} scenarios pass");
}
