//! A `harness = false` test of the user's crate: each case is a test that runners and IDEs see.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use super::discover::discover;
use super::outcome::Outcome;
use super::run::{Options, Suite};
use crate::testing::error::TestError;

/// Runs all tests in these files and folders as `cargo test`, nextest and IDEs expect it, with the
/// arguments of the command line. `IRETRACE_BLESS=1` writes golden traces.
///
/// ```no_run
/// // tests/handlers.rs, with `harness = false` in Cargo.toml
/// fn main() -> std::process::ExitCode {
///     iretrace::testing::main(["tests/handlers"])
/// }
/// ```
#[must_use]
pub fn main<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> ExitCode {
    let paths: Vec<PathBuf> = paths
        .into_iter()
        .map(|p| p.as_ref().to_path_buf())
        .collect();
    match trials(&paths) {
        Ok(trials) => libtest_mimic::run(&Arguments::from_args(), trials).exit_code(),
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

fn trials(paths: &[PathBuf]) -> Result<Vec<Trial>, TestError> {
    let suite = Arc::new(Suite::read(&discover(paths)?));
    let options = Options {
        bless: std::env::var_os("IRETRACE_BLESS").is_some_and(|v| v != "0"),
        ..Options::default()
    };
    let mut trials = Vec::new();
    for broken in suite.broken() {
        let text = match &broken.outcome {
            Outcome::Broken(text) => text.clone(),
            other => format!("{other:?}"),
        };
        trials.push(Trial::test(broken.file.clone(), move || {
            Err(Failed::from(text))
        }));
    }
    for test in suite.list(&options) {
        let (suite, options) = (Arc::clone(&suite), options.clone());
        let name = test.full_name();
        trials.push(Trial::test(name, move || {
            let result = suite.run_one(&test, &options);
            match result.map(|r| r.outcome) {
                Some(outcome) => match super::report::details(&outcome) {
                    None => Ok(()),
                    Some(text) => Err(Failed::from(text)),
                },
                None => Err(Failed::from("the test is gone")),
            }
        }));
    }
    Ok(trials)
}
