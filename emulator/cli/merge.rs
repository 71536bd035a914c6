//! `iretrace merge`: one report from the files of a sweep's shards.

use std::path::{Path, PathBuf};

use iretrace::sweep;

use super::exit_code::ExitCode;
use super::failure::Failure;
use super::sweep::{ReportArgs, exit_code};

/// Make one report of the parts of a sweep that was divided
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  iretrace merge part1.jsonl part2.jsonl
  iretrace merge part*.jsonl --html report.html
  parallel iretrace sweep @x --shard {}/4 --checkpoint part{}.jsonl ::: 1 2 3 4 &&
    iretrace merge part*.jsonl

The report is the one that the undivided sweep gives, and so is the exit code. The image is not
needed again.")]
pub struct MergeArgs {
    /// The files of --checkpoint
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    report: ReportArgs,
}

/// Merges.
pub fn merge(args: &MergeArgs) -> Result<ExitCode, Failure> {
    let report = sweep::merge(&args.files)?;
    for out in [&args.report.json, &args.report.html].into_iter().flatten() {
        let same = |file: &&PathBuf| matches!((out.canonicalize(), file.canonicalize()), (Ok(a), Ok(b)) if a == b);
        if let Some(file) = args.files.iter().find(same) {
            return Err(Failure::usage(format!(
                "{}: that is a part of the sweep, which would be overwritten; give another file",
                file.display()
            )));
        }
    }
    args.report.show(&report, Path::new(""))?;
    Ok(exit_code(&report))
}
