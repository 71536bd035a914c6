//! `--dump`: the machine's state, for people. One part of it a file.

mod descriptor;
mod flags;
mod gdt;
mod idt;
mod list;
mod memory;
mod regs;
mod tables;
mod tlb;
mod tss;

pub use list::{DumpList, dump};
