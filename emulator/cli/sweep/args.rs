//! The options of `iretrace sweep`, and what it does.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use iretrace::check::{Level, RuleId};
use iretrace::load::Image;
use iretrace::machine::{Machine, MachineConfig, TimeMode};
use iretrace::schedule::{Injection, Place, ResolvedInjection, Stimulus};
use iretrace::sweep::{
    Bound, Checkpoint, CheckpointHeader, Code, Plan, Report, Shot, Sweep, SweepError, inputs,
};
use iretrace::trace::DEFAULT_CLASSES;
use serde_json::{Map, Value, json};

use super::super::check_args::CheckArgs;
use super::super::exit_code::ExitCode;
use super::super::failure::Failure;
use super::super::image_args::{ImageArgs, describe};
use super::super::machine_args::MachineArgs;
use super::super::reproduce::Recipe;
use super::super::run::Format;
use super::super::schedule_args::{self, ScheduleArgs};
use super::super::until::UntilArg;
use super::super::{interrupt, number, state, talk, threads};
use super::gather::Gather;
use super::progress::Progress;
use super::report_args::{ReportArgs, exit_code};
use super::shard::Shard;

/// Inject an event at every boundary of a run, and say what each one does
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  iretrace sweep @nmi-nestable --from ready             an NMI at every boundary from 'ready' on
  iretrace sweep kernel.elf --from entry --to exit
  iretrace sweep kernel.elf --inject nmi --inject 'PF,ec=0x2,addr=0x1000'
  iretrace sweep kernel.elf --then nmi                  a second NMI at every boundary of the handler
  iretrace sweep kernel.elf --then 'PF,addr=0x1000+nmi' a page fault there, and an NMI that waits
  iretrace sweep kernel.elf --inject 'PF,addr=jiffies+0x8'
  iretrace sweep kernel.elf --json report.json --html report.html
  iretrace sweep kernel.elf --checkpoint done.jsonl     goes on there if it was killed
  parallel iretrace sweep @x --shard {}/4 --checkpoint part{}.jsonl ::: 1 2 3 4 &&
    iretrace merge part*.jsonl

An event is nmi, mce, irq=VECTOR, or an exception with its error code and, for a page fault, the address
that CR2 gets: a number, SYMBOL or SYMBOL+OFFSET. '+' joins events that are raised together, but before
a digit it is an offset: PF,addr=jiffies+0x8+nmi. Each --then is one level deeper. A shard reports nothing, and ends with 0
whatever it finds: 'iretrace merge' has the report and the exit code.")]
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
    #[command(flatten)]
    report: ReportArgs,
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

    /// So many levels: the deepest one that is given is repeated
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    depth: u8,

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

    /// Say how long it took, on standard error
    #[arg(long)]
    stats: bool,

    /// Run every case, also those of which the result is known
    #[arg(long)]
    no_reduce: bool,

    /// Threads [default: one for each processor]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,

    /// End after so many cases: with the part of the window that reaches it
    #[arg(long, value_name = "N", value_parser = number::count)]
    limit: Option<u64>,

    /// Keep what is done in this file, and go on from it if it is there
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,

    /// Do the Kth of N shares of the window, into the file of --checkpoint
    #[arg(
        long,
        value_name = "K/N",
        requires = "checkpoint",
        conflicts_with_all = ["json", "html", "listing", "limit"]
    )]
    shard: Option<Shard>,
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

/// Where the places are that injected page faults name: the image's hash knows no symbols.
fn addresses(schedule: &[ResolvedInjection], sweep: &Sweep<'_>) -> Map<String, Value> {
    let injected = schedule.iter().map(|i| (&i.source.what, i.what));
    let shots = sweep.levels().iter().flatten();
    let swept = shots.flat_map(|s| s.source.events().iter().zip(s.events.iter().copied()));
    let pair = |(named, at): (&Stimulus<Place>, Stimulus)| match (named.address(), at.address()) {
        (Some(place @ Place::Symbol { .. }), Some(at)) => Some((place.to_string(), json!(at))),
        _ => None,
    };
    injected.chain(swept).filter_map(pair).collect()
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
        while levels.len() < usize::from(w.depth)
            && let Some(last) = levels.last().cloned()
        {
            levels.push(last);
        }
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
            oracle: None,
        })
    }
}

