//! The directive files in `tests/handlers`.

fn main() -> std::process::ExitCode {
    iretrace::testing::main([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/handlers")])
}
