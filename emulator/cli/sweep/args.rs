//! The options of `iretrace sweep`, and what it does.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use iretrace::check::{Level, RuleId};
use iretrace::load::Image;
use iretrace::machine::{Machine, TimeMode};
use iretrace::sweep::{Bound, Plan, Report, Shot, Sweep, SweepError, Tally};

use super::super::check_args::CheckArgs;
use super::super::exit_code::ExitCode;
use super::super::failure::Failure;
use super::super::image_args::ImageArgs;
use super::super::machine_args::{self, MachineArgs};
use super::super::output::{self, Color};
use super::super::schedule_args::{self, ScheduleArgs};
use super::super::until::UntilArg;
use super::super::{interrupt, number, talk};
use super::text;

/// Inject an event at every boundary of a run, and say what each one does
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  iretrace sweep @nmi-nestable --from ready             an NMI at every boundary from 'ready' on
  iretrace sweep kernel.elf --from entry --to exit
  iretrace sweep kernel.elf --inject nmi --inject 'PF,ec=0x2,addr=0x1000'
  iretrace sweep kernel.elf --then nmi                  a second NMI at every boundary of the handler
  iretrace sweep kernel.elf --then 'PF,addr=0x1000+nmi' a page fault there, and an NMI that waits
  iretrace sweep kernel.elf --json report.json

An event is nmi, mce, irq=VECTOR, or an exception with its error code and address; '+' joins events
that are raised together. Each --then is one level deeper.")]
pub struct SweepArgs {
    #[command(flatten)]
    image: ImageArgs,
    #[command(flatten)]
    sweep: WindowArgs,
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    schedule: ScheduleArgs,
    #[command(flatten)]
    checks: CheckArgs,
}

/// What is injected, and where.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Sweep")]
pub struct WindowArgs {
    /// Inject this at every boundary (repeatable) [default: nmi]
    #[arg(long, value_name = "EVENT", value_parser = shot)]
    inject: Vec<Shot>,

    /// Then inject this at every boundary of the handler; once for each deeper level, with ';'
    /// between events of one level
    #[arg(long, value_name = "EVENT[;EVENT]", value_parser = shots)]
    then: Vec<Shots>,

    /// Begin here: a symbol, an address, or icount=N [default: reset]
    #[arg(long, value_name = "SYMBOL|ADDRESS|icount=N", value_parser = UntilArg::parse)]
    from: Option<UntilArg>,

    /// End before this: a symbol, an address, or icount=N [default: the end of the run]
    #[arg(long, value_name = "SYMBOL|ADDRESS|icount=N", value_parser = UntilArg::parse)]
    to: Option<UntilArg>,

    /// Follow the undisturbed run so many instructions beyond the window
    #[arg(long, value_name = "N", value_parser = number::count, default_value = "1M")]
    horizon: u64,

    /// Give a handler so many instructions to return
    #[arg(long, value_name = "N", value_parser = number::count, default_value = "100k")]
    patience: u64,

    /// Differences in this symbol's bytes do not count, even if they are read (repeatable)
    #[arg(long, value_name = "SYMBOL[,BYTES]")]
    ignore: Vec<String>,

    /// Run every case, also those of which the result is known
    #[arg(long)]
    no_reduce: bool,

    /// Threads [default: one for each processor]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,

    /// Write the report to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Show every instruction of the listing, not those alone at which something is bad
    #[arg(long)]
    listing: bool,

    /// Colours
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    color: Color,
}

/// The events of one level.
#[derive(Clone, Debug)]
struct Shots(Vec<Shot>);

fn shot(text: &str) -> Result<Shot, String> {
    text.parse().map_err(|e: SweepError| e.to_string())
}

fn shots(text: &str) -> Result<Shots, String> {
    text.split(';')
        .map(shot)
        .collect::<Result<_, _>>()
        .map(Shots)
}

fn bound(option: &str, arg: &UntilArg, image: &Image) -> Result<Bound, Failure> {
    match arg {
        UntilArg::Icount(n) => Ok(Bound::Icount(*n)),
        UntilArg::Place(text) => image
            .resolve(text)
            .map(Bound::Address)
            .map_err(|e| Failure::usage(format!("{option} {text:?}: {e}"))),
    }
}

