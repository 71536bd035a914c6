//! Assembly sources: GNU `as` and `ld` make an ELF64 of them, in a folder of their own, under limits.
//!
//! The source is not preprocessed. `.include` searches the source's folder, its `include`
//! sub-folder, the folders of [`LoadOptions::include`], and last the built-in include files.
//! The layout is `programs/include/program.ld`, or `NAME.ld` beside `NAME.S`. As with any
//! assembler, `.include` and `.incbin` read whatever file the user may read.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::builtin::{self, Builtin};
use super::define::{self, Define};
use super::elf;
use super::error::{LoadError, printable};
use super::image::{Format, Image, LoadOptions};
use super::limits::MAX_SOURCE;
use super::tool::{Outcome, Tool};

/// Where sections go, unless a script beside the source says otherwise.
pub const LINKER_SCRIPT: &str = include_str!("../../programs/include/program.ld");

/// The work folder's sub-folder for the built-in include files.
const BUILTIN_FOLDER: &str = "builtin";

/// What the assembler and the linker may use; a hostile source ends at them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Seconds each of them may take, on the clock and on the CPU.
    pub seconds: u32,
    /// The largest file they may write, in bytes.
    pub output: u64,
    /// The address space they may fill, in bytes.
    pub memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            seconds: 10,
            output: 64 << 20,
            memory: 1 << 30,
        }
    }
}

/// Assembles a built-in program.
pub(super) fn program(program: &Builtin, options: &LoadOptions) -> Result<Image, LoadError> {
    let job = Job {
        shown: format!("@{}", program.name),
        file: format!("{}.S", program.name),
        source: program.source.as_bytes(),
        folder: None,
        include: &[],
        define: &options.define,
        limits: options.assembler,
    };
    job.run()
}

/// Assembles and links a source of ours: the ELF file, and it as an image.
pub(super) fn executable(
    name: &str,
    source: &str,
    options: &LoadOptions,
) -> Result<(Vec<u8>, Image), LoadError> {
    let job = Job {
        file: work_name(name),
        shown: name.to_owned(),
        source: source.as_bytes(),
        folder: None,
        include: &[],
        define: &[],
        limits: options.assembler,
    };
    job.make()
}

/// Assembles the source `bytes` of the file `name` in `folder`.
pub(super) fn source(
    name: String,
    bytes: &[u8],
    folder: Option<&Path>,
    options: &LoadOptions,
) -> Result<Image, LoadError> {
    if bytes.len() > MAX_SOURCE {
        return Err(LoadError::TooLarge {
            file: name,
            size: bytes.len() as u64,
            limit: MAX_SOURCE as u64,
        });
    }
    let work = |e: std::io::Error| LoadError::Work {
        file: name.clone(),
        place: "current folder".to_owned(),
        cause: e.to_string(),
    };
    // The tools run in another folder: relative paths would not hold there.
    let absolute = |p: &Path| {
        std::path::absolute(if p.as_os_str().is_empty() {
            Path::new(".")
        } else {
            p
        })
    };
    let folder = folder.map(absolute).transpose().map_err(work)?;
    let include = options.include.iter().map(|p| absolute(p));
    let include = include.collect::<Result<Vec<_>, _>>().map_err(work)?;
    let job = Job {
        file: work_name(&name),
        shown: name,
        source: bytes,
        folder,
        include: &include,
        define: &options.define,
        limits: options.assembler,
    };
    job.run()
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

struct Job<'a> {
    /// How messages name the source.
    shown: String,
    /// Its name in the work folder, and in line tables.
    file: String,
    source: &'a [u8],
    folder: Option<PathBuf>,
    include: &'a [PathBuf],
    define: &'a [Define],
    limits: Limits,
}

