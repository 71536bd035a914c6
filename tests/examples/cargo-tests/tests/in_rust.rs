//! The same in Rust.

use iretrace::arch::Vector;
use iretrace::testing::{Case, Code, Context, Raise};

#[test]
fn a_page_fault_of_the_users() {
    let program = Code::assembly(entry_tests::PAGE_FAULT).build().unwrap();
    Case::new(&program)
        .handler(Vector::PF, "page_fault")
        .context(Context::user().without_gs())
        .raise(Raise::page_fault(0x1000, 4))
        .assert();
}
