//! `iretrace schema`: the JSON Schema of traces.

use iretrace::trace::TRACE_SCHEMA;

use super::exit_code::ExitCode;
use super::failure::Failure;
use super::output;

/// Print the JSON Schema of a line of a JSON Lines trace
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  iretrace schema > trace-v1.schema.json")]
pub struct SchemaArgs {}

/// Prints it.
pub fn schema(_: &SchemaArgs) -> Result<ExitCode, Failure> {
    output::print(TRACE_SCHEMA)
}
