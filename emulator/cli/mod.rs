//! The command line: a thin shell over the library. One command a file.

mod app;
mod check_args;
mod command;
mod completions;
mod console;
mod dump;
mod exit_code;
mod explain;
mod failure;
mod files;
mod findings;
mod guest_tests;
mod image_args;
mod interrupt;
mod machine_args;
mod matrix;
mod merge;
mod model_switch;
mod number;
mod output;
mod programs;
mod reproduce;
mod run;
mod schedule_args;
mod schema;
mod session;
mod state;
mod status_line;
mod sweep;
mod talk;
mod test;
mod threads;
mod until;
mod walk;

pub use app::main;
