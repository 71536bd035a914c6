//! What each row of `differences.md` explains: a function of the row's name for each.

pub mod accesses;
pub mod delivery;
pub mod instructions;
pub mod returns;
mod sides;
pub mod traps;

pub use sides::{instruction, sums};
