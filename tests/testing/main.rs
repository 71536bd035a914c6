//! The harness for handlers: what it supplies, what it sees, and what it says.

mod planted;
mod support;
