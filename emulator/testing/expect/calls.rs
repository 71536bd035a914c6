//! Calls: that they happen, with which arguments, and on which stack.

use std::collections::BTreeSet;

use super::left_out;
use crate::testing::error::{NO_STUB, TestError};
use crate::testing::failure::Problem;
use crate::testing::place::Place;
use crate::testing::run::Run;
use crate::testing::session::Session;

/// The registers of arguments (System V ABI, 3.2.3).
pub(crate) const ARGUMENTS: [&str; 6] = ["rdi", "rsi", "rdx", "rcx", "r8", "r9"];

pub(super) fn check(
    run: &Run,
    name: &str,
    times: Option<usize>,
    arguments: &[(usize, u64)],
) -> Result<Vec<Problem>, TestError> {
    let expected = format!("call {name}");
    if !run.session.case.program.has_stub(name) {
        return Err(TestError::setup(expected, NO_STUB));
    }
    let calls = run.calls(name);
    let mut problems = left_out(&expected, "calls of stubs", run.seen().left_out.calls);
    match times {
        Some(n) if n != calls.len() => problems.push(Problem::new(
            &expected,
            format!("{name} is called {} times, and not {n}", calls.len()),
        )),
        None if calls.is_empty() => {
            problems.push(Problem::new(&expected, format!("{name} is never called")));
        }
        _ => {}
    }
    let Some(call) = calls.first() else {
        return Ok(problems);
    };
    let diff: Vec<_> = arguments
        .iter()
        .filter(|(n, value)| call.arguments.get(*n) != Some(value))
        .map(|(n, value)| {
            let got = call.arguments.get(*n).copied().unwrap_or_default();
            let register = ARGUMENTS.get(*n).copied().unwrap_or("?");
            (
                register.to_owned(),
                format!("{value:#x}"),
                format!("{got:#x}"),
            )
        })
        .collect();
    if !diff.is_empty() {
        problems.push(Problem {
            expected,
            text: format!("{name} is called with other arguments (expected -> passed)"),
            rip: Some(call.from),
            diff,
        });
    }
    Ok(problems)
}

pub(super) fn aligned(run: &Run, places: &[Place]) -> Result<Vec<Problem>, TestError> {
    let program = &run.session.case.program;
    let mut wanted = Vec::new();
    for place in places {
        wanted.push(program.resolve("aligned", place)?.0);
    }
    let expected = "aligned calls";
    let mut problems = left_out(expected, "calls", run.seen().left_out.entries);
    let mut known = BTreeSet::new();
    for &(entry, rsp, from) in &run.seen().entries {
        if !wanted.is_empty() && !wanted.contains(&entry) {
            continue;
        }
        // Each CALL once: one that recurses is at another RSP each time.
        if Session::is_misaligned(rsp) && known.insert((entry, from)) {
            let text = run.session.misaligned(&program.name_of(entry), rsp, from);
            problems.push(Problem::new(expected, text).at(from));
        }
    }
    Ok(problems)
}