impl Job<'_> {
    fn run(&self) -> Result<Image, LoadError> {
        Ok(self.make()?.1)
    }

    /// The linked file, and the image that it is.
    fn make(&self) -> Result<(Vec<u8>, Image), LoadError> {
        self.refuse_preprocessor()?;
        if let Some(name) = define::defined_twice(self.define) {
            return Err(self.option(format!("{name} is defined twice"), "define it once"));
        }
        let temporary = tempfile::Builder::new()
            .prefix("iretrace-")
            .tempdir()
            .map_err(|e| self.work("temporary folder", &e))?;
        let root = temporary.path();
        let sources = root.join("source");
        self.lay_out(&sources)
            .map_err(|e| self.work("writing the sources", &e))?;
        let mut notes = Vec::new();
        self.assemble(root, &mut notes)?;
        let bytes = self.link(root, &mut notes)?;
        let mut image = elf::load(self.shown.clone(), &bytes)?;
        image.format = Format::Assembly;
        image.define = self.define.to_vec();
        notes.append(&mut image.notes);
        image.notes = notes;
        if let Some(debug) = &mut image.debug {
            debug.rename_files(|f| self.own_name(f));
        }
        Ok((bytes, image))
    }

    /// `#include` is a comment to `as`: what follows would silently be something else.
    fn refuse_preprocessor(&self) -> Result<(), LoadError> {
        const DIRECTIVES: [&[u8]; 6] = [
            b"#include <",
            b"#include \"",
            b"#define ",
            b"#ifdef ",
            b"#ifndef ",
            b"#undef ",
        ];
        for (n, line) in self.source.split(|&b| b == b'\n').enumerate() {
            if DIRECTIVES.iter().any(|d| line.starts_with(d)) {
                let word = line.split(|&b| b == b' ').next().unwrap_or_default();
                return Err(LoadError::Assemble {
                    file: self.shown.clone(),
                    tool: "as",
                    first: format!(
                        "{}:{}: {} is for the C preprocessor, which is not run: use .include, .set, .if",
                        self.file,
                        n + 1,
                        String::from_utf8_lossy(word)
                    ),
                    others: 0,
                });
            }
        }
        Ok(())
    }

    fn lay_out(&self, sources: &Path) -> std::io::Result<()> {
        let include = sources.join(BUILTIN_FOLDER).join("include");
        std::fs::create_dir_all(&include)?;
        for i in builtin::includes() {
            std::fs::write(include.join(i.name), i.source)?;
        }
        std::fs::write(sources.join(&self.file), self.source)
    }

    fn assemble(&self, root: &Path, notes: &mut Vec<String>) -> Result<(), LoadError> {
        let mut arguments: Vec<OsString> = ["--64", "-g", "--MD", "../files", "-o", "../object"]
            .map(Into::into)
            .into();
        let mut search = |folder: PathBuf| {
            arguments.push("-I".into());
            arguments.push(folder.into());
        };
        if let Some(own) = &self.folder {
            search(own.clone());
            search(own.join("include"));
        }
        self.include.iter().cloned().for_each(&mut search);
        search(Path::new(BUILTIN_FOLDER).join("include"));
        search(BUILTIN_FOLDER.into());
        for symbol in self.define.iter().flat_map(Define::symbols) {
            arguments.extend(["--defsym".into(), symbol.into()]);
        }
        arguments.push(OsString::from(&self.file));
        let outcome = self.tool(root, Tool::As, &arguments)?;
        if outcome.success {
            self.refuse_unused(root)?;
            notes.extend(self.warnings(&outcome));
            return Ok(());
        }
        if looks_like_nasm(self.source) {
            return Err(LoadError::Unrecognised {
                file: self.shown.clone(),
                looks_like: "a source for NASM".to_owned(),
                mend: "assemble it with nasm -f elf64, link it with ld, and give the executable"
                    .to_owned(),
            });
        }
        Err(self.refused(root, Tool::As, &outcome))
    }

    fn link(&self, root: &Path, notes: &mut Vec<String>) -> Result<Vec<u8>, LoadError> {
        let own = self.folder.as_ref().zip(self.file.rsplit_once('.'));
        let own = own.map(|(folder, (stem, _))| folder.join(format!("{stem}.ld")));
        let script = match own.filter(|p| p.is_file()) {
            Some(p) => p,
            None => {
                let p = root.join("script.ld");
                std::fs::write(&p, LINKER_SCRIPT)
                    .map_err(|e| self.work("writing the linker script", &e))?;
                p
            }
        };
        let mut arguments: Vec<OsString> = [
            "-nostdlib",
            "-static",
            "--build-id=none",
            "-z",
            "max-page-size=0x1000",
            "-o",
            "../image",
            "-T",
        ]
        .map(Into::into)
        .into();
        arguments.push(script.into());
        arguments.push("../object".into());
        let outcome = self.tool(root, Tool::Ld, &arguments)?;
        if outcome.text.contains("cannot find entry symbol") {
            return Err(LoadError::Assemble {
                file: self.shown.clone(),
                tool: Tool::Ld.name(),
                first:
                    "there is no global symbol '_start' to begin at: add .globl _start and _start:"
                        .to_owned(),
                others: 0,
            });
        }
        if !outcome.success {
            return Err(self.refused(root, Tool::Ld, &outcome));
        }
        notes.extend(self.warnings(&outcome));
        std::fs::read(root.join("image")).map_err(|e| self.work("reading ld's output", &e))
    }

    /// A definition that no file mentions would silently do nothing.
    fn refuse_unused(&self, root: &Path) -> Result<(), LoadError> {
        if self.define.is_empty() {
            return Ok(());
        }
        let rule = std::fs::read_to_string(root.join("files"))
            .map_err(|e| self.work("reading as's list of files", &e))?;
        let mut unused: Vec<&Define> = self.define.iter().collect();
        for file in prerequisites(&rule) {
            // A file that can no longer be read mentions nothing.
            let text = std::fs::read(root.join("source").join(file)).unwrap_or_default();
            unused.retain(|d| !mentions(&text, d.name()));
        }
        let Some(define) = unused.first() else {
            return Ok(());
        };
        let problem = format!("{define}: the source nowhere asks for {}", define.name());
        Err(self.option(problem, "check the name, or leave it out"))
    }

    fn option(&self, problem: String, mend: &'static str) -> LoadError {
        LoadError::Option {
            file: self.shown.clone(),
            problem,
            mend,
        }
    }

    fn work(&self, place: &str, e: &std::io::Error) -> LoadError {
        LoadError::Work {
            file: self.shown.clone(),
            place: place.to_owned(),
            cause: e.to_string(),
        }
    }

    fn tool(&self, root: &Path, tool: Tool, arguments: &[OsString]) -> Result<Outcome, LoadError> {
        tool.run(&self.shown, root, arguments, self.limits)
    }

    fn refused(&self, root: &Path, tool: Tool, outcome: &Outcome) -> LoadError {
        let root = root.join("source");
        let root = format!("{}/", root.to_string_lossy());
        let mut errors = outcome.text.lines().filter_map(error_line);
        let first = errors.next().map_or_else(
            || format!("failed without a message ({})", outcome.status),
            |l| printable(&self.own_name(&l.replace(&root, ""))),
        );
        LoadError::Assemble {
            file: self.shown.clone(),
            tool: tool.name(),
            first,
            others: errors.count(),
        }
    }

    fn warnings(&self, outcome: &Outcome) -> Vec<String> {
        const MOST: usize = 8;
        let lines = outcome.text.lines().filter(|l| l.contains("arning: "));
        lines
            .take(MOST)
            .map(|l| printable(&self.own_name(l)))
            .collect()
    }

    /// A path or message of the tools, with files named as their author sees them: relative to
    /// the source's folder, so that no temporary or absolute path gets into a trace.
    fn own_name(&self, text: &str) -> String {
        let text = text.strip_prefix("builtin/").unwrap_or(text);
        let own = self.folder.as_deref().map(|p| format!("{}/", p.display()));
        own.and_then(|o| text.strip_prefix(o.as_str()))
            .unwrap_or(text)
            .to_owned()
    }
}

