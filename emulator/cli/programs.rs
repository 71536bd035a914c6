//! `iretrace programs`: the built-in programs.

use std::fmt::Write as _;

use iretrace::check::RULES;
use iretrace::load::Builtin;
use iretrace::load::builtin::{self, Group};

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
        output::print(&shown(program))
    }
}

fn list() -> String {
    let width = builtin::list().iter().map(|b| b.name.len()).max();
    let width = width.unwrap_or(0) + 1;
    let mut text = String::new();
    for group in Group::ALL {
        let of = || builtin::list().iter().filter(move |b| b.group == group);
        let twins: Vec<&str> = of().filter_map(|b| b.twin).collect();
        let mended = if twins.is_empty() {
            ""
        } else {
            " (@NAME.ok is the same program without the mistake)"
        };
        let line = if text.is_empty() { "" } else { "\n" };
        let _ = writeln!(text, "{line}{}{mended}", group.title());
        for b in of().filter(|b| !twins.contains(&b.name)) {
            let _ = writeln!(text, "  @{:width$} {}", b.name, b.summary);
        }
    }
    text
}

/// What the header says, and commands to try in any case: those of the rule that it shows, or a run.
fn shown(program: &Builtin) -> String {
    let mut text: String = program.header().map(|line| format!("{line}\n")).collect();
    if program.tries().next().is_some() {
        return text;
    }
    let own = format!("@{}", program.name);
    let is_own = |words: &str| words.split(' ').next() == Some(own.as_str());
    let mut commands: Vec<&str> = Vec::new();
    for words in RULES.iter().flat_map(|r| [r.program, r.twin]) {
        if is_own(words) && !commands.contains(&words) {
            commands.push(words);
        }
    }
    if commands.is_empty() {
        commands.push(&own);
    }
    let _ = writeln!(text, "\n{}", builtin::TRY);
    for words in commands {
        let _ = writeln!(text, "    iretrace run {words}");
    }
    text
}
