//! The harness for handlers: what it supplies, what it sees, and what it says.

mod command;
mod contexts;
mod directives;
mod expectations;
mod limits;
mod planted;
mod support;
