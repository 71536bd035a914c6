//! Sweeps from the command line: kept and gone on with, divided and merged, shown and written.

mod boundaries;
mod checkpoint;
mod html;
mod options;
mod programs;
mod schema;
#[path = "../cli/schema.rs"]
mod schemas;
mod shards;
#[path = "../cli/support.rs"]
mod support;
