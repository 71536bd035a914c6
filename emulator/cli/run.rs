//! `iretrace run`: runs an image and traces it.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use iretrace::machine::StopReason;
use iretrace::trace::{
    DEFAULT_CLASSES, EventClass, EventSink, Filtered, JsonlWriter, RecordWriter, TextOptions,
    TextWriter, parse_events,
};

use super::check_args::CheckArgs;
use super::console::Console;
use super::dump::{self, DumpList};
use super::exit_code::ExitCode;
use super::failure::Failure;
use super::files::{self, Output};
use super::findings::Shown;
use super::guest_tests::CountedTests;
use super::image_args::ImageArgs;
use super::machine_args::MachineArgs;
use super::output::{self, Color};
use super::reproduce::Recipe;
use super::schedule_args::ScheduleArgs;
use super::session::Session;
use super::{state, talk};

/// Run an image, and trace its faults, NMIs and returns
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  iretrace run @nested-nmi
  iretrace run @nested-nmi --events nmi,iret
  iretrace run kernel.elf --nmi 'at=memcpy+0x1a' --nmi 'after=page-fault#2'
  iretrace run kernel.elf --irq '0x21@every=1000,from=main' --cpu amd
  iretrace run entry.S --exception 'page-fault@at=main,ec=0x2,addr=0x1000'
  iretrace run entry.S --exception 'page-fault@at=main,ec=0x3,addr=counter+0x8'
  iretrace run kernel.elf --format jsonl -o trace.jsonl
  iretrace run kernel.elf --until nmi_entry --dump regs,idt
  iretrace run --console -- kernel.elf          as a cargo runner; KTAP and PASS: lines are counted
  iretrace run kernel.elf -q --deny warning --nmi-body do_nmi --findings found.json
  iretrace run boot.bin --base 0x8000
  iretrace run kernel.elf --until main --save main.state && iretrace run kernel.elf --load main.state
  iretrace run entry.S --define TASKS=8 --define PAGES=lazy
  iretrace run /boot/vmlinuz-6.1.0-56-cloud-amd64 --console --append 'nopti mitigations=off'

The result is on standard output: the trace, or with --console what the guest prints. Everything
else that is said is on standard error, also what the checks find: errors and warnings in full,
each once a place, and how many notes there are. A dump follows a text trace on standard output; where
standard output carries JSON Lines or the guest's console, it goes to standard error.")]
pub struct RunArgs {
    #[command(flatten)]
    image: ImageArgs,
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    schedule: ScheduleArgs,
    #[command(flatten)]
    checks: CheckArgs,
    #[command(flatten)]
    trace: TraceArgs,
}

/// What is traced, and where it goes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct TraceArgs {
    /// The trace's format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// Write the trace to this file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Trace these: nmi, fault, irq, walk, iret, syscall, reg, tlb, io, console, halt, insn, mem,
    /// default, all; -NAME leaves one out [default: all but io, insn and mem]. A text shows walks
    /// that succeed only if the list names walk or all
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    events: Option<String>,

    /// Trace instructions and memory accesses too, and every level of every walk
    #[arg(short, long)]
    verbose: bool,

    /// Trace nothing
    #[arg(short = 'q', long, conflicts_with_all = ["output", "events", "verbose"])]
    no_trace: bool,

    /// Put what the guest prints on standard output; no trace without --output
    #[arg(long)]
    console: bool,

    /// Show the state at the end: regs, gdt, idt, tss, tables, tlb, all
    #[arg(long, value_name = "LIST", value_parser = DumpList::parse)]
    dump: Option<DumpList>,

    /// Show what the checks only note, too, not just how much there is
    #[arg(long, conflicts_with = "no-checks")]
    notes: bool,

    /// Write what the checks find to this file, as JSON
    #[arg(long, value_name = "FILE", conflicts_with = "no-checks")]
    findings: Option<PathBuf>,

    /// Save the state at --until to this file, for --load
    #[arg(long, value_name = "FILE", requires = "until")]
    save: Option<PathBuf>,

    /// Colours in a text trace, and in what is found
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    color: Color,
}

/// `--format`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// JSON Lines, for programs ('iretrace schema' describes it)
    Jsonl,
}

impl TraceArgs {
    /// The events that are wanted.
    fn classes(&self) -> Result<EventClass, Failure> {
        let mut classes = match &self.events {
            Some(list) => parse_events(list)?,
            None => DEFAULT_CLASSES,
        };
        if self.verbose {
            classes |= EventClass::INSN | EventClass::MEM;
        }
        Ok(classes)
    }

    /// Whether walks are asked for by name: then a text shows those that succeed too.
    fn names_walks(&self) -> bool {
        let list = self.events.as_deref().unwrap_or_default();
        list.split(',').any(|w| matches!(w.trim(), "walk" | "all"))
    }

    /// Refuses files that would be written over one another, or over the image.
    fn check_files(&self, image: &Path) -> Result<(), Failure> {
        let outputs = [&self.output, &self.save, &self.findings];
        let outputs: Vec<&Path> = outputs
            .into_iter()
            .flatten()
            .map(PathBuf::as_path)
            .collect();
        files::distinct(&outputs, &[image])
    }

    /// Whether there is a trace.
    fn traces(&self) -> bool {
        !self.no_trace && (!self.console || self.output.is_some())
    }
}

