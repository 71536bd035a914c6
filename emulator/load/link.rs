//! Pieces of a kernel, assembled and linked without the rest of it: what they refer to and nobody
//! defines becomes an address that the caller chooses.
//!
//! The tools are those of [`super::assemble`], under the same limits.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::assemble::Limits;
use super::detect;
use super::error::{LoadError, printable};
use super::image::Image;
use super::tool::Tool;
use super::undefined::{undefined_in, undefined_references};
use super::work::{LD, Work, check_size, work_name};
use crate::arch::VirtAddr;
use crate::suggest::Nearest;

/// Undefined symbols that are resolved; `ld` is asked again as often as it finds more.
pub const MAX_STUBS: usize = 500;

/// Undefined symbols and their addresses.
type Stubs = Vec<(String, VirtAddr)>;

/// The sub-folder for the built-in include files.
const BUILTIN_FOLDER: &str = "builtin";

/// How often `ld` is asked.
const ROUNDS: usize = 4;

/// One piece.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// How messages name it.
    pub name: String,
    /// What is in it: an assembly source, an object file, or a static library.
    pub bytes: Vec<u8>,
    /// The folder in which `.include` and `.incbin` search first.
    pub folder: Option<PathBuf>,
}

/// What is linked, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Linkage {
    /// The pieces, in the order in which the linker sees them.
    pub sources: Vec<Source>,
    /// The address of the first byte; a multiple of 4096.
    pub base: u64,
    /// Folders that `.include` searches after the source's own.
    pub include: Vec<PathBuf>,
    /// Symbols that are taken from static libraries; without any, all of each library.
    pub roots: Vec<String>,
    /// The symbols that may stay undefined; `None`: any.
    pub stubs: Option<Vec<String>>,
    /// Where the first undefined symbol is said to be, and how far the next one is from it.
    pub stub_at: (u64, u64),
    /// Symbols with values.
    pub defined: Vec<(String, u64)>,
    /// Limits of the assembler and the linker.
    pub limits: Limits,
}

/// An image, and the undefined symbols with the addresses that they were given.
#[derive(Clone, Debug)]
pub struct Linked {
    /// The image. Its entry point means nothing.
    pub image: Image,
    /// By rising address.
    pub stubs: Vec<(String, VirtAddr)>,
}

/// What a piece is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Source,
    Object,
    Archive,
}

fn kind(source: &Source) -> Result<Kind, LoadError> {
    if source.bytes.starts_with(b"!<arch>\n") {
        return Ok(Kind::Archive);
    }
    if source.bytes.starts_with(b"\x7fELF") {
        return Ok(Kind::Object);
    }
    check_size(&source.name, &source.bytes)?;
    match detect::content(&source.name, &source.bytes) {
        detect::Content::Source => Ok(Kind::Source),
        detect::Content::Other { looks_like, .. } => Err(LoadError::Unrecognised {
            file: source.name.clone(),
            looks_like,
            mend: "give an assembly source (.S, .s, .asm), an object file or a static library"
                .to_owned(),
        }),
        _ => Err(LoadError::Unrecognised {
            file: source.name.clone(),
            looks_like: "a flat binary".to_owned(),
            mend: "only sources, objects and static libraries can be linked".to_owned(),
        }),
    }
}

/// Assembles and links.
///
/// # Errors
/// What the tools say, with the source's file and line; an undefined symbol that may not be one.
pub fn link(linkage: &Linkage) -> Result<Linked, LoadError> {
    let shown = linkage
        .sources
        .first()
        .map_or_else(|| "nothing".to_owned(), |s| printable(&s.name));
    let folders = linkage.sources.iter().filter_map(|s| s.folder.as_deref());
    let work = Work::new(&shown, folders, linkage.limits)?;
    let mut job = Job {
        linkage,
        shown,
        work,
    };
    job.run()
}

struct Job<'a> {
    linkage: &'a Linkage,
    shown: String,
    work: Work,
}

