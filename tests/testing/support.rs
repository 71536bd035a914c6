//! The page-fault handler of the tests, and changes of it.

use iretrace::arch::Vector;
use iretrace::testing::{Case, Code, Context, Failure, Program, Raise};

pub const PAGE_FAULT: &str = include_str!("page_fault.S");

/// The address of the page fault that is raised, and its error code: a write by the user (SDM
/// vol. 3, 4.7).
pub const ADDRESS: u64 = 0x1234_5678;
pub const CODE: u32 = 6;

/// `PAGE_FAULT` with each `(from, to)` replaced, once.
pub fn changed(changes: &[(&str, &str)]) -> String {
    let mut text = PAGE_FAULT.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from:?} is not in the handler");
        text = text.replacen(from, to, 1);
    }
    text
}

pub fn program(source: &str) -> Program {
    Code::assembly(source)
        .build()
        .unwrap_or_else(|e| panic!("{e}\n{source}"))
}

/// A page fault of the user's.
pub fn case(program: &Program) -> Case {
    Case::new(program)
        .handler(Vector::PF, "page_fault")
        .context(Context::user())
        .raise(Raise::page_fault(ADDRESS, CODE))
}

/// How the case fails.
pub fn failure(case: &Case) -> Box<Failure> {
    match case.check() {
        Ok(Ok(run)) => panic!("it passes: {:?}", run.end()),
        Ok(Err(failure)) => failure,
        Err(e) => panic!("{e}"),
    }
}
