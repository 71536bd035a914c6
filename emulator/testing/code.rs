//! The code under test: assembled, linked, or as it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::TestError;
use super::layout;
use super::place::Place;
use crate::arch::{PAGE_SIZE, VirtAddr};
use crate::load::{Image, Linkage, LoadError, LoadOptions, Source, SymbolTable, link};
use crate::trace::Symbols;

/// What is to be tested, before it is built.
#[derive(Clone, Debug)]
pub struct Code {
    linkage: Linkage,
    /// Files that are read when it is built.
    files: Vec<PathBuf>,
    /// An image that needs no linking.
    image: Option<Whole>,
}

/// What is used as it is.
#[derive(Clone, Debug)]
enum Whole {
    File(PathBuf),
    Bytes(u64, Vec<u8>),
}

impl Default for Code {
    fn default() -> Self {
        Self {
            linkage: Linkage {
                sources: Vec::new(),
                base: layout::CODE,
                include: Vec::new(),
                roots: Vec::new(),
                stubs: None,
                stub_at: (layout::CODE - layout::STUBS_BELOW, layout::STUB_SIZE),
                defined: Vec::new(),
                limits: crate::load::assemble::Limits::default(),
            },
            files: Vec::new(),
            image: None,
        }
    }
}

impl Code {
    /// Assembly text, for GNU as. What it refers to and does not define becomes a stub.
    #[must_use]
    pub fn assembly(text: &str) -> Self {
        Self::default().source("handler.S", text)
    }

    /// A file: an assembly source, an object file, or a static library.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::default().and(path)
    }

    /// An executable, with its symbols, at the addresses at which it is linked.
    #[must_use]
    pub fn elf(path: impl Into<PathBuf>) -> Self {
        Self {
            image: Some(Whole::File(path.into())),
            ..Self::default()
        }
    }

    /// Machine code, at an address.
    #[must_use]
    pub fn bytes(at: u64, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            image: Some(Whole::Bytes(at, bytes.into())),
            ..Self::default()
        }
    }

    /// One more assembly text; `name` stands for a file in messages.
    #[must_use]
    pub fn source(mut self, name: &str, text: &str) -> Self {
        self.linkage.sources.push(Source {
            name: name.to_owned(),
            bytes: text.as_bytes().to_vec(),
            folder: None,
        });
        self
    }

    /// One more assembly text, whose `.include` searches `folder` first.
    pub(super) fn source_in(self, name: &str, text: &str, folder: &Path) -> Self {
        let mut code = self.source(name, text);
        if let Some(source) = code.linkage.sources.last_mut() {
            source.folder = Some(folder.to_path_buf());
        }
        code
    }

    /// One more file that is linked: a source, an object file, or a static library.
    #[must_use]
    pub fn and(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(path.into());
        self
    }

    /// A folder that `.include` searches.
    #[must_use]
    pub fn include(mut self, folder: impl Into<PathBuf>) -> Self {
        self.linkage.include.push(folder.into());
        self
    }

    /// Links at another address, a multiple of 4096.
    #[must_use]
    pub fn base(mut self, base: u64) -> Self {
        self.linkage.base = base;
        self.linkage.stub_at.0 = base.wrapping_sub(layout::STUBS_BELOW);
        self
    }

    /// Takes this symbol from static libraries, and what it needs. Without any, all is taken.
    #[must_use]
    pub fn root(mut self, symbol: &str) -> Self {
        self.linkage.roots.push(symbol.to_owned());
        self
    }

    /// Only these symbols may stay undefined; any other one is an error then.
    #[must_use]
    pub fn stubs<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let stubs = self.linkage.stubs.get_or_insert_default();
        stubs.extend(names.into_iter().map(str::to_owned));
        self
    }

    /// Gives a symbol a value.
    #[must_use]
    pub fn define(mut self, symbol: &str, value: u64) -> Self {
        self.linkage.defined.push((symbol.to_owned(), value));
        self
    }

    /// Assembles, links, or reads it.
    ///
    /// # Errors
    /// What the assembler or the linker says, with file and line; a file that cannot be used.
    pub fn build(&self) -> Result<Program, TestError> {
        let (image, stubs) = match &self.image {
            Some(Whole::File(path)) => (Image::open(path, &LoadOptions::default())?, Vec::new()),
            Some(Whole::Bytes(at, bytes)) => {
                let options = LoadOptions {
                    base: Some(*at),
                    flat: true,
                    ..LoadOptions::default()
                };
                (Image::from_bytes("bytes", bytes, &options)?, Vec::new())
            }
            None => {
                let mut linkage = self.linkage.clone();
                if !linkage.base.is_multiple_of(PAGE_SIZE) || linkage.base < layout::STUBS_BELOW {
                    return Err(TestError::setup(
                        format!("base {:#x}", linkage.base),
                        "give a multiple of 4096, not below 64 KiB",
                    ));
                }
                for path in &self.files {
                    linkage.sources.push(read(path)?);
                }
                if linkage.sources.is_empty() {
                    return Err(TestError::setup("code", "there is none: give a source"));
                }
                let linked = link::link(&linkage)?;
                (linked.image, linked.stubs)
            }
        };
        Ok(Program::new(image, stubs))
    }
}

