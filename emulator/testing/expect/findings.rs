//! What the rules of [`crate::check`] find.

use crate::check::{RuleId, Severity};
use crate::testing::error::TestError;
use crate::testing::failure::Problem;
use crate::testing::place::Place;
use crate::testing::run::Run;

/// None of this severity or worse, but for rules that have been spoken of.
pub(super) fn none(run: &Run, severity: Severity, known: &[RuleId]) -> Vec<Problem> {
    let findings = run.findings();
    let mut problems: Vec<Problem> = Vec::new();
    for f in findings.iter() {
        if f.severity < severity || known.contains(&f.rule) {
            continue;
        }
        let text = format!("{}[{}]: {}", f.severity, f.rule, f.message);
        let problem = Problem::new(format!("no finding of severity {severity}"), text).at(f.rip.0);
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    problems
}

pub(super) fn one(
    run: &Run,
    rule: RuleId,
    place: Option<&Place>,
) -> Result<Vec<Problem>, TestError> {
    let program = &run.session.case.program;
    let at = place.map(|p| program.resolve("finding", p)).transpose()?;
    let findings = run.findings();
    let mut found = findings.iter().filter(|f| f.rule == rule);
    if found.any(|f| at.is_none_or(|at| at == f.rip)) {
        return Ok(Vec::new());
    }
    let elsewhere: Vec<String> = findings
        .iter()
        .filter(|f| f.rule == rule)
        .map(|f| program.name_of(f.rip.0))
        .collect();
    let text = match (place, elsewhere.is_empty()) {
        (Some(p), false) => format!(
            "{rule} is found at {}, and not at {p}",
            elsewhere.join(", ")
        ),
        _ => format!("{rule} is not found"),
    };
    Ok(vec![Problem::new(format!("finding {rule}"), text)])
}