/// Runs it.
pub fn run(args: &RunArgs) -> Result<ExitCode, Failure> {
    let events = args.trace.classes()?;
    args.trace.check_files(&args.image.image)?;
    let mut session = Session::new(&args.image, &args.machine, &args.schedule)?;
    let save = files::open(args.trace.save.as_deref())?;
    let findings = files::open(args.trace.findings.as_deref())?;
    if args.trace.traces() {
        let sink = open_trace(args, &session, events)?;
        session
            .machine
            .add_sink(Box::new(Filtered::new(events, sink)));
    }
    let console = args.trace.console.then(Console::default);
    if let Some(console) = &console {
        let stop = session.machine.interrupt_flag();
        session.machine.on_console(console.writer(stop));
    }

    let tests = CountedTests::default();
    if args.trace.console {
        session.machine.add_sink(Box::new(tests.clone()));
    }
    if let Some(config) = args.checks.config(&session.image)? {
        session.machine.enable_checks(config);
    }

    let stop = session.run();
    let saved = save.map_or(Ok(()), |file| {
        if stop == StopReason::Until {
            return state::write(&mut session.machine, &session.image, file);
        }
        let path = file.shown();
        talk::note(&format!(
            "{path}: not written: the run ended before --until"
        ));
        Ok(())
    });
    session.machine.end_checks(&stop);
    let finished = session.machine.finish();
    if let Some(Err(e)) = console.map(|c| c.finish()) {
        return Err(Failure::stdout(&e));
    }
    output_result(args, &stop, finished)?;
    saved?;
    session.summary(&stop);
    if let Some(list) = &args.trace.dump {
        let text = dump::dump(&session.machine, &session.image, list);
        let taken = args.trace.console
            || (args.trace.format == Format::Jsonl
                && args.trace.traces()
                && args.trace.output.is_none());
        if taken {
            let _ = io::stderr().write_all(text.as_bytes());
        } else {
            output::print(&text)?;
        }
    }
    let denied = show_findings(args, &session, events, findings)?;
    let code = ExitCode::of_stop(&stop).min(tests.say());
    Ok(if denied {
        code.min(ExitCode::Findings)
    } else {
        code
    })
}

/// Says what was found; whether it is denied.
fn show_findings(
    args: &RunArgs,
    session: &Session,
    events: EventClass,
    file: Option<Output>,
) -> Result<bool, Failure> {
    let Some(findings) = session.machine.findings() else {
        return Ok(false);
    };
    let mut again = recipe(args, session, events).words();
    again.extend(args.checks.words());
    let shown = Shown {
        image: &session.image,
        policy: args.checks.policy(),
        again,
        notes: args.trace.notes,
        color: args.trace.color,
    };
    if let Some(file) = file {
        shown.write(findings, file)?;
    }
    Ok(shown.say(findings))
}

/// The command that does it again.
fn recipe<'a>(args: &'a RunArgs, session: &'a Session, events: EventClass) -> Recipe<'a> {
    Recipe {
        image_args: &args.image,
        config: &session.config,
        default_ram: session.image.default_ram(),
        state: session.state.as_ref().map(|s| s.0.as_path()),
        until: args.machine.until.as_ref(),
        schedule: &session.schedule,
        events,
        events_list: args.trace.events.as_deref(),
        format: args.trace.format,
        verbose: args.trace.verbose,
    }
}

/// What became of the trace. An end that goes before a failed output is not hidden by it.
fn output_result(
    args: &RunArgs,
    stop: &StopReason,
    finished: io::Result<()>,
) -> Result<(), Failure> {
    let error = match (finished, stop) {
        (_, StopReason::OutputFailed { error, text }) => io::Error::new(*error, text.clone()),
        (Err(e), _) => e,
        (Ok(()), _) => return Ok(()),
    };
    let failure = match &args.trace.output {
        Some(path) => Failure::output_file(path, &error),
        None => Failure::stdout(&error),
    };
    if ExitCode::of_stop(stop) >= ExitCode::OutputFailed {
        return Err(failure);
    }
    if !failure.message.is_empty() {
        talk::note(&failure.message);
    }
    Ok(())
}

/// Opens the trace and writes its header.
fn open_trace(
    args: &RunArgs,
    session: &Session,
    events: EventClass,
) -> Result<Box<dyn EventSink>, Failure> {
    let Some(path) = &args.trace.output else {
        let mut out = RecordWriter::new(io::stdout());
        if io::stdout().is_terminal() {
            out = out.unbuffered();
        }
        return trace_to(out, args, session, events).map_err(|e| Failure::stdout(&e));
    };
    let file = output::create(path)?;
    // Only a file's size can be cut back; a device or pipe takes what it took.
    let out = match file.metadata() {
        Ok(m) if m.is_file() => RecordWriter::file(file),
        _ => RecordWriter::new(file),
    };
    trace_to(out, args, session, events).map_err(|e| Failure::output_file(path, &e))
}

fn trace_to<W: io::Write + 'static>(
    out: RecordWriter<W>,
    args: &RunArgs,
    session: &Session,
    events: EventClass,
) -> io::Result<Box<dyn EventSink>> {
    let state = session.state.as_ref().map(|s| s.1.as_str());
    let header = recipe(args, session, events).header(&session.image, state);
    let symbols = Arc::clone(&session.image);
    match args.trace.format {
        Format::Jsonl => Ok(Box::new(JsonlWriter::new(out, &header, symbols)?)),
        Format::Text => {
            let options = TextOptions {
                color: args.trace.color.wanted(args.trace.output.is_some()),
                mapped_walks: args.trace.names_walks(),
                full_walks: args.trace.verbose,
            };
            let mut writer = TextWriter::new(out, symbols, options);
            writer.header(&header)?;
            Ok(Box::new(writer))
        }
    }
}
