//! What is stored, and where.

use crate::testing::error::TestError;
use crate::testing::failure::Problem;
use crate::testing::layout::Stack;
use crate::testing::place::Place;
use crate::testing::run::Run;

/// Stores that are named.
const MOST: usize = 8;

pub(super) fn check(run: &Run, ranges: &[(Place, u64)]) -> Result<Vec<Problem>, TestError> {
    let program = &run.session.case.program;
    let mut allowed = Vec::new();
    for (place, size) in ranges {
        allowed.push((program.resolve("writes within", place)?.0, *size));
    }
    let is_allowed = |at: u64| {
        Stack::of(at).is_some()
            || allowed
                .iter()
                .any(|(from, size)| at.wrapping_sub(*from) < *size)
    };
    let bad = run.seen().writes.iter().filter(|w| {
        let last = w.at.wrapping_add(u64::from(w.size.max(1)) - 1);
        !is_allowed(w.at) || !is_allowed(last)
    });
    let mut problems: Vec<Problem> = Vec::new();
    for w in bad {
        let text = format!(
            "{} stores {} bytes to {}, outside what may be written: {}",
            program.name_of(w.rip),
            w.size,
            program.name_of(w.at),
            run.session.insn_text(w.rip)
        );
        let problem = Problem::new("writes within", text).at(w.rip);
        if !problems.contains(&problem) && problems.len() < MOST {
            problems.push(problem);
        }
    }
    Ok(problems)
}
