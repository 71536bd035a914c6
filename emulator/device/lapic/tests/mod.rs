//! Expectations from SDM vol. 3, "Advanced Programmable Interrupt Controller", by section title.

mod hostile;
mod ipi;
mod modes;
mod priority;
mod registers;
mod rig;
mod timer;
