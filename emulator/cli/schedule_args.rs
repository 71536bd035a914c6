//! `--nmi`, `--irq`, `--mce`, `--exception`: the schedule, in the order of the command line.

use clap::{Arg, ArgAction, ArgMatches, Command};
use iretrace::arch::VirtAddr;
use iretrace::load::{Image, SymbolError, SymbolTable};
use iretrace::schedule::{
    self, Injection, ResolveError, ResolvedInjection, StimulusKind, SymbolResolver,
};

use super::failure::Failure;

/// The texts of a schedule. Options of different kinds keep their order on the command line.
#[derive(Clone, Debug, Default)]
pub struct ScheduleArgs {
    texts: Vec<(StimulusKind, String)>,
}

const OPTIONS: [(StimulusKind, &str, &str, &str); 4] = [
    (
        StimulusKind::Nmi,
        "nmi",
        "WHEN",
        "Raise an NMI: at=SYMBOL+OFFSET[#N], icount=N, after=VECTOR#N, before=iret#N, every=N, storm=N",
    ),
    (
        StimulusKind::Irq,
        "irq",
        "VECTOR@WHEN",
        "Raise an external interrupt",
    ),
    (
        StimulusKind::MachineCheck,
        "mce",
        "@WHEN",
        "Raise a machine check",
    ),
    (
        StimulusKind::Exception,
        "exception",
        "VECTOR@WHEN[,ec=N][,addr=PLACE]",
        "Raise an exception, as a fault of the instruction there; for a page fault with the address that CR2 gets: a number, SYMBOL or SYMBOL+OFFSET",
    ),
];

impl clap::Args for ScheduleArgs {
    fn augment_args(command: Command) -> Command {
        OPTIONS.iter().fold(command, |c, (_, name, value, help)| {
            let arg = Arg::new(*name)
                .long(*name)
                .value_name(*value)
                .action(ArgAction::Append)
                .help_heading("Schedule (all repeatable)")
                .help(*help);
            c.arg(arg)
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for ScheduleArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut found: Vec<(usize, StimulusKind, String)> = Vec::new();
        for (kind, name, ..) in OPTIONS {
            let indices = matches.indices_of(name).into_iter().flatten();
            let texts = matches.get_many::<String>(name).into_iter().flatten();
            found.extend(indices.zip(texts).map(|(i, t)| (i, kind, t.clone())));
        }
        found.sort_by_key(|f| f.0);
        let texts = found
            .into_iter()
            .map(|(_, kind, text)| (kind, text))
            .collect();
        Ok(Self { texts })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl ScheduleArgs {
    /// Reads the texts.
    pub fn parse(&self) -> Result<Vec<Injection>, Failure> {
        let parsed = self
            .texts
            .iter()
            .map(|(kind, text)| Injection::parse(*kind, text));
        Ok(parsed.collect::<Result<_, _>>()?)
    }
}

/// Looks the symbols of `injections` up in `image`.
pub fn resolve(injections: &[Injection], image: &Image) -> Result<Vec<ResolvedInjection>, Failure> {
    let names = Names(&image.symbols);
    injections
        .iter()
        .map(|i| schedule::resolve(i.clone(), &names).map_err(|e| failure(image, &e)))
        .collect()
}

/// A name that is there more than once is not an unknown one.
pub fn failure(image: &Image, e: &ResolveError) -> Failure {
    if let ResolveError::UnknownSymbol {
        injection, name, ..
    } = e
        && let Err(fault @ SymbolError::Ambiguous { .. }) = image.symbols.find(name)
    {
        return Failure::usage(format!("{}: {injection}: {fault}", image.name));
    }
    Failure::usage(format!("{}: {e}", image.name))
}

/// Whole names only: a schedule's text has its own offsets.
struct Names<'a>(&'a SymbolTable);

impl SymbolResolver for Names<'_> {
    fn resolve(&self, name: &str) -> Option<VirtAddr> {
        self.0.find(name).ok()
    }

    fn for_each_name(&self, each: &mut dyn FnMut(&str)) {
        self.0.iter().for_each(|(name, _)| each(name));
    }
}
