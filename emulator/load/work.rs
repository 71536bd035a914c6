//! The folder in which `as` and `ld` work, and what they say there.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::assemble::Limits;
use super::builtin;
use super::elf;
use super::error::{LoadError, printable};
use super::image::{Format, Image};
use super::limits::MAX_SOURCE;
use super::tool::{Outcome, Tool};

/// What `ld` is always told. The tools run in [`Work::sources`].
pub(super) const LD: [&str; 7] = [
    "-nostdlib",
    "-static",
    "--build-id=none",
    "-z",
    "max-page-size=0x1000",
    "-o",
    "../image",
];

/// Notes that are made of one tool's warnings.
const MOST_WARNINGS: usize = 8;

/// A temporary folder, with the sources in a sub-folder.
#[derive(Debug)]
pub(super) struct Work {
    /// How messages name what is assembled.
    shown: String,
    /// The sources' own folders, absolute.
    folders: Vec<PathBuf>,
    limits: Limits,
    temporary: TempDir,
    /// The tools' warnings.
    notes: Vec<String>,
}

impl Work {
    /// An empty one. Messages name `shown`, and files in `folders` relative to these.
    pub(super) fn new<'a>(
        shown: &str,
        folders: impl IntoIterator<Item = &'a Path>,
        limits: Limits,
    ) -> Result<Self, LoadError> {
        let temporary = tempfile::Builder::new()
            .prefix("iretrace-")
            .tempdir()
            .map_err(|e| fault(shown, "temporary folder", &e))?;
        let folders = folders.into_iter().map(absolute).collect::<io::Result<_>>();
        let work = Self {
            shown: shown.to_owned(),
            folders: folders.map_err(|e| fault(shown, "current folder", &e))?,
            limits,
            temporary,
            notes: Vec::new(),
        };
        std::fs::create_dir(work.sources()).map_err(|e| work.fault("writing the sources", &e))?;
        Ok(work)
    }

    pub(super) fn root(&self) -> &Path {
        self.temporary.path()
    }

    /// Where the tools run.
    pub(super) fn sources(&self) -> PathBuf {
        self.root().join("source")
    }

    /// An error at `place`, which names no file of the user's.
    pub(super) fn fault(&self, place: &str, e: &io::Error) -> LoadError {
        fault(&self.shown, place, e)
    }

    /// `path` as it is named where the tools run.
    pub(super) fn absolute(&self, path: &Path) -> Result<PathBuf, LoadError> {
        absolute(path).map_err(|e| self.fault("current folder", &e))
    }

    /// The first source's own folder.
    pub(super) fn folder(&self) -> Option<&Path> {
        self.folders.first().map(PathBuf::as_path)
    }

    pub(super) fn write_source(&self, file: &str, bytes: &[u8]) -> Result<(), LoadError> {
        std::fs::write(self.sources().join(file), bytes)
            .map_err(|e| self.fault("writing the sources", &e))
    }

    /// Writes the built-in include files to a sub-folder of the sources'.
    pub(super) fn write_includes(&self, folder: &Path) -> Result<(), LoadError> {
        let folder = self.sources().join(folder);
        let write = || {
            std::fs::create_dir_all(&folder)?;
            builtin::includes()
                .iter()
                .try_for_each(|i| std::fs::write(folder.join(i.name), i.source))
        };
        write().map_err(|e| self.fault("writing the sources", &e))
    }

    /// Writes a linker script, and gives its path.
    pub(super) fn write_script(&self, script: &str) -> Result<PathBuf, LoadError> {
        let path = self.root().join("script.ld");
        std::fs::write(&path, script).map_err(|e| self.fault("writing the linker script", &e))?;
        Ok(path)
    }

    /// Runs a tool, and keeps its warnings if it succeeds. `file` is for errors.
    pub(super) fn run(
        &mut self,
        file: &str,
        tool: Tool,
        arguments: &[OsString],
    ) -> Result<Outcome, LoadError> {
        let outcome = tool.run(file, self.root(), arguments, self.limits)?;
        if outcome.success {
            let lines = outcome.text.lines().filter(|l| l.contains("arning: "));
            let warnings = lines.take(MOST_WARNINGS).map(|l| self.said(l));
            let warnings: Vec<String> = warnings.collect();
            self.notes.extend(warnings);
        }
        Ok(outcome)
    }

    /// The error of a tool that did not succeed with `file`.
    pub(super) fn refused(&self, file: &str, tool: Tool, outcome: &Outcome) -> LoadError {
        let sources = format!("{}/", self.sources().display());
        let mut errors = outcome.text.lines().filter_map(error_line);
        let first = errors.next().map_or_else(
            || format!("failed without a message ({})", outcome.status),
            |l| self.said(&l.replace(&sources, "")),
        );
        LoadError::Assemble {
            file: file.to_owned(),
            tool: tool.name(),
            first,
            others: errors.count(),
        }
    }

    fn said(&self, line: &str) -> String {
        printable(&self.own_name(line))
    }

    /// A path or message of the tools, with files named as their author sees them: relative to
    /// the source's folder, so that no temporary or absolute path gets into a trace.
    fn own_name(&self, text: &str) -> String {
        let text = text.strip_prefix("builtin/").unwrap_or(text);
        self.folders
            .iter()
            .find_map(|own| text.strip_prefix(&format!("{}/", own.display())))
            .unwrap_or(text)
            .to_owned()
    }

    /// What `ld` has written: the file, and the image that it is.
    pub(super) fn image(&mut self) -> Result<(Vec<u8>, Image), LoadError> {
        let bytes = std::fs::read(self.root().join("image"))
            .map_err(|e| self.fault("reading ld's output", &e))?;
        let mut image = elf::load(self.shown.clone(), &bytes)?;
        image.format = Format::Assembly;
        let mut notes = std::mem::take(&mut self.notes);
        notes.append(&mut image.notes);
        image.notes = notes;
        if let Some(debug) = &mut image.debug {
            debug.rename_files(|f| self.own_name(f));
        }
        Ok((bytes, image))
    }
}