/// Reads a piece.
fn read(path: &Path) -> Result<Source, LoadError> {
    let name = crate::load::error::printable(&path.to_string_lossy());
    Ok(Source {
        bytes: crate::load::image::read(path)?,
        name,
        folder: path.parent().map(Path::to_path_buf),
    })
}

/// Code that is ready for machines; clones are the same code.
#[derive(Clone, Debug)]
pub struct Program(Arc<Built>);

#[derive(Debug)]
struct Built {
    image: Image,
    stubs: Vec<(String, VirtAddr)>,
    /// Names of the harness's own things and of the stubs.
    own: SymbolTable,
}

impl Program {
    fn new(image: Image, stubs: Vec<(String, VirtAddr)>) -> Self {
        let names = layout::names();
        let own = names.iter().map(|&(n, at, size)| (n, VirtAddr(at), size));
        let stub = stubs
            .iter()
            .map(|(n, at)| (n.as_str(), *at, layout::STUB_SIZE));
        let own = SymbolTable::from_list(stub.chain(own), VirtAddr(u64::MAX));
        Self(Arc::new(Built { image, stubs, own }))
    }

    /// The image.
    #[must_use]
    pub fn image(&self) -> &Image {
        &self.0.image
    }

    /// The undefined symbols, and where each is said to be.
    #[must_use]
    pub fn stubs(&self) -> &[(String, VirtAddr)] {
        &self.0.stubs
    }

    /// Whether this is one of the undefined symbols.
    #[must_use]
    pub fn has_stub(&self, name: &str) -> bool {
        self.0.stubs.iter().any(|s| s.0 == name)
    }

    /// The stub at this address.
    #[must_use]
    pub fn stub_at(&self, at: u64) -> Option<&str> {
        let n = self.0.stubs.binary_search_by_key(&at, |s| s.1.0).ok()?;
        Some(&self.0.stubs[n].0)
    }

    /// The address of a place; `what` is for the message.
    ///
    /// # Errors
    /// A name that is not there, with the nearest one.
    pub fn resolve(&self, what: &str, place: &Place) -> Result<VirtAddr, TestError> {
        let found = self.0.image.symbols.find(place.text());
        found.or_else(|fault| {
            self.0.own.find(place.text()).map_err(|_| TestError::Place {
                what: what.to_owned(),
                fault,
            })
        })
    }

    /// Symbol and offset, else the address.
    #[must_use]
    pub fn name_of(&self, at: u64) -> String {
        let at = VirtAddr(at);
        self.name(at).unwrap_or_else(|| at.to_string())
    }
}

impl Symbols for Program {
    fn name(&self, at: VirtAddr) -> Option<String> {
        self.0.image.name(at).or_else(|| self.0.own.shown(at))
    }

    fn line(&self, at: VirtAddr) -> Option<String> {
        self.0.image.line(at)
    }
}

impl crate::schedule::SymbolResolver for Program {
    fn resolve(&self, name: &str) -> Option<VirtAddr> {
        let found = self.0.image.symbols.resolve(name);
        found.or_else(|| self.0.own.resolve(name))
    }

    fn for_each_name(&self, each: &mut dyn FnMut(&str)) {
        self.0.image.symbols.iter().for_each(|(n, _)| each(n));
        self.0.own.iter().for_each(|(n, _)| each(n));
    }
}
