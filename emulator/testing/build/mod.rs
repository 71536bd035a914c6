//! The machine of a case, before anything is interrupted.

mod arrange;
mod context;
mod machine;
mod own;

pub(super) use arrange::poke;
pub(super) use machine::{Made, make};
