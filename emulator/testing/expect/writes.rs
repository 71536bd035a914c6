//! What is stored, and where.

use std::collections::BTreeSet;

use super::left_out;
use crate::testing::error::TestError;
use crate::testing::failure::Problem;
use crate::testing::layout::Stack;
use crate::testing::observed::Write;
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
    let bad = |w: &&Write| {
        let bytes = 0..u64::from(w.size.max(1));
        !bytes.into_iter().all(|n| is_allowed(w.at.wrapping_add(n)))
    };
    let expected = "writes within";
    let mut problems = left_out(expected, "stores", run.seen().left_out.writes);
    let (mut known, mut more) = (BTreeSet::new(), 0u64);
    for w in run.seen().writes.iter().filter(bad) {
        if !known.insert((w.rip, w.at, w.size)) {
            continue;
        }
        if known.len() > MOST {
            more += 1;
            continue;
        }
        let text = format!(
            "{} stores {} bytes to {}, outside what may be written: {}",
            program.name_of(w.rip),
            w.size,
            program.name_of(w.at),
            run.session.insn_text(w.rip)
        );
        problems.push(Problem::new(expected, text).at(w.rip));
    }
    if more != 0 {
        let text = format!("{more} more stores go outside what may be written");
        problems.push(Problem::new(expected, text));
    }
    Ok(problems)
}
