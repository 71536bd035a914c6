//! Mistakes that were seen while the handler ran.

use crate::testing::defect::DefectKind;
use crate::testing::failure::Problem;
use crate::testing::run::Run;

pub(super) fn check(run: &Run, kinds: &[DefectKind]) -> Vec<Problem> {
    let seen = run.seen().defects.iter();
    seen.filter(|d| kinds.contains(&d.kind))
        .map(|d| Problem::new(format!("no {}", d.kind.name()), &d.text).at(d.rip))
        .collect()
}
