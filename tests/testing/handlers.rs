//! The directive files, as a user's `harness = false` test runs them.

fn main() -> std::process::ExitCode {
    iretrace::testing::main([concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/testing/planted"
    )])
}
