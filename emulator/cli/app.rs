//! From the command line's words to an exit code.

use std::ffi::OsString;
use std::io::Write as _;
use std::panic;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser};

use super::command::Command;
use super::exit_code::{self, ExitCode};
use super::failure::{Failure, usage_line};
use super::talk;

const EXAMPLES: &str = "\
Examples:
  iretrace run @nested-nmi                        run a built-in program and trace it
  iretrace run kernel.elf --nmi 'at=main+0x1a'    raise an NMI at an instruction
  iretrace explain frame-lost                     say what a finding means
  iretrace walk kernel.elf 0xffffffff80000000     show one page walk
  iretrace programs                               list the built-in programs

'iretrace help COMMAND' says more.";

/// Runs small kernel-like x86-64 binaries, and traces their page faults, NMIs and IRETs precisely
#[derive(Debug, Parser)]
#[command(
    name = "iretrace",
    version,
    max_term_width = 100,
    after_help = EXAMPLES,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct App {
    #[command(subcommand)]
    command: Command,
}

impl App {
    /// The parser, with what cannot be said in attributes.
    pub fn parser() -> clap::Command {
        let codes = exit_code::help();
        let parser = Self::command().after_long_help(format!("{EXAMPLES}\n\n{codes}"));
        let names: Vec<String> = parser
            .get_subcommands()
            .map(|c| c.get_name().to_owned())
            .collect();
        names.iter().fold(parser, |parser, name| {
            parser.mut_subcommand(name, |c| {
                let own = c.get_after_help().map(ToString::to_string);
                let own = own.map(|t| t + "\n\n").unwrap_or_default();
                c.after_long_help(format!("{own}{codes}"))
            })
        })
    }
}

/// Runs the program with these words; the first is its own name.
pub fn main(words: impl IntoIterator<Item = OsString>) -> std::process::ExitCode {
    let words: Vec<OsString> = words.into_iter().collect();
    // The message goes out below, on one line, and to whoever catches the exit code.
    let default_hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if std::env::var_os("RUST_BACKTRACE").is_some() {
            default_hook(info);
        } else {
            let place = info.location().map(|l| format!(" at {l}"));
            talk::error(&format!(
                "internal bug{}: {}; please report it with the command line and the image \
                 (RUST_BACKTRACE=1 says more)",
                place.unwrap_or_default(),
                info.payload_as_str().unwrap_or("no message"),
            ));
        }
    }));
    let code = panic::catch_unwind(|| dispatch(words)).unwrap_or(ExitCode::Internal);
    code.into()
}

fn dispatch(words: Vec<OsString>) -> ExitCode {
    let parser = App::parser();
    let command = words.iter().skip(1).find_map(|word| {
        let word = word.to_str()?;
        parser
            .find_subcommand(word)
            .map(|c| c.get_name().to_owned())
    });
    let parsed = parser
        .try_get_matches_from(words)
        .and_then(|matches| App::from_arg_matches(&matches));
    let result = match parsed {
        Ok(app) => app.command.execute(),
        Err(e) => not_a_command(&e, command.as_deref()),
    };
    result.unwrap_or_else(|failure| {
        if !failure.message.is_empty() {
            talk::error(&failure.message);
        }
        failure.code
    })
}

/// Help and version go to standard output; anything else is bad usage.
fn not_a_command(e: &clap::Error, command: Option<&str>) -> Result<ExitCode, Failure> {
    match e.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            e.print()
                .and_then(|()| std::io::stdout().flush())
                .map_err(|e| Failure::stdout(&e))?;
            Ok(ExitCode::Success)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // Help that nobody asked for goes to standard error; if that is closed, so be it.
            let _ = e.print();
            Ok(ExitCode::Usage)
        }
        _ => Err(Failure::usage(usage_line(e, command))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parser_is_sound() {
        App::parser().debug_assert();
    }

    #[test]
    fn every_exit_code_is_in_the_long_help_of_every_command() {
        let parser = App::parser();
        for command in std::iter::once(&parser).chain(parser.get_subcommands()) {
            let help = command.clone().render_long_help().to_string();
            for (_, number, meaning) in exit_code::TABLE {
                let row = format!("{number:>3}  {meaning}");
                assert!(help.contains(&row), "{}: {row}", command.get_name());
            }
        }
    }
}
