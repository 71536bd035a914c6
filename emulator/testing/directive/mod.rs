//! Tests as text: directives in the comments of an assembly source, or in a TOML file beside an
//! object file.
//!
//! A directive is a line that begins with `#@` or `//@`. Those before the first `test` are of every
//! test of the file; a file without `test` is one test.
//!
//! ```text
//! #@ gate PF page_fault
//! #@ context user
//!
//! #@ test a write by the user
//! #@ raise PF,ec=0x6,addr=0x1234
//! #@ expect sound
//! #@ expect call do_page_fault rdi=0x1234 rsi=6
//! ```
//!
//! [`DIRECTIVES`] and [`EXPECTATIONS`] are the tables of them. In a TOML file (`*.test.toml`) each
//! key is a directive's name and its value the rest of the line, or a list of such; `[[test]]`
//! begins a test, whose `name` is its name.

mod apply;
mod error;
mod expectation;
mod file;
mod line;
mod reader;
mod table;
mod toml;

pub use apply::Ready;
pub use error::DirectiveError;
pub use file::{Spot, TestFile, TestText, is_test_file};
pub use table::{DIRECTIVES, EXPECTATIONS, Row};
