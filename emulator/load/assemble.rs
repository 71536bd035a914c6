//! Assembly sources: GNU `as` and `ld` make an ELF64 of them, in a folder of their own, under limits.
//!
//! The source is not preprocessed. `.include` searches the source's folder, its `include`
//! sub-folder, the folders of [`LoadOptions::include`], and last the built-in include files.
//! The layout is `programs/include/program.ld`, or `NAME.ld` beside `NAME.S`. As with any
//! assembler, `.include` and `.incbin` read whatever file the user may read.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::builtin::Builtin;
use super::define::{self, Define};
use super::error::LoadError;
use super::image::{Image, LoadOptions};
use super::tool::Tool;
use super::work::{LD, Work, check_size, work_name};

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
    let shown = format!("@{}", program.name);
    let file = format!("{}.S", program.name);
    let job = Job {
        define: &options.define,
        ..Job::new(shown, &file, program.source.as_bytes(), options)
    };
    Ok(job.make()?.1)
}

/// Assembles and links a source of ours: the ELF file, and it as an image.
pub(super) fn executable(
    name: &str,
    source: &str,
    options: &LoadOptions,
) -> Result<(Vec<u8>, Image), LoadError> {
    Job::new(name.to_owned(), name, source.as_bytes(), options).make()
}

/// Assembles the source `bytes` of the file `name` in `folder`.
pub(super) fn source(
    name: String,
    bytes: &[u8],
    folder: Option<&Path>,
    options: &LoadOptions,
) -> Result<Image, LoadError> {
    check_size(&name, bytes)?;
    let job = Job {
        folder,
        include: &options.include,
        define: &options.define,
        ..Job::new(name.clone(), &name, bytes, options)
    };
    Ok(job.make()?.1)
}

struct Job<'a> {
    /// How messages name the source.
    shown: String,
    /// Its name in the work folder, and in line tables.
    file: String,
    source: &'a [u8],
    folder: Option<&'a Path>,
    include: &'a [PathBuf],
    define: &'a [Define],
    limits: Limits,
}

impl<'a> Job<'a> {
    /// A source in no folder, without definitions.
    fn new(shown: String, name: &str, source: &'a [u8], options: &LoadOptions) -> Self {
        Self {
            shown,
            file: work_name(name),
            source,
            folder: None,
            include: &[],
            define: &[],
            limits: options.assembler,
        }
    }

    /// The linked file, and the image that it is.
    fn make(&self) -> Result<(Vec<u8>, Image), LoadError> {
        self.refuse_preprocessor()?;
        if let Some(name) = define::defined_twice(self.define) {
            return Err(self.option(format!("{name} is defined twice"), "define it once"));
        }
        let mut work = Work::new(&self.shown, self.folder, self.limits)?;
        work.write_includes(&Path::new(BUILTIN_FOLDER).join("include"))?;
        work.write_source(&self.file, self.source)?;
        self.assemble(&mut work)?;
        self.link(&mut work)?;
        let (bytes, mut image) = work.image()?;
        image.define = self.define.to_vec();
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

    fn assemble(&self, work: &mut Work) -> Result<(), LoadError> {
        let mut arguments: Vec<OsString> = ["--64", "-g", "--MD", "../files", "-o", "../object"]
            .map(Into::into)
            .into();
        let mut search = |folder: PathBuf| {
            arguments.push("-I".into());
            arguments.push(folder.into());
        };
        if let Some(own) = work.folder() {
            search(own.to_owned());
            search(own.join("include"));
        }
        for folder in self.include {
            search(work.absolute(folder)?);
        }
        search(Path::new(BUILTIN_FOLDER).join("include"));
        search(BUILTIN_FOLDER.into());
        for symbol in self.define.iter().flat_map(Define::symbols) {
            arguments.extend(["--defsym".into(), symbol.into()]);
        }
        arguments.push(OsString::from(&self.file));
        let outcome = work.run(&self.shown, Tool::As, &arguments)?;
        if outcome.success {
            return self.refuse_unused(work);
        }
        if looks_like_nasm(self.source) {
            return Err(LoadError::Unrecognised {
                file: self.shown.clone(),
                looks_like: "a source for NASM".to_owned(),
                mend: "assemble it with nasm -f elf64, link it with ld, and give the executable"
                    .to_owned(),
            });
        }
        Err(work.refused(&self.shown, Tool::As, &outcome))
    }

    fn link(&self, work: &mut Work) -> Result<(), LoadError> {
        let own = work.folder().zip(self.file.rsplit_once('.'));
        let own = own.map(|(folder, (stem, _))| folder.join(format!("{stem}.ld")));
        let script = match own.filter(|p| p.is_file()) {
            Some(p) => p,
            None => work.write_script(LINKER_SCRIPT)?,
        };
        let mut arguments: Vec<OsString> = LD.map(Into::into).into();
        arguments.extend(["-T".into(), script.into(), "../object".into()]);
        let outcome = work.run(&self.shown, Tool::Ld, &arguments)?;
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
            return Err(work.refused(&self.shown, Tool::Ld, &outcome));
        }
        Ok(())
    }

    /// A definition that no file mentions would silently do nothing.
    fn refuse_unused(&self, work: &Work) -> Result<(), LoadError> {
        if self.define.is_empty() {
            return Ok(());
        }
        let rule = std::fs::read_to_string(work.root().join("files"))
            .map_err(|e| work.fault("reading as's list of files", &e))?;
        let mut unused: Vec<&Define> = self.define.iter().collect();
        for file in prerequisites(&rule) {
            // A file that can no longer be read mentions nothing.
            let text = std::fs::read(work.sources().join(file)).unwrap_or_default();
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
