//! The scenario table: what the manuals say of one situation, and what the machine does in it.
//!
//! Each case is a few lines of assembly in `cases/*.s`; `cases/README.md` says how to write one.
//! `SCENARIOS_TABLE=1 cargo test --test scenarios` (or `-- --nocapture`) prints the table.

mod assemble;
mod case;
mod memory;
mod observe;
mod record;
mod report;
mod verdict;

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Failed, Trial};

use case::Case;
use report::{Row, print_table};

fn main() -> ExitCode {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/cases");
    let cases = match case::read_all(&folder) {
        Ok(cases) => cases,
        Err(e) => {
            eprintln!("{e}");
            return ExitCode::FAILURE;
        }
    };
    let rows = Arc::new(Mutex::new(Vec::new()));
    let trials = cases.into_iter().enumerate().map(|(n, case)| {
        let rows = Arc::clone(&rows);
        Trial::test(case.name(), move || judge(n, &case, &rows))
    });
    let arguments = Arguments::from_args();
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    let table = std::env::var_os("SCENARIOS_TABLE").is_some_and(|v| v != "0");
    if (arguments.nocapture || table) && !arguments.list {
        let mut rows = rows.lock().expect("no trial panics with it");
        rows.sort_by_key(|&(n, _)| n);
        print_table(rows.iter().map(|(_, row)| row));
    }
    conclusion.exit_code()
}

/// Runs one case, notes its row of the table, and fails with it.
fn judge(n: usize, case: &Case, rows: &Mutex<Vec<(usize, Row)>>) -> Result<(), Failed> {
    let row = match verdict::of(case) {
        Ok(row) => row,
        Err(e) => Row::broken(case, e),
    };
    let failure = (!row.passes()).then(|| row.to_string());
    rows.lock().expect("no trial panics with it").push((n, row));
    failure.map_or(Ok(()), |text| Err(text.into()))
}
