//! Random cases: mostly sound, with few defects each, so that every step of the lists is reached
//! past the ones before it.

mod contexts;
mod events;
mod frames;
mod places;
mod tables;

pub use events::{Op, delivery, sequence};
pub use frames::iret;
