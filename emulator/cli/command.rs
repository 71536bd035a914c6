//! The commands.

use clap::Subcommand;

use super::exit_code::ExitCode;
use super::failure::Failure;
use super::{completions, explain, matrix, merge, programs, run, schema, sweep, test, walk};

/// One command with its arguments.
#[derive(Debug, Subcommand)]
pub enum Command {
    Run(run::RunArgs),
    Sweep(sweep::SweepArgs),
    Merge(merge::MergeArgs),
    Test(test::TestArgs),
    Matrix(matrix::MatrixArgs),
    Explain(explain::ExplainArgs),
    Walk(walk::WalkArgs),
    Programs(programs::ProgramsArgs),
    Schema(schema::SchemaArgs),
    Completions(completions::CompletionsArgs),
}

impl Command {
    /// Does it.
    pub fn execute(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Run(args) => run::run(&args),
            Self::Sweep(args) => sweep::sweep(&args),
            Self::Merge(args) => merge::merge(&args),
            Self::Test(args) => test::test(&args),
            Self::Matrix(args) => matrix::matrix(&args),
            Self::Explain(args) => explain::explain(&args),
            Self::Walk(args) => walk::walk(&args),
            Self::Programs(args) => programs::programs(&args),
            Self::Schema(args) => schema::schema(&args),
            Self::Completions(args) => completions::completions(&args),
        }
    }
}
