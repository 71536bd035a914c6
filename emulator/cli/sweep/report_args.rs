//! How a report is shown and written, by `sweep` and by `merge`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use iretrace::load::error::printable;
use iretrace::sweep::Report;

use super::super::exit_code::ExitCode;
use super::super::failure::Failure;
use super::super::output::{self, Color};
use super::{html, text};

/// Where the report goes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Report")]
pub struct ReportArgs {
    /// Write the report to this file, as JSON ('iretrace schema sweep' describes it)
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Write the report to this file, as a page for a browser
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// Show every instruction of the listing, not those alone at which something is bad
    #[arg(long)]
    pub listing: bool,

    /// Colours
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    pub color: Color,
}

/// The report's files, open: that one cannot be written is said before the work is done.
#[derive(Debug)]
pub struct ReportFiles<'a> {
    args: &'a ReportArgs,
    json: Option<(&'a Path, File)>,
    html: Option<(&'a Path, File)>,
}

/// Opens a file; what it holds stays until there is something else to hold.
fn open(path: &Path) -> Result<(&Path, File), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    let file = options.open(path);
    file.map(|file| (path, file))
        .map_err(|e| Failure::output_file(path, &e))
}

fn write((path, mut file): (&Path, File), text: &str) -> Result<(), Failure> {
    let mut all = || -> io::Result<()> {
        if file.metadata()?.is_file() {
            file.set_len(0)?;
        }
        file.write_all(text.as_bytes())
    };
    all().map_err(|e| Failure::output_file(path, &e))
}

impl ReportArgs {
    /// Opens the files, which must be none of `kept`.
    pub fn open(&self, kept: &[&Path]) -> Result<ReportFiles<'_>, Failure> {
        let same = |a: &Path, b: &Path| matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
        let files = [&self.json, &self.html].map(|f| f.as_deref());
        for path in files.into_iter().flatten() {
            if kept.iter().any(|other| same(path, other)) {
                return Err(Failure::usage(format!(
                    "{}: that is an input, which would be overwritten; give another file",
                    printable(&path.to_string_lossy())
                )));
            }
        }
        if let [Some(json), Some(html)] = files
            && (json == html || same(json, html))
        {
            return Err(Failure::usage(
                "--json and --html: that is one file; give two",
            ));
        }
        Ok(ReportFiles {
            args: self,
            json: files[0].map(open).transpose()?,
            html: files[1].map(open).transpose()?,
        })
    }
}

impl ReportFiles<'_> {
    /// Writes and prints `report`.
    pub fn show(self, report: &Report) -> Result<(), Failure> {
        if let Some(file) = self.json {
            let text = serde_json::to_string_pretty(report).unwrap_or_default() + "\n";
            write(file, &text)?;
        }
        if let Some(file) = self.html {
            write(file, &html::render(report))?;
        }
        let color = self.args.color.wanted(false);
        output::print(&text::render(report, self.args.listing, color))?;
        Ok(())
    }
}

/// The exit code that a report has.
pub fn exit_code(report: &Report) -> ExitCode {
    let bad = report.is_bad().then_some(ExitCode::Findings);
    let undecided = report.is_undecided().then_some(ExitCode::Limit);
    let codes = [undecided, bad].into_iter().flatten();
    codes.min().unwrap_or(ExitCode::Success)
}
