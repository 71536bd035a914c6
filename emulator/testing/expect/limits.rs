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
    let expected = format!("stack <= {most}");
    let unknown = run.seen().other_stack.map(|(rsp, rip)| {
        let text = format!(
            "how deep a stack is used is not known: at {} RSP is {rsp:#x}, on none of the harness's",
            program.name_of(rip)
        );
        Problem::new(&expected, text).at(rip)
    });
    let depth = run.seen().depth.iter();
    let deep = depth.filter(|(_, d)| d.bytes() > most).map(|(stack, d)| {
        let text = format!(
            "{} bytes of {} are used, more than {most}; the least RSP, {:#x}, is at {}",
            d.bytes(),
            stack.name(),
            d.lowest,
            program.name_of(d.rip)
        );
        Problem::new(&expected, text).at(d.rip)
    });
    deep.chain(unknown).collect()
}
