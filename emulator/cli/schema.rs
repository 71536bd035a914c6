//! `iretrace schema`: the JSON Schemas of what is written.

use clap::ValueEnum;
use iretrace::matrix::MATRIX_SCHEMA;
use iretrace::sweep::REPORT_SCHEMA;
use iretrace::trace::TRACE_SCHEMA;

use super::exit_code::ExitCode;
use super::failure::Failure;
use super::output;

/// Print the JSON Schema of a line of a JSON Lines trace, or of a sweep's or a matrix's report
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  iretrace schema > trace-v1.schema.json
  iretrace schema sweep > sweep-v1.schema.json
  iretrace schema matrix > matrix-v1.schema.json")]
pub struct SchemaArgs {
    /// Of what
    #[arg(value_enum, default_value_t = Of::Trace)]
    of: Of,
}

/// What has a schema.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Of {
    /// A line of 'iretrace run --format jsonl'
    Trace,
    /// The report of 'iretrace sweep --json'
    Sweep,
    /// The report of 'iretrace matrix --json'
    Matrix,
}

/// Prints it.
pub fn schema(args: &SchemaArgs) -> Result<ExitCode, Failure> {
    output::print(match args.of {
        Of::Trace => TRACE_SCHEMA,
        Of::Sweep => REPORT_SCHEMA,
        Of::Matrix => MATRIX_SCHEMA,
    })
}
