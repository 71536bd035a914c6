//! How long, and how deep.

use crate::testing::failure::Problem;
use crate::testing::run::Run;

pub(super) fn instructions(run: &Run, most: u64) -> Vec<Problem> {
    let n = run.seen().instructions;
    if n <= most {
        return Vec::new();
    }
    let text = format!("{n} instructions, more than {most}");
    vec![Problem::new(format!("instructions <= {most}"), text)]
}

pub(super) fn stack(run: &Run, most: u64) -> Vec<Problem> {
    let program = &run.session.case.program;
    let depth = run.seen().depth.iter();
    depth
        .filter(|(_, d)| d.bytes() > most)
        .map(|(stack, d)| {
            let text = format!(
                "{} bytes of {} are used, more than {most}; the least RSP, {:#x}, is at {}",
                d.bytes(),
                stack.name(),
                d.lowest,
                program.name_of(d.rip)
            );
            Problem::new(format!("stack <= {most}"), text).at(d.rip)
        })
        .collect()
}
