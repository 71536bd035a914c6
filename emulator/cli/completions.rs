//! `iretrace completions`: completions for shells.

use clap_complete::Shell;

use super::app::App;
use super::exit_code::ExitCode;
use super::failure::Failure;
use super::output;

/// Print the completions of a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  iretrace completions bash > ~/.local/share/bash-completion/completions/iretrace
  iretrace completions fish > ~/.config/fish/completions/iretrace.fish")]
pub struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

/// Prints them.
pub fn completions(args: &CompletionsArgs) -> Result<ExitCode, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut App::parser(), "iretrace", &mut text);
    output::print(&String::from_utf8_lossy(&text))
}
