//! The program: words in, exit code out. Everything else is in the library and in `cli`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main(std::env::args_os())
}