/// Sweeps.
pub fn sweep(args: &SweepArgs) -> Result<ExitCode, Failure> {
    let mut config = args.machine.config()?;
    if !args.machine.chooses_time() {
        config.time = TimeMode::Frozen;
    }
    let schedule = args.schedule.parse()?;
    let image = Arc::new(args.image.open()?);
    args.machine.fit(&mut config, &image);
    let resolved = schedule_args::resolve(&schedule, &image)?;
    let plan = args.plan(&image)?;
    image
        .notes
        .iter()
        .for_each(|n| talk::note(&format!("{}: {n}", image.name)));
    let state = args.machine.load.as_deref().map(state::read).transpose()?;
    let info = describe(&image);
    let make = || -> Result<Machine, SweepError> {
        let mut machine = match &state {
            Some(state) => Machine::from_saved(config.clone(), &info, state)?,
            None => {
                let mut machine = Machine::new(config.clone())?;
                machine.load(&image)?;
                machine
            }
        };
        machine.set_schedule(resolved.clone());
        Ok(machine)
    };
    let sweep = Sweep::new(&make, &image, &plan).map_err(|e| match e {
        SweepError::Resolve(e) => schedule_args::failure(&image, &e),
        e => e.into(),
    })?;
    let command = args.again(&image, &config, &schedule);
    let outline = Report::outline(sweep.shown(), sweep.baseline(), command, sweep.part_size());
    let shard = args.sweep.shard.unwrap_or(Shard::WHOLE);
    let wanted = (0..sweep.parts()).filter(|&n| shard.has(n)).collect();
    let mut gather = Gather::new(wanted, args.sweep.limit);
    let mut checkpoint = match &args.sweep.checkpoint {
        None => None,
        Some(path) => {
            let mut inputs = inputs(&info, &config, &schedule, &plan, &outline);
            if let Some(state) = &state {
                inputs.insert("state".to_owned(), state.hash().into());
            }
            let addresses = addresses(&resolved, &sweep);
            if !addresses.is_empty() {
                inputs.insert("addresses".to_owned(), addresses.into());
            }
            let header = CheckpointHeader::new([shard.k, shard.n], inputs, outline.clone());
            let mut on_part = |part, tally| gather.add(part, tally);
            Some(Checkpoint::open(path, &header, &mut on_part)?)
        }
    };
    let inputs = [Some(&args.image.image), args.sweep.checkpoint.as_ref()];
    let inputs: Vec<&Path> = inputs.into_iter().flatten().map(PathBuf::as_path).collect();
    let files = args.report.open(&inputs)?;
    let interrupted = args.explore(&sweep, &mut gather, checkpoint.as_mut())?;
    if let Some(checkpoint) = checkpoint {
        checkpoint.finish()?;
    }
    let interrupted = interrupted.then_some(ExitCode::Interrupted);
    if args.sweep.shard.is_some() {
        let left = gather.missing().len();
        let cases = number::grouped(gather.sum().cases);
        talk::summary(&match left {
            0 => format!("shard {}/{}: done, {cases} cases", shard.k, shard.n),
            n => format!("shard {}/{}: {n} parts are left", shard.k, shard.n),
        });
        return Ok(interrupted.unwrap_or(ExitCode::Success));
    }
    let mut code = Code::default();
    code.add(sweep.shown(), gather.sum().rips());
    let report = outline.filled(gather.sum(), &code, &|part| gather.counts(part));
    files.show(&report)?;
    let code = exit_code(&report);
    Ok(interrupted.map_or(code, |i| i.min(code)))
}

impl SweepArgs {
    /// The command of the undisturbed run.
    fn again(&self, image: &Image, config: &MachineConfig, schedule: &[Injection]) -> Vec<String> {
        let recipe = Recipe {
            image_args: &self.image,
            config,
            default_ram: image.default_ram(),
            state: self.machine.load.as_deref(),
            until: None,
            schedule,
            events: DEFAULT_CLASSES,
            events_list: None,
            format: Format::Text,
            verbose: false,
        };
        let mut words = recipe.words();
        words.extend(self.checks.words());
        words
    }

    /// Explores what is missing; whether it was interrupted.
    fn explore(
        &self,
        sweep: &Sweep<'_>,
        gather: &mut Gather,
        mut checkpoint: Option<&mut Checkpoint>,
    ) -> Result<bool, Failure> {
        let parts = gather.missing();
        if gather.is_full() || parts.is_empty() {
            return Ok(false);
        }
        let jobs = threads::wanted(self.sweep.jobs);
        let stop = Arc::new(AtomicBool::new(false));
        interrupt::watch(Arc::clone(&stop));
        let size = |part: usize| sweep.part(part).len() as u64;
        let left: u64 = parts.iter().map(|&n| size(n)).sum();
        let shard = self.sweep.shard.unwrap_or(Shard::WHOLE);
        let total = (0..sweep.parts()).filter(|&n| shard.has(n)).map(size).sum();
        let mut progress = Progress::new(total, total - left);
        progress.add(0, 0);
        let (mut full, mut cases, mut runs) = (false, 0, 0);
        let begin = std::time::Instant::now();
        sweep.explore(&parts, jobs, &stop, &mut |part, tally| {
            if let Some(checkpoint) = &mut checkpoint {
                checkpoint.add(part, tally, sweep.shown())?;
            }
            progress.add(size(part), tally.cases);
            cases += tally.cases;
            runs += tally.runs;
            gather.add(part, tally.clone());
            if gather.is_full() {
                full = true;
                stop.store(true, Ordering::Relaxed);
            }
            Ok(())
        })?;
        drop(progress);
        let seconds = begin.elapsed().as_secs_f64().max(1e-6);
        let rate = |n: u64| number::grouped((n as f64 / seconds) as u64);
        if self.sweep.stats {
            talk::summary(&format!(
                "{} cases in {seconds:.2} s on {jobs} threads: {} a second, {} of them run",
                number::grouped(cases),
                rate(cases),
                rate(runs),
            ));
        }
        Ok(!full && stop.load(Ordering::Relaxed))
    }
}
