//! The program as its users meet it: words in; output, messages and exit codes out.

mod bad_input;
mod dump;
mod help;
mod higher_half;
mod jsonl;
mod output;
mod run;
mod support;
mod tlb;
mod walk;
