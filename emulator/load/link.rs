//! Pieces of a kernel, assembled and linked without the rest of it: what they refer to and nobody
//! defines becomes an address that the caller chooses.
//!
//! The tools are those of [`super::assemble`], under the same limits.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use goblin::elf::header::{self, Header};
use goblin::elf::section_header::{SHN_UNDEF, SHT_SYMTAB, SectionHeader};
use goblin::elf::sym::{STB_LOCAL, Sym};

use super::assemble::{Limits, error_line, work_name};
use super::elf::{self, CTX};
use super::error::{LoadError, printable};
use super::image::{Format, Image};
use super::limits::{MAX_SECTIONS, MAX_SOURCE, MAX_SYMBOLS};
use super::tool::{Outcome, Tool};
use super::{builtin, detect};
use crate::arch::VirtAddr;
use crate::suggest::Nearest;

/// Undefined symbols that are resolved; `ld` is asked again as often as it finds more.
pub const MAX_STUBS: usize = 500;

/// Undefined symbols and their addresses.
type Stubs = Vec<(String, VirtAddr)>;

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
    if source.bytes.len() > MAX_SOURCE {
        return Err(LoadError::TooLarge {
            file: source.name.clone(),
            size: source.bytes.len() as u64,
            limit: MAX_SOURCE as u64,
        });
    }
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
    let job = Job { linkage, shown };
    let temporary = tempfile::Builder::new()
        .prefix("iretrace-")
        .tempdir()
        .map_err(|e| job.work("temporary folder", &e))?;
    job.run(temporary.path())
}

struct Job<'a> {
    linkage: &'a Linkage,
    shown: String,
}

