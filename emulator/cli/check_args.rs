//! Options that say which rules are applied, and what is done with what they find.

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command};
use iretrace::arch::Vector;
use iretrace::check::{CheckConfig, Denial, Level, Policy, RULES, RuleId, Severity};
use iretrace::load::Image;

use super::failure::Failure;

/// The rules, and what is done with findings.
#[derive(Clone, Debug, Default)]
pub struct CheckArgs {
    off: bool,
    policy: Policy,
    nmi_body: Option<String>,
    transparent: Vec<Vector>,
}

/// Reads the name of a rule or of a severity; shells know the names, and a wrong one has a near miss.
#[derive(Clone, Copy)]
struct Names {
    severities: bool,
}

impl TypedValueParser for Names {
    type Value = Denial;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Denial, clap::Error> {
        let text = value.to_string_lossy();
        let known = match text.parse::<Denial>() {
            Ok(denial) if self.severities || matches!(denial, Denial::Rule(_)) => {
                return Ok(denial);
            }
            Ok(_) => "a severity, not a rule".to_owned(),
            Err(e) => e.to_string(),
        };
        let option = arg.map(|a| format!("{a}: ")).unwrap_or_default();
        let message = format!("{option}{text:?}: {known}\n");
        Err(clap::Error::raw(clap::error::ErrorKind::ValueValidation, message).with_cmd(command))
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let severities = Severity::ALL.iter().filter(|_| self.severities);
        let rules = RULES
            .iter()
            .map(|r| PossibleValue::new(r.name).help(r.summary));
        Some(Box::new(
            severities
                .map(|s| PossibleValue::new(s.name()))
                .chain(rules),
        ))
    }
}

fn vector(text: &str) -> Result<Vector, String> {
    iretrace::schedule::parse_vector(text)
        .ok_or_else(|| "no vector; write a number or a name like page-fault".to_owned())
}

const LEVELS: [(&str, &str, &str); 3] = [
    (
        "deny",
        "ID|error|warning|note",
        "End with exit code 100 if this rule finds something, or anything is this bad",
    ),
    ("warn", "ID", "What this rule finds is a warning"),
    ("allow", "ID", "What this rule finds is not shown"),
];

impl clap::Args for CheckArgs {
    fn augment_args(command: Command) -> Command {
        const HEADING: &str = "Checks ('iretrace explain' lists the rules)";
        let command = LEVELS.iter().fold(command, |c, (name, value, help)| {
            let severities = *name == "deny";
            c.arg(
                Arg::new(*name)
                    .long(*name)
                    .value_name(*value)
                    .action(ArgAction::Append)
                    .value_delimiter(',')
                    .hide_possible_values(true)
                    .value_parser(Names { severities })
                    .help_heading(HEADING)
                    .help(*help),
            )
        });
        command
            .arg(
                Arg::new("no-checks")
                    .long("no-checks")
                    .action(ArgAction::SetTrue)
                    .conflicts_with_all(["deny", "warn", "allow", "nmi-body", "transparent"])
                    .help_heading(HEADING)
                    .help("Apply no rules"),
            )
            .arg(
                Arg::new("nmi-body")
                    .long("nmi-body")
                    .value_name("SYMBOL|ADDRESS")
                    .help_heading(HEADING)
                    .help(
                        "Where the work of an NMI begins: each NMI must lead there (nmi-unserved)",
                    ),
            )
            .arg(
                Arg::new("transparent")
                    .long("transparent")
                    .value_name("VECTOR")
                    .action(ArgAction::Append)
                    .value_delimiter(',')
                    .value_parser(vector)
                    .help_heading(HEADING)
                    .help("Handlers of this vector must restore everything too (state-leak)"),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for CheckArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut found: Vec<(usize, Level, Denial)> = Vec::new();
        for (name, level) in [
            ("deny", Level::Deny),
            ("warn", Level::Warn),
            ("allow", Level::Allow),
        ] {
            let indices = matches.indices_of(name).into_iter().flatten();
            let values = matches.get_many::<Denial>(name).into_iter().flatten();
            found.extend(indices.zip(values).map(|(i, d)| (i, level, *d)));
        }
        // As with rustc, the last one holds.
        found.sort_by_key(|f| f.0);
        let mut policy = Policy::default();
        for (_, level, denial) in found {
            match denial {
                Denial::Rule(rule) => policy.set(rule, level),
                Denial::From(severity) => policy.deny_from(severity),
            }
        }
        let transparent = matches.get_many::<Vector>("transparent");
        Ok(Self {
            off: matches.get_flag("no-checks"),
            policy,
            nmi_body: matches.get_one::<String>("nmi-body").cloned(),
            transparent: transparent.into_iter().flatten().copied().collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl CheckArgs {
    /// What the checks are told; `None`: there are none.
    pub fn config(&self, image: &Image) -> Result<Option<CheckConfig>, Failure> {
        if self.off {
            return Ok(None);
        }
        let nmi_body = self.nmi_body.as_ref().map(|text| {
            image
                .resolve(text)
                .map_err(|e| Failure::usage(format!("--nmi-body {text:?}: {e}")))
        });
        Ok(Some(CheckConfig {
            nmi_body: nmi_body.transpose()?,
            transparent: self.transparent.clone(),
        }))
    }

    /// What is done with findings.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The words that make the rules find the same again.
    pub fn words(&self) -> Vec<String> {
        let body = self.nmi_body.iter().map(|b| format!("--nmi-body={b}"));
        let vectors = self.transparent.iter();
        body.chain(vectors.map(|v| format!("--transparent={:#x}", v.0)))
            .collect()
    }
}

/// A value parser for the name of one rule.
pub fn rule() -> impl TypedValueParser<Value = RuleId> {
    Names { severities: false }.map(|denial| match denial {
        Denial::Rule(rule) => rule,
        // The parser refuses them.
        Denial::From(_) => RuleId::Shutdown,
    })
}