/// The files that a rule for `make` names behind its colon.
fn prerequisites(rule: &str) -> Vec<String> {
    let rule = rule.split_once(": ").map_or("", |(_, files)| files);
    let mut files = vec![String::new()];
    let mut chars = rule.chars().peekable();
    while let Some(c) = chars.next() {
        let mut c = c;
        match (c, chars.peek()) {
            ('\\', Some('\n')) | ('\n', _) => c = ' ',
            ('\\', Some(&next @ (' ' | '\t' | '#'))) | ('$', Some(&next @ '$')) => {
                chars.next();
                if let Some(file) = files.last_mut() {
                    file.push(next);
                }
                continue;
            }
            _ => {}
        }
        match files.last_mut() {
            Some(file) if c != ' ' => file.push(c),
            _ => files.push(String::new()),
        }
    }
    files.retain(|f| !f.is_empty());
    files
}

/// Whether `name` is a word of `text`.
fn mentions(text: &[u8], name: &str) -> bool {
    text.split(|b| !(b.is_ascii_alphanumeric() || *b == b'_'))
        .any(|word| word == name.as_bytes())
}

/// What of a line of the tools' output is an error, without its decoration.
pub(super) fn error_line(line: &str) -> Option<String> {
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

/// Words that begin lines of NASM sources and of no GNU ones.
fn looks_like_nasm(source: &[u8]) -> bool {
    const WORDS: [&str; 8] = [
        "bits 64",
        "[bits 64]",
        "bits 32",
        "section .",
        "%include",
        "%define",
        "%macro",
        "default rel",
    ];
    String::from_utf8_lossy(source).lines().any(|l| {
        let l = l.trim_start().to_lowercase();
        WORDS.iter().any(|w| l.starts_with(w))
    })
}

#[cfg(test)]
mod tests;