fn fault(shown: &str, place: &str, e: &io::Error) -> LoadError {
    LoadError::Work {
        file: shown.to_owned(),
        place: place.to_owned(),
        cause: e.to_string(),
    }
}

/// The tools run in another folder: relative paths would not hold there.
fn absolute(path: &Path) -> io::Result<PathBuf> {
    let empty = path.as_os_str().is_empty();
    std::path::absolute(if empty { Path::new(".") } else { path })
}

/// Refuses a source that is larger than any that is assembled.
pub(super) fn check_size(name: &str, source: &[u8]) -> Result<(), LoadError> {
    if source.len() <= MAX_SOURCE {
        return Ok(());
    }
    Err(LoadError::TooLarge {
        file: name.to_owned(),
        size: source.len() as u64,
        limit: MAX_SOURCE as u64,
    })
}

/// The last component of `name`, in characters that no tool reads as anything else.
pub(super) fn work_name(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or_default();
    let plain: String = last
        .chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_' => c,
            _ => '_',
        })
        .take(100)
        .collect();
    match plain.as_bytes() {
        [b'-' | b'.', ..] | [] => format!("_{plain}"),
        _ => plain,
    }
}

/// What of a line of the tools' output is an error, without its decoration.
fn error_line(line: &str) -> Option<String> {
    let line = line.trim().trim_start_matches("ld: ");
    let noise = line.is_empty()
        || line.ends_with("Assembler messages:")
        || line.ends_with("':")
        || line.contains("arning: ")
        || line.contains("Info: ")
        || line.contains("NOTE: ");
    (!noise).then(|| {
        line.replacen(": Fatal error: ", ": ", 1)
            .replacen(": Error: ", ": ", 1)
    })
}
