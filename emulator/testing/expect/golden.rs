//! The trace, line for line.

use super::events_left_out;
use crate::testing::failure::Problem;
use crate::testing::run::Run;

pub(super) fn check(run: &Run, wanted: &str) -> Vec<Problem> {
    let problems = events_left_out("golden", run);
    if !problems.is_empty() {
        return problems;
    }
    let got = run.trace();
    // By lines: a checkout may have given the file other line ends.
    let (mut a, mut b) = (wanted.lines(), got.lines());
    let mut number = 0;
    let (expected, seen) = loop {
        number += 1;
        match (a.next(), b.next()) {
            (None, None) => return Vec::new(),
            (Some(x), Some(y)) if x == y => {}
            (x, y) => break (x, y),
        }
    };
    let shown = |l: Option<&str>| l.unwrap_or("(the end)").trim().to_owned();
    vec![Problem {
        expected: "golden".to_owned(),
        text: format!(
            "the trace differs from the golden one in line {number} (--bless writes it anew)"
        ),
        rip: None,
        diff: vec![(format!("line {number}"), shown(expected), shown(seen))],
    }]
}
