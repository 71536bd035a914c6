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
    let inputs: Vec<&Path> = args.files.iter().map(PathBuf::as_path).collect();
    let files = args.report.open(&inputs)?;
    let report = sweep::merge(&args.files)?;
    files.show(&report)?;
    Ok(exit_code(&report))
}