/// The RAM behind `SYMBOL[,BYTES]`: 8 bytes unless it says otherwise.
fn ignored(text: &str, image: &Image) -> Result<std::ops::Range<u64>, Failure> {
    let bad = |e: String| Failure::usage(format!("--ignore {text:?}: {e}"));
    let (name, len) = text.split_once(',').unwrap_or((text, "8"));
    let len = number::count(len).map_err(bad)?;
    let at = image.resolve(name).map_err(|e| bad(e.to_string()))?;
    let segment = image.segments.iter().find(|s| s.contains(at));
    let segment = segment.ok_or_else(|| bad("it is not in the image".to_owned()))?;
    let phys = segment.paddr.0.wrapping_add(at.0 - segment.vaddr.0);
    Ok(phys..phys.saturating_add(len))
}

impl SweepArgs {
    fn plan(&self, image: &Image) -> Result<Plan, Failure> {
        let w = &self.sweep;
        let first = if w.inject.is_empty() {
            vec![Shot::nmi()]
        } else {
            w.inject.clone()
        };
        let mut levels = vec![first];
        levels.extend(w.then.iter().map(|s| s.0.clone()));
        let mut policy = self.checks.policy().clone();
        policy.deny_from(iretrace::check::Severity::Error);
        // What only the undisturbed run can show.
        policy.set(RuleId::UnreachableStimulus, Level::Allow);
        let from = w.from.as_ref().map(|a| bound("--from", a, image));
        let to = w.to.as_ref().map(|a| bound("--to", a, image));
        Ok(Plan {
            levels,
            from: from.transpose()?,
            to: to.transpose()?,
            horizon: w.horizon,
            patience: w.patience.max(1),
            reduce: !w.no_reduce,
            ignore: w
                .ignore
                .iter()
                .map(|text| ignored(text, image))
                .collect::<Result<_, _>>()?,
            checks: self.checks.config(image)?.unwrap_or_default(),
            policy,
        })
    }
}

/// Sweeps.
pub fn sweep(args: &SweepArgs) -> Result<ExitCode, Failure> {
    let mut config = args.machine.config()?;
    config.time = TimeMode::Frozen;
    let schedule = args.schedule.parse()?;
    let image = Arc::new(args.image.open()?);
    let resolved = schedule_args::resolve(&schedule, &image)?;
    let plan = args.plan(&image)?;
    image
        .notes
        .iter()
        .for_each(|n| talk::note(&format!("{}: {n}", image.name)));
    let make = || -> Result<Machine, SweepError> {
        let mut machine = Machine::new(config.clone())?;
        machine.load(&image)?;
        machine.set_schedule(resolved.clone());
        Ok(machine)
    };
    let sweep = Sweep::new(&make, &image, &plan)?;
    let parts: Vec<usize> = (0..sweep.parts()).collect();
    let jobs = args
        .sweep
        .jobs
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    let stop = Arc::new(AtomicBool::new(false));
    interrupt::watch(Arc::clone(&stop));
    let mut sum = Tally::default();
    let mut done = 0;
    sweep.explore(&parts, jobs, &stop, &mut |_, tally| {
        sum.merge(tally.clone());
        done += 1;
        Ok(())
    })?;
    let mut again = vec!["iretrace".to_owned(), "run".to_owned()];
    again.push(args.image.image.to_string_lossy().into_owned());
    for (name, value) in machine_args::words(&config, false) {
        again.extend([name.to_owned(), value]);
    }
    for injection in &schedule {
        again.extend([injection.option().to_owned(), injection.argument()]);
    }
    let complete = done == parts.len();
    let report = Report::new(&image, sweep.baseline(), &sum, again, complete);
    if let Some(path) = &args.sweep.json {
        use std::io::Write as _;
        let text = serde_json::to_string_pretty(&report).unwrap_or_default() + "\n";
        let mut file = output::create(path, &args.image.image)?;
        file.write_all(text.as_bytes())
            .map_err(|e| Failure::output_file(path, &e))?;
    }
    let color = args.sweep.color.wanted(false);
    output::print(&text::render(&report, args.sweep.listing, color))?;
    let interrupted = stop
        .load(Ordering::Relaxed)
        .then_some(ExitCode::Interrupted);
    let bad = report.is_bad().then_some(ExitCode::Findings);
    let undecided = report.is_undecided().then_some(ExitCode::Limit);
    Ok([interrupted, undecided, bad]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(ExitCode::Success))
}