impl Job<'_> {
    fn run(&self, root: &Path) -> Result<Linked, LoadError> {
        let sources = root.join("source");
        let include = sources.join("builtin");
        std::fs::create_dir_all(&sources).map_err(|e| self.work("writing the sources", &e))?;
        let mut objects: Vec<OsString> = Vec::new();
        let mut archives = false;
        let mut undefined: Vec<String> = Vec::new();
        let mut notes = Vec::new();
        for (n, source) in self.linkage.sources.iter().enumerate() {
            let kind = kind(source)?;
            let own = format!("{n}-{}", work_name(&source.name));
            let file = if kind == Kind::Source {
                work_name(&source.name)
            } else {
                own
            };
            std::fs::write(sources.join(&file), &source.bytes)
                .map_err(|e| self.work("writing the sources", &e))?;
            let object = match kind {
                Kind::Source => {
                    let object = format!("{n}.object");
                    let mut done = self.assemble(root, source, &file, &object, &mut notes);
                    // Few need the built-in include files, and writing them takes longer than
                    // assembling.
                    if matches!(&done, Err(LoadError::Assemble { first, .. }) if first.contains("can't open "))
                        && !include.exists()
                    {
                        self.lay_out_includes(&include)?;
                        done = self.assemble(root, source, &file, &object, &mut notes);
                    }
                    done?;
                    object
                }
                Kind::Object | Kind::Archive => file,
            };
            if kind == Kind::Archive {
                archives = true;
            } else if let Ok(bytes) = std::fs::read(sources.join(&object)) {
                undefined.extend(undefined_in(&bytes));
            }
            objects.push(object.into());
        }
        // A library may define what an object does not: then only the linker knows.
        if archives || self.linkage.sources.len() > 1 {
            undefined.clear();
        }
        undefined.retain(|name| !self.linkage.defined.iter().any(|d| d.0 == *name));
        let (bytes, stubs) = self.link(root, &objects, undefined, &mut notes)?;
        let mut image = elf::load(self.shown.clone(), &bytes)?;
        image.format = Format::Assembly;
        notes.append(&mut image.notes);
        image.notes = notes;
        if let Some(debug) = &mut image.debug {
            debug.rename_files(|f| self.own_name(f));
        }
        Ok(Linked { image, stubs })
    }

    fn lay_out_includes(&self, folder: &Path) -> Result<(), LoadError> {
        let write = || {
            std::fs::create_dir_all(folder)?;
            for i in builtin::includes() {
                std::fs::write(folder.join(i.name), i.source)?;
            }
            Ok(())
        };
        write().map_err(|e: std::io::Error| self.work("writing the sources", &e))
    }

    fn assemble(
        &self,
        root: &Path,
        source: &Source,
        file: &str,
        object: &str,
        notes: &mut Vec<String>,
    ) -> Result<(), LoadError> {
        let mut arguments: Vec<OsString> = ["--64", "-g", "-o", object].map(Into::into).into();
        let mut search = |folder: PathBuf| {
            arguments.push("-I".into());
            arguments.push(folder.into());
        };
        // The tools run in another folder.
        let absolute = |p: &Path| {
            std::path::absolute(if p.as_os_str().is_empty() {
                Path::new(".")
            } else {
                p
            })
            .map_err(|e| self.work("current folder", &e))
        };
        if let Some(own) = &source.folder {
            search(absolute(own)?);
        }
        for folder in &self.linkage.include {
            search(absolute(folder)?);
        }
        search("builtin".into());
        arguments.push(file.into());
        let outcome = Tool::As.run(&source.name, root, &arguments, self.linkage.limits)?;
        if outcome.success {
            notes.extend(
                outcome
                    .text
                    .lines()
                    .filter(|l| l.contains("arning: "))
                    .take(8)
                    .map(printable),
            );
            return Ok(());
        }
        Err(self.refused(&source.name, Tool::As, root, &outcome))
    }

    fn link(
        &self,
        root: &Path,
        objects: &[OsString],
        mut undefined: Vec<String>,
        notes: &mut Vec<String>,
    ) -> Result<(Vec<u8>, Stubs), LoadError> {
        let script = SCRIPT.replace("BASE", &format!("{:#x}", self.linkage.base));
        std::fs::write(root.join("script.ld"), script)
            .map_err(|e| self.work("writing the linker script", &e))?;
        for _ in 0..ROUNDS {
            undefined.sort();
            undefined.dedup();
            let stubs = self.stubs(&undefined)?;
            let outcome = Tool::Ld.run(
                &self.shown,
                root,
                &self.ld_arguments(objects, &stubs),
                self.linkage.limits,
            )?;
            let missing = undefined_references(&outcome.text);
            if outcome.success {
                let warnings = outcome.text.lines().filter(|l| l.contains("arning: "));
                notes.extend(warnings.take(8).map(printable));
                let bytes = std::fs::read(root.join("image"))
                    .map_err(|e| self.work("reading ld's output", &e))?;
                return Ok((bytes, stubs));
            }
            if missing.is_empty() {
                return Err(self.refused(&self.shown, Tool::Ld, root, &outcome));
            }
            undefined.extend(missing);
        }
        Err(LoadError::Assemble {
            file: self.shown.clone(),
            tool: Tool::Ld.name(),
            first: "finds new undefined symbols each time it is asked".to_owned(),
            others: 0,
        })
    }

    fn ld_arguments(&self, objects: &[OsString], stubs: &[(String, VirtAddr)]) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = [
            "-nostdlib",
            "-static",
            "--build-id=none",
            "--no-warn-rwx-segments",
            "-z",
            "noexecstack",
            "-z",
            "max-page-size=0x1000",
            "-o",
            "../image",
            "-T",
            "../script.ld",
        ]
        .map(Into::into)
        .into();
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
        let refuse = |first: String| LoadError::Assemble {
            file: self.shown.clone(),
            tool: Tool::Ld.name(),
            first,
            others: 0,
        };
        if undefined.len() > MAX_STUBS {
            return Err(refuse(format!(
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
                return Err(refuse(format!(
                    "undefined symbol '{}': {hint}",
                    printable(name)
                )));
            }
            stubs.push((name.clone(), VirtAddr(first.wrapping_add(n * distance))));
        }
        Ok(stubs)
    }

    /// A file of a line table, relative to its source's folder: no absolute path gets into a trace.
    fn own_name(&self, file: &str) -> String {
        let file = file.strip_prefix("builtin/").unwrap_or(file);
        let folders = self
            .linkage
            .sources
            .iter()
            .filter_map(|s| s.folder.as_deref());
        let own = folders
            .filter_map(|f| {
                std::path::absolute(if f.as_os_str().is_empty() {
                    Path::new(".")
                } else {
                    f
                })
                .ok()
            })
            .find_map(|f| file.strip_prefix(&format!("{}/", f.display())));
        own.unwrap_or(file).to_owned()
    }

    fn work(&self, place: &str, e: &std::io::Error) -> LoadError {
        LoadError::Work {
            file: self.shown.clone(),
            place: place.to_owned(),
            cause: e.to_string(),
        }
    }

    fn refused(&self, file: &str, tool: Tool, root: &Path, outcome: &Outcome) -> LoadError {
        let root = format!("{}/", root.join("source").to_string_lossy());
        let mut errors = outcome.text.lines().filter_map(error_line);
        let first = errors.next().map_or_else(
            || format!("failed without a message ({})", outcome.status),
            |l| printable(&l.replace(&root, "")),
        );
        LoadError::Assemble {
            file: file.to_owned(),
            tool: tool.name(),
            first,
            others: errors.count(),
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

/// The symbols that `ld` says are undefined.
fn undefined_references(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|l| l.split_once("undefined reference to `"))
        .filter_map(|(_, rest)| rest.split_once('\''))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// The undefined symbols of an object file; none of one that cannot be read, which `ld` refuses.
fn undefined_in(bytes: &[u8]) -> Vec<String> {
    let read = || -> Option<Vec<String>> {
        let header = header::header64::Header::parse(bytes.get(..64)?).ok()?;
        let header = Header::from(header);
        let count = usize::from(header.e_shnum).min(MAX_SECTIONS);
        let table = bytes.get(usize::try_from(header.e_shoff).ok()?..)?;
        let table = table.get(..count.checked_mul(64)?)?;
        let sections = SectionHeader::parse_from(table, 0, count, CTX).ok()?;
        let part = |s: &SectionHeader| {
            let from = usize::try_from(s.sh_offset).ok()?;
            bytes.get(from..from.checked_add(usize::try_from(s.sh_size).ok()?)?)
        };
        let symtab = sections.iter().find(|s| s.sh_type == SHT_SYMTAB)?;
        let names = part(sections.get(symtab.sh_link as usize)?)?;
        let raw = part(symtab)?;
        let symbols = Sym::parse(raw, 0, (raw.len() / 24).min(MAX_SYMBOLS), CTX).ok()?;
        let mut undefined = Vec::new();
        for s in symbols {
            if s.st_shndx == SHN_UNDEF as usize && s.st_bind() != STB_LOCAL && s.st_name != 0 {
                let name = names.get(s.st_name..)?.split(|&b| b == 0).next()?;
                undefined.push(String::from_utf8(name.to_vec()).ok()?);
            }
        }
        Some(undefined)
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linkage(sources: &[(&str, &str)]) -> Linkage {
        let source = |(name, text): &(&str, &str)| Source {
            name: (*name).to_owned(),
            bytes: text.as_bytes().to_vec(),
            folder: None,
        };
        Linkage {
            sources: sources.iter().map(source).collect(),
            base: 0x20_0000,
            include: Vec::new(),
            roots: Vec::new(),
            stubs: None,
            stub_at: (0x1f_0000, 128),
            defined: Vec::new(),
            limits: Limits::default(),
        }
    }

    #[test]
    fn undefined_symbols_get_addresses() {
        let linked = link(&linkage(&[(
            "entry.S",
            ".globl entry\nentry: call second\ncall first\nmov value(%rip), %rax\nret\n.data\nvalue: .quad 1\n",
        )]))
        .unwrap();
        let stubs: Vec<_> = linked
            .stubs
            .iter()
            .map(|(n, a)| (n.as_str(), a.0))
            .collect();
        assert_eq!(stubs, [("first", 0x1f_0000), ("second", 0x1f_0080)]);
        assert_eq!(linked.image.resolve("entry").unwrap().0, 0x20_0000);
        // call rel32, from the end of the instruction.
        let text = &linked.image.segments[0].data;
        let target = i32::from_le_bytes(text[1..5].try_into().unwrap());
        assert_eq!(0x20_0005 + i64::from(target), 0x1f_0080);
    }

    #[test]
    fn built_in_includes_are_found() {
        let linked = link(&linkage(&[("a.S", ".include \"kernel.inc\"\nhere: nop\n")])).unwrap();
        assert!(linked.image.resolve("kernel_init").is_ok());
        let e = link(&linkage(&[("a.S", ".include \"none.inc\"\n")])).unwrap_err();
        assert!(e.to_string().contains("none.inc"), "{e}");
    }

    #[test]
    fn several_sources_see_each_other() {
        let linked = link(&linkage(&[
            ("a.S", "entry: call other\ncall nobody\n"),
            ("b.S", ".globl other\nother: ret\n"),
        ]))
        .unwrap();
        assert_eq!(linked.stubs.len(), 1);
        assert_eq!(linked.stubs[0].0, "nobody");
    }

    #[test]
    fn what_is_not_named_as_a_stub_is_an_error() {
        let mut l = linkage(&[("a.S", "entry: call do_page_falt\n")]);
        l.stubs = Some(vec!["do_page_fault".to_owned()]);
        let e = link(&l).unwrap_err().to_string();
        assert_eq!(
            e,
            "a.S: ld: undefined symbol 'do_page_falt': did you mean 'do_page_fault', which is a stub?; mend the source there"
        );
    }

    #[test]
    fn errors_name_the_line() {
        let e = link(&linkage(&[("x.S", "nop\n mov foo bar\n")])).unwrap_err();
        assert!(e.to_string().starts_with("x.S: as: x.S:2: "), "{e}");
        let e = link(&linkage(&[("x.txt", "hello\n")])).unwrap_err();
        assert!(e.to_string().contains("give an assembly source"), "{e}");
    }
}
