//! How a report is shown and written, by `sweep` and by `merge`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

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

fn write(path: &Path, image: &Path, text: &str) -> Result<(), Failure> {
    let mut file = output::create(path, image)?;
    file.write_all(text.as_bytes())
        .map_err(|e| Failure::output_file(path, &e))
}

impl ReportArgs {
    /// Writes and prints `report`. The files must not be the `image`.
    pub fn show(&self, report: &Report, image: &Path) -> Result<(), Failure> {
        if let Some(path) = &self.json {
            let text = serde_json::to_string_pretty(report).unwrap_or_default() + "\n";
            write(path, image, &text)?;
        }
        if let Some(path) = &self.html {
            write(path, image, &html::render(report))?;
        }
        let color = self.color.wanted(false);
        output::print(&text::render(report, self.listing, color))?;
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
