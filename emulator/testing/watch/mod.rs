//! What is looked at while a case runs: each instruction, each IRET's frame, each call of a stub.

mod call;
mod frame;
mod instruction;
