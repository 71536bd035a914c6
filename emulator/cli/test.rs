//! `iretrace test`: runs tests of handlers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::ValueEnum;
use iretrace::testing::TestError;
use iretrace::testing::directive::{DIRECTIVES, EXPECTATIONS, Row};
use iretrace::testing::suite::{self, Options, Outcome, Report, Suite, discover};

use super::exit_code::ExitCode;
use super::failure::Failure;
use super::{files, interrupt, number, output, talk, threads};

/// Run tests of handlers: assembly files with directives, and TOML files beside object files
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  iretrace test entry.S
  iretrace test tests/ --jobs 4 --filter page-fault
  iretrace test tests/ --list
  iretrace test tests/ --bless                  write golden traces anew
  iretrace test tests/ --format junit -o report.xml
  iretrace test --directives                    what can be written in a test

A test is an assembly source with directives in comments, or a TOML file (*.test.toml):

  #@ gate PF page_fault
  #@ context user
  #@ raise PF,ec=0x6,addr=0x1234
  #@ expect sound
  page_fault:
      ...

A failing test is exit code 100; 105 if only golden traces differ; a wrong directive is 96.")]
pub struct TestArgs {
    /// Files of tests, and folders in which all are found
    #[arg(required_unless_present = "directives", value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Threads [default: one for each processor]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,

    /// Only tests with this in their name, FILE::NAME
    #[arg(short, long, value_name = "TEXT")]
    filter: Vec<String>,

    /// --filter gives whole names
    #[arg(long)]
    exact: bool,

    /// Not tests with this in their name
    #[arg(long, value_name = "TEXT")]
    skip: Vec<String>,

    /// List the tests, and run none
    #[arg(long)]
    list: bool,

    /// Write golden traces, and do not compare them
    #[arg(long)]
    bless: bool,

    /// The report's format
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,

    /// Write the report to this file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Say how long it took
    #[arg(long)]
    stats: bool,

    /// Show all directives, and what each does
    #[arg(long)]
    directives: bool,
}

/// `--format`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Format {
    /// For people
    Human,
    /// KTAP version 1
    Ktap,
    /// JUnit XML
    Junit,
    /// JSON
    Json,
}

impl From<Format> for suite::Format {
    fn from(f: Format) -> Self {
        match f {
            Format::Human => Self::Human,
            Format::Ktap => Self::Ktap,
            Format::Junit => Self::Junit,
            Format::Json => Self::Json,
        }
    }
}

impl From<TestError> for Failure {
    fn from(e: TestError) -> Self {
        match e {
            TestError::Load(e) => e.into(),
            TestError::Machine(e) => e.into(),
            e => Self {
                code: ExitCode::BadInput,
                message: e.to_string(),
            },
        }
    }
}

/// Runs them.
pub fn test(args: &TestArgs) -> Result<ExitCode, Failure> {
    if args.directives {
        return output::print(&directives());
    }
    let files = discover(&args.paths)?;
    let outputs: Vec<&Path> = args.output.as_deref().into_iter().collect();
    let inputs: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    files::distinct(&outputs, &inputs)?;
    let suite = Suite::read(&files);
    let options = Options {
        jobs: threads::wanted(args.jobs),
        filters: args.filter.clone(),
        exact: args.exact,
        skip: args.skip.clone(),
        bless: args.bless,
    };
    let chosen = suite.list(&options);
    if chosen.is_empty() && suite.broken().next().is_none() {
        return Err(nothing(&suite, args));
    }
    if args.list {
        let names: String = chosen.iter().map(|t| t.full_name() + "\n").collect();
        output::print(&names)?;
        let mut code = ExitCode::Success;
        for broken in suite.broken() {
            if let Outcome::Broken(text) = &broken.outcome {
                talk::error(text);
            }
            code = ExitCode::BadInput;
        }
        return Ok(code);
    }
    let file = files::open(args.output.as_deref())?;
    let stop = Arc::new(AtomicBool::new(false));
    interrupt::watch(Arc::clone(&stop));
    let begun = Instant::now();
    let report = suite.run(&options, &stop, &|_| {});
    let seconds = begun.elapsed().as_secs_f64();
    let text = suite::render(&report, args.format.into());
    match file {
        Some(file) => {
            file.write(text.as_bytes())?;
            talk::summary(&suite::summary(&report));
        }
        None => {
            output::print(&text)?;
        }
    }
    if args.stats {
        let n = report.results.len();
        talk::summary(&format!(
            "{} tests in {seconds:.2} s on {} threads: {} a second",
            number::grouped(n as u64),
            options.jobs,
            number::grouped((n as f64 / seconds.max(1e-9)) as u64),
        ));
    }
    let code = exit_code(&report);
    Ok(if stop.load(Ordering::Relaxed) {
        code.min(ExitCode::Interrupted)
    } else {
        code
    })
}

/// Nothing to run.
fn nothing(suite: &Suite, args: &TestArgs) -> Failure {
    let there = suite.list(&Options::default()).len();
    if there == 0 {
        return Failure {
            code: ExitCode::BadInput,
            message: "no tests are there: a test is a source with #@ directives, or *.test.toml \
                      ('iretrace test --directives' shows what can be written)"
                .to_owned(),
        };
    }
    let options = [("--filter", &args.filter), ("--skip", &args.skip)];
    let given = options.into_iter().filter(|o| !o.1.is_empty());
    let given: Vec<String> = given
        .map(|(name, t)| format!("{name} {}", t.join(", ")))
        .collect();
    Failure::usage(format!(
        "none of {there} tests fits {}; --list without them shows all names",
        given.join(" and "),
    ))
}

/// The code of the worst result.
fn exit_code(report: &Report) -> ExitCode {
    let of = |o: &Outcome| match o {
        Outcome::Passed | Outcome::Blessed => ExitCode::Success,
        Outcome::Failed { golden: true, .. } => ExitCode::Golden,
        Outcome::Failed { .. } => ExitCode::Findings,
        Outcome::Broken(_) => ExitCode::BadInput,
        Outcome::NotModelled(_) => ExitCode::NotModelled,
        Outcome::NotRun => ExitCode::Interrupted,
    };
    let mut codes: Vec<ExitCode> = report.results.iter().map(|r| of(&r.outcome)).collect();
    // A failed test is worse than a golden trace that differs.
    if codes.contains(&ExitCode::Findings) {
        codes.retain(|c| *c != ExitCode::Golden);
    }
    codes.into_iter().min().unwrap_or(ExitCode::Success)
}

fn directives() -> String {
    let table = |title: &str, prefix: &str, rows: &[Row]| {
        let mut text = format!("{title}\n");
        for r in rows {
            let usage = format!("{prefix}{} {}", r.name, r.usage);
            text += &format!("  {}\n      {}\n", usage.trim_end(), r.summary);
        }
        text
    };
    table(
        "Directives (#@ or //@ at the start of a line):",
        "",
        DIRECTIVES,
    ) + "\n"
        + &table("Expectations:", "expect ", EXPECTATIONS)
}
