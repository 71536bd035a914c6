//! `iretrace programs`: the built-in programs.

use std::fmt::Write as _;

use iretrace::load::builtin;

use super::exit_code::ExitCode;
use super::failure::Failure;
use super::output;

/// List the built-in programs, or show one
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  iretrace programs                        list them
  iretrace programs nested-nmi             what one shows
  iretrace programs nested-nmi --source    its source; a start for a program of your own
  iretrace run @nested-nmi                 run it")]
pub struct ProgramsArgs {
    /// Show this one: what its header says
    name: Option<String>,
    /// Print its source instead
    #[arg(long, requires = "name")]
    source: bool,
}

/// Prints the list, a header, or a source.
pub fn programs(args: &ProgramsArgs) -> Result<ExitCode, Failure> {
    let Some(name) = &args.name else {
        return output::print(&list());
    };
    let program = builtin::find(name.strip_prefix('@').unwrap_or(name))?;
    if args.source {
        output::print(program.source)
    } else {
        output::print(&header(program.source))
    }
}

fn list() -> String {
    let width = builtin::list().iter().map(|b| b.name.len()).max();
    let width = width.unwrap_or(0) + 1;
    let mut text = String::new();
    // Those that show what the checks find come last.
    for check in [false, true] {
        for b in builtin::list().iter().filter(|b| b.check == check) {
            let _ = writeln!(text, "@{:width$} {}", b.name, b.summary);
        }
    }
    text
}

/// The comment at the top of a source, without its marks.
fn header(source: &str) -> String {
    source
        .lines()
        .map_while(|line| line.strip_prefix('#'))
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
        .collect()
}