impl Job<'_> {
    fn run(&mut self) -> Result<Linked, LoadError> {
        let linkage = self.linkage;
        let mut objects: Vec<OsString> = Vec::new();
        let mut archives = false;
        let mut undefined: Vec<String> = Vec::new();
        for (n, source) in linkage.sources.iter().enumerate() {
            let kind = kind(source)?;
            let name = work_name(&source.name);
            let file = if kind == Kind::Source {
                name
            } else {
                format!("{n}-{name}")
            };
            self.work.write_source(&file, &source.bytes)?;
            let object = match kind {
                Kind::Source => {
                    let object = format!("{n}.object");
                    self.assemble(source, &file, &object)?;
                    object
                }
                Kind::Object | Kind::Archive => file,
            };
            if kind == Kind::Archive {
                archives = true;
            } else if let Ok(bytes) = std::fs::read(self.work.sources().join(&object)) {
                undefined.extend(undefined_in(&bytes));
            }
            objects.push(object.into());
        }
        // A library may define what an object does not: then only the linker knows.
        if archives || linkage.sources.len() > 1 {
            undefined.clear();
        }
        undefined.retain(|name| !linkage.defined.iter().any(|d| d.0 == *name));
        let stubs = self.link(&objects, undefined)?;
        let (_, image) = self.work.image()?;
        Ok(Linked { image, stubs })
    }

    /// Few sources need the built-in include files, and writing them takes longer than assembling.
    fn assemble(&mut self, source: &Source, file: &str, object: &str) -> Result<(), LoadError> {
        let done = self.assemble_once(source, file, object);
        let wants = matches!(&done, Err(LoadError::Assemble { first, .. }) if first.contains("can't open "));
        let builtin = Path::new(BUILTIN_FOLDER);
        if !wants || self.work.sources().join(builtin).exists() {
            return done;
        }
        self.work.write_includes(builtin)?;
        self.assemble_once(source, file, object)
    }

    fn assemble_once(
        &mut self,
        source: &Source,
        file: &str,
        object: &str,
    ) -> Result<(), LoadError> {
        let mut arguments: Vec<OsString> = ["--64", "-g", "-o", object].map(Into::into).into();
        for folder in source.folder.iter().chain(&self.linkage.include) {
            arguments.extend(["-I".into(), self.work.absolute(folder)?.into()]);
        }
        arguments.extend(["-I", BUILTIN_FOLDER, file].map(Into::into));
        let outcome = self.work.run(&source.name, Tool::As, &arguments)?;
        if outcome.success {
            return Ok(());
        }
        Err(self.work.refused(&source.name, Tool::As, &outcome))
    }

    fn link(
        &mut self,
        objects: &[OsString],
        mut undefined: Vec<String>,
    ) -> Result<Stubs, LoadError> {
        let script = SCRIPT.replace("BASE", &format!("{:#x}", self.linkage.base));
        let script = self.work.write_script(&script)?;
        for _ in 0..ROUNDS {
            undefined.sort();
            undefined.dedup();
            let stubs = self.stubs(&undefined)?;
            let arguments = self.ld_arguments(&script, objects, &stubs);
            let outcome = self.work.run(&self.shown, Tool::Ld, &arguments)?;
            if outcome.success {
                return Ok(stubs);
            }
            let missing = undefined_references(&outcome.text);
            if missing.is_empty() {
                return Err(self.work.refused(&self.shown, Tool::Ld, &outcome));
            }
            undefined.extend(missing);
        }
        Err(self.refuse("finds new undefined symbols each time it is asked".to_owned()))
    }

    fn ld_arguments(
        &self,
        script: &Path,
        objects: &[OsString],
        stubs: &[(String, VirtAddr)],
    ) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = LD.map(Into::into).into();
        arguments.extend(["--no-warn-rwx-segments", "-z", "noexecstack", "-T"].map(OsString::from));
        arguments.push(script.into());
        arguments.push(format!("--entry={:#x}", self.linkage.base).into());
        let named = stubs.iter().map(|(name, at)| (name, at.0));
        let defined = self.linkage.defined.iter().map(|(name, at)| (name, *at));
        for (name, at) in named.chain(defined) {
            arguments.push(format!("--defsym={name}={at:#x}").into());
        }
        for root in &self.linkage.roots {
            arguments.push(format!("--undefined={root}").into());
        }
        if self.linkage.roots.is_empty() {
            arguments.push("--whole-archive".into());
        }
        arguments.extend(objects.iter().cloned());
        arguments
    }

    /// Gives each undefined symbol an address.
    fn stubs(&self, undefined: &[String]) -> Result<Vec<(String, VirtAddr)>, LoadError> {
        if undefined.len() > MAX_STUBS {
            return Err(self.refuse(format!(
                "{} symbols are undefined, more than the {MAX_STUBS} that can be stubs: link more of the kernel",
                undefined.len()
            )));
        }
        let (first, distance) = self.linkage.stub_at;
        let mut stubs = Vec::new();
        for (name, n) in undefined.iter().zip(0..) {
            if let Some(allowed) = &self.linkage.stubs
                && !allowed.contains(name)
            {
                let mut nearest = Nearest::to(name);
                allowed.iter().for_each(|a| nearest.offer(a));
                let hint = match nearest.into_best() {
                    Some(near) => format!("did you mean '{near}', which is a stub?"),
                    None => "define it, or name it as a stub".to_owned(),
                };
                return Err(self.refuse(format!("undefined symbol '{}': {hint}", printable(name))));
            }
            stubs.push((name.clone(), VirtAddr(first.wrapping_add(n * distance))));
        }
        Ok(stubs)
    }

    fn refuse(&self, first: String) -> LoadError {
        LoadError::Assemble {
            file: self.shown.clone(),
            tool: Tool::Ld.name(),
            first,
            others: 0,
        }
    }
}

/// Where sections go. Each starts on a page of its own, so that rights can differ.
const SCRIPT: &str = "\
OUTPUT_FORMAT(elf64-x86-64)
PHDRS { text PT_LOAD FLAGS(5); rodata PT_LOAD FLAGS(4); data PT_LOAD FLAGS(6); }
SECTIONS
{
    . = BASE;
    .text   : ALIGN(4096) { *(.text .text.* .noinstr.text .entry.text) } :text
    .rodata : ALIGN(4096) { *(.rodata .rodata.*) } :rodata
    .data   : ALIGN(4096) { *(.data .data.*) } :data
    .bss    : ALIGN(4096) { *(.bss .bss.* COMMON) } :data
    /DISCARD/ : { *(.note.* .comment .eh_frame .eh_frame_hdr) }
}
";

#[cfg(test)]
mod tests;
