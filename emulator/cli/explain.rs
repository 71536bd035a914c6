//! `iretrace explain`: what the rules mean.

use std::fmt::Write as _;

use iretrace::check::{RULES, RuleId};

use super::exit_code::ExitCode;
use super::failure::Failure;
use super::{check_args, output};

/// List the rules that runs are checked by, or explain one
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  iretrace explain                list them
  iretrace explain frame-lost     what it is, a program that shows it, and how to mend it")]
pub struct ExplainArgs {
    /// Explain this one
    #[arg(value_name = "ID", value_parser = check_args::rule(), hide_possible_values = true)]
    rule: Option<RuleId>,
}

/// Prints the list, or the explanation.
pub fn explain(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    match args.rule {
        Some(rule) => output::print(&explanation(rule)),
        None => output::print(&list()),
    }
}

fn explanation(id: RuleId) -> String {
    let rule = id.rule();
    format!(
        "{} ({}): {}\n\n{}",
        rule.name, rule.severity, rule.summary, rule.explanation
    )
}

fn list() -> String {
    let width = RULES.iter().map(|r| r.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for rule in &RULES {
        let severity = rule.severity.name();
        let _ = writeln!(text, "{:width$}  {severity:7}  {}", rule.name, rule.summary);
    }
    text
}
