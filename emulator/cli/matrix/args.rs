//! The options of `iretrace matrix`, and what it does.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use iretrace::load::{Define, Image, LoadOptions};
use iretrace::matrix::{self, Matrix, MatrixPlan, MatrixReport, NMI, PAGES, Strategy};

use super::super::exit_code::ExitCode;
use super::super::failure::Failure;
use super::super::output::{self, Color};
use super::super::status_line::StatusLine;
use super::super::{files, interrupt, talk, threads};
use super::progress;

/// Run every page-table strategy with every NMI strategy, an NMI at every boundary, and compare
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  iretrace matrix                                       all of it: a few minutes
  iretrace matrix --html report.html                    with plots
  iretrace matrix --pages lazy,walk --nmi naive         these alone
  iretrace matrix --quick                               one NMI a run, small sizes: a few seconds
  iretrace matrix --no-costs --json matrix.json
  iretrace matrix kernel.S -I include                   your program, with the same definitions

Each cell assembles the program with --define PAGES=... --define NMI=..., and injects an NMI at every
boundary between its symbols 'window' and 'window_end', then another at every boundary of what the
first one caused. The cost runs define TASKS, MAPPINGS and FORKS, count instructions between the labels
phase_boot, phase_fork, phase_map, phase_use and phase_end, and read count_faults, count_pte_writes and
count_table_bytes. Ctrl-C ends it with what is done. The exit code is 100 if a cell is bad, as that of
'iretrace sweep': with all strategies some are.")]
pub struct MatrixArgs {
    /// Assembly source, or @NAME for a built-in program
    #[arg(default_value = "@thread")]
    program: PathBuf,

    /// Search this folder for what an assembly source includes (repeatable)
    #[arg(short = 'I', long = "include", value_name = "DIR")]
    include: Vec<PathBuf>,

    /// Page-table strategies [default: all]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = pages)]
    pages: Vec<&'static Strategy>,

    /// NMI strategies [default: all]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = nmi)]
    nmi: Vec<&'static Strategy>,

    /// The NMI strategy of the cost runs
    #[arg(long, value_name = "NAME", value_parser = nmi, default_value = "nestable")]
    cost_nmi: &'static Strategy,

    /// One NMI a run, and small sizes
    #[arg(long)]
    quick: bool,

    /// No cost runs
    #[arg(long)]
    no_costs: bool,

    /// No cells: cost runs alone
    #[arg(long, conflicts_with = "no_costs")]
    no_cells: bool,

    /// Threads [default: one for each processor]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,

    /// Write the report to this file, as JSON ('iretrace schema matrix' describes it)
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    json: Option<PathBuf>,

    /// Write the report to this file, as a page for a browser, with plots
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    html: Option<PathBuf>,

    /// Write the report to this file, as Markdown
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    markdown: Option<PathBuf>,

    /// Say how long it took, on standard error
    #[arg(long)]
    stats: bool,

    /// Colours
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Color::Auto, help_heading = "Report")]
    color: Color,
}

fn pages(word: &str) -> Result<&'static Strategy, String> {
    matrix::find(word, &PAGES).map_err(|e| e.to_string())
}

fn nmi(word: &str) -> Result<&'static Strategy, String> {
    matrix::find(word, &NMI).map_err(|e| e.to_string())
}

/// Those of `all` that are `chosen`, in the order of `all`.
fn chosen(all: &'static [Strategy], chosen: &[&'static Strategy]) -> Vec<&'static Strategy> {
    let wanted = |s: &&'static Strategy| chosen.is_empty() || chosen.contains(s);
    all.iter().filter(wanted).collect()
}

impl MatrixArgs {
    fn plan(&self) -> MatrixPlan {
        let mut plan = MatrixPlan {
            pages: chosen(&PAGES, &self.pages),
            nmi: chosen(&NMI, &self.nmi),
            cost_nmi: self.cost_nmi,
            ..MatrixPlan::default()
        };
        if self.quick {
            plan = plan.quick();
        }
        plan.cells = !self.no_cells;
        if self.no_costs {
            plan.costs.clear();
        }
        plan
    }

    fn open(&self, define: &[Define]) -> Result<Image, iretrace::load::LoadError> {
        let options = LoadOptions {
            include: self.include.clone(),
            define: define.to_vec(),
            ..LoadOptions::default()
        };
        Image::open(&self.program, &options)
    }

    /// The words that name the program in a command.
    fn program(&self) -> Vec<String> {
        let mut words = vec![self.program.to_string_lossy().into_owned()];
        for folder in &self.include {
            let folder = folder.to_string_lossy().into_owned();
            words.extend(["--include".to_owned(), folder]);
        }
        words
    }

    /// Runs it; whether it was interrupted.
    fn run(&self, plan: &MatrixPlan) -> Result<(MatrixReport, bool), Failure> {
        let jobs = threads::wanted(self.jobs);
        let stop = Arc::new(AtomicBool::new(false));
        interrupt::watch(Arc::clone(&stop));
        let begin = std::time::Instant::now();
        let mut line = StatusLine::new();
        let matrix = Matrix {
            open: &|define| self.open(define),
            program: self.program(),
            plan,
        };
        let report = matrix.run(jobs, &stop, &mut |progress| {
            line.show(|elapsed| progress::line(progress, elapsed));
        })?;
        drop(line);
        if self.stats {
            talk::summary(&format!(
                "{} cells and {} cost runs in {:.1} s on {jobs} threads",
                report.cells.len(),
                report.costs.len(),
                begin.elapsed().as_secs_f64(),
            ));
        }
        Ok((report, stop.load(Ordering::Relaxed)))
    }
}

/// Makes the matrix.
pub fn matrix(args: &MatrixArgs) -> Result<ExitCode, Failure> {
    let outputs = [&args.json, &args.html, &args.markdown].map(Option::as_deref);
    let paths: Vec<&Path> = outputs.into_iter().flatten().collect();
    files::distinct(&paths, &[&args.program])?;
    let [json, html, markdown] = outputs.map(files::open);
    let (json, html, markdown) = (json?, html?, markdown?);
    let plan = args.plan();
    let (report, interrupted) = args.run(&plan)?;
    if let Some(file) = json {
        let text = serde_json::to_string_pretty(&report).unwrap_or_default() + "\n";
        file.write(text.as_bytes())?;
    }
    if let Some(file) = html {
        file.write(matrix::html(&report).as_bytes())?;
    }
    if let Some(file) = markdown {
        file.write(matrix::markdown(&report).as_bytes())?;
    }
    output::print(&matrix::text(&report, args.color.wanted(false)))?;
    Ok(exit_code(&report, interrupted))
}

/// The exit code that a report has.
fn exit_code(report: &MatrixReport, interrupted: bool) -> ExitCode {
    let codes = [
        interrupted.then_some(ExitCode::Interrupted),
        report.is_undecided().then_some(ExitCode::Limit),
        report.is_bad().then_some(ExitCode::Findings),
    ];
    let codes = codes.into_iter().flatten();
    codes.min().unwrap_or(ExitCode::Success)
}
