//! How a report is shown and written, by `sweep` and by `merge`.

use std::path::{Path, PathBuf};

use iretrace::sweep::Report;

use super::super::exit_code::ExitCode;
use super::super::failure::Failure;
use super::super::files::{self, Output};
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
    json: Option<Output>,
    html: Option<Output>,
}

impl ReportArgs {
    /// Opens the files, which must be none of `kept`.
    pub fn open(&self, kept: &[&Path]) -> Result<ReportFiles<'_>, Failure> {
        let paths = [&self.json, &self.html].map(|f| f.as_deref());
        let given: Vec<&Path> = paths.into_iter().flatten().collect();
        files::distinct(&given, kept)?;
        let [json, html] = paths.map(files::open);
        Ok(ReportFiles {
            args: self,
            json: json?,
            html: html?,
        })
    }
}

impl ReportFiles<'_> {
    /// Writes and prints `report`.
    pub fn show(self, report: &Report) -> Result<(), Failure> {
        if let Some(file) = self.json {
            let text = serde_json::to_string_pretty(report).unwrap_or_default() + "\n";
            file.write(text.as_bytes())?;
        }
        if let Some(file) = self.html {
            file.write(html::render(report).as_bytes())?;
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
