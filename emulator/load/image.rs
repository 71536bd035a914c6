//! An image: bytes for physical memory, where they appear in virtual memory, and names for them.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::define::Define;
use super::detect::{self, Content};
use super::error::{LoadError, printable};
use super::foreign::refuse_foreign;
use super::limits::{DEFAULT_RAM, LINUX_RAM, MAX_FILE};
use super::lines::LineInfo;
use super::linux::{self, Linux, LinuxOptions};
use super::placement::Placement;
use super::symbols::SymbolTable;
use super::{assemble, builtin, elf, flat};
use crate::arch::{PhysAddr, VirtAddr};
use crate::trace::Symbols;

bitflags::bitflags! {
    /// A segment's p_flags (gABI chapter 5, segment permissions).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct SegmentFlags: u8 {
        /// PF_R.
        const R = 1 << 0;
        /// PF_W.
        const W = 1 << 1;
        /// PF_X.
        const X = 1 << 2;
    }
}

/// One contiguous piece of an image; `vaddr`, `paddr` and `mem_size` never wrap round.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoadSegment {
    /// Its number in the file's program header table; 0 for a flat binary.
    pub index: usize,
    /// Where it is linked to run.
    pub vaddr: VirtAddr,
    /// Where it lies in RAM.
    pub paddr: PhysAddr,
    /// Its first bytes; never more than `mem_size`.
    pub data: Vec<u8>,
    /// Its size in memory; what is beyond `data` is zero.
    pub mem_size: u64,
    /// Read, write, execute. The start-up page tables do not enforce them.
    pub flags: SegmentFlags,
}

impl LoadSegment {
    /// The first virtual address after it; may be 2^64 as 0.
    #[must_use]
    pub const fn vend(&self) -> u64 {
        self.vaddr.0.wrapping_add(self.mem_size)
    }

    /// The first physical address after it.
    #[must_use]
    pub const fn pend(&self) -> u64 {
        self.paddr.0.saturating_add(self.mem_size)
    }

    /// Whether the byte at `at` is its.
    #[must_use]
    pub const fn contains(&self, at: VirtAddr) -> bool {
        at.0.wrapping_sub(self.vaddr.0) < self.mem_size
    }

    /// How errors name it: `segment 1 (0xffffffff80000000..0xffffffff80001000)`.
    #[must_use]
    pub fn shown(&self) -> String {
        format!(
            "segment {} ({:#x}..{:#x})",
            self.index,
            self.vaddr.0,
            u128::from(self.vaddr.0) + u128::from(self.mem_size)
        )
    }
}

/// What kind of file an image came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// An ELF64 executable.
    Elf64,
    /// A flat binary: bytes that go to one address.
    Flat,
    /// A source that was assembled and linked into an ELF64.
    Assembly,
    /// A Linux bzImage.
    Linux,
}

/// How to load an image.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LoadOptions {
    /// Flat binary: the physical and virtual address of its first byte
    /// ([`flat::DEFAULT_BASE`] when absent). Giving it declares the file to be flat.
    pub base: Option<u64>,
    /// Flat binary, whatever the content looks like.
    pub flat: bool,
    /// Folders that `.include` searches, after the source's own and before the built-in ones.
    pub include: Vec<PathBuf>,
    /// Symbols that an assembly source finds defined; a source that none of its files mentions
    /// one of them in is refused, as is another kind of image.
    pub define: Vec<Define>,
    /// Limits of the assembler and the linker.
    pub assembler: assemble::Limits,
    /// Linux kernels: command line and initrd; another kind of image is refused with them.
    pub linux: LinuxOptions,
}

/// An image: segments that overlap neither in virtual nor in physical memory, an entry point
/// inside one of them, and what is known of its symbols and lines.
#[derive(Clone, Debug)]
pub struct Image {
    /// The file's name as it was given, or `@NAME`.
    pub name: String,
    /// What kind of file it came from.
    pub format: Format,
    /// The first instruction.
    pub entry: VirtAddr,
    /// The pieces, by rising virtual address.
    pub segments: Vec<LoadSegment>,
    /// How the physical addresses were chosen.
    pub placement: Placement,
    /// Its symbols; empty if it has none.
    pub symbols: SymbolTable,
    /// Its line table; `None` if it has none that is well-formed.
    pub debug: Option<LineInfo>,
    /// The definitions that it was assembled with.
    pub define: Vec<Define>,
    /// Remarks for the user that are no errors, one line each.
    pub notes: Vec<String>,
    /// What a Linux kernel is told; `None` for all others.
    pub linux: Option<Box<Linux>>,
}

impl Image {
    /// Loads the file at `path`, or the built-in program that `@NAME` means.
    ///
    /// # Errors
    /// See [`LoadError`]; each names the file, the place and the mend.
    pub fn open(path: impl AsRef<Path>, options: &LoadOptions) -> Result<Self, LoadError> {
        let path = path.as_ref();
        if let Some(name) = path.to_str().and_then(|p| p.strip_prefix('@')) {
            let program = builtin::find(name)?;
            let shown = format!("@{}", program.name);
            refuse_foreign(&shown, "a built-in program", options, Format::Assembly)?;
            return assemble::program(program, options);
        }
        let name = printable(&path.to_string_lossy());
        let bytes = read(path)?;
        Self::detect(name, &bytes, path.parent(), options)
    }

    /// Loads an image from memory. `name` stands for the file in messages; its extension counts
    /// as a file's does. A source's `.include` does not search the folder that `name` is in.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn from_bytes(name: &str, bytes: &[u8], options: &LoadOptions) -> Result<Self, LoadError> {
        Self::detect(printable(name), bytes, None, options)
    }

    fn detect(
        name: String,
        bytes: &[u8],
        folder: Option<&Path>,
        options: &LoadOptions,
    ) -> Result<Self, LoadError> {
        let content = match detect::content(&name, bytes) {
            _ if options.flat => Content::Bin,
            Content::Other { .. } if options.base.is_some() => Content::Bin,
            content => content,
        };
        let (what, own) = match content {
            Content::Elf => ("an ELF file", Format::Elf64),
            Content::Linux => ("a Linux kernel", Format::Linux),
            Content::Source => ("an assembly source", Format::Assembly),
            Content::Bin => ("a flat binary", Format::Flat),
            Content::Other { looks_like, mend } => {
                return Err(LoadError::Unrecognised {
                    file: name,
                    looks_like,
                    mend,
                });
            }
        };
        refuse_foreign(&name, what, options, own)?;
        match own {
            Format::Elf64 => elf::load(name, bytes),
            Format::Linux => linux::load(name, bytes, &options.linux),
            Format::Assembly => assemble::source(name, bytes, folder, options),
            Format::Flat => flat::load(name, bytes, options.base),
        }
    }

    /// With what `read` finds in RAM, by physical address, in the place of the segments' data.
    #[must_use]
    pub fn as_in(&self, read: impl Fn(PhysAddr, &mut [u8]) -> bool) -> Self {
        let mut now = self.clone();
        for s in &mut now.segments {
            let mut data = vec![0; s.data.len()];
            if read(s.paddr, &mut data) {
                s.data = data;
            }
        }
        now
    }

    /// Checks that every segment lies inside a RAM of `ram_size` bytes.
    ///
    /// # Errors
    /// [`LoadError::BeyondRam`] names the first segment that does not.
    pub fn check_fits(&self, ram_size: u64) -> Result<(), LoadError> {
        let Some(s) = self.segments.iter().find(|s| s.pend() > ram_size) else {
            return Ok(());
        };
        let need = self.segments.iter().map(LoadSegment::pend).max();
        Err(LoadError::BeyondRam {
            file: self.name.clone(),
            segment: s.shown(),
            end: s.pend(),
            ram: ram_size,
            mend: match need {
                Some(n) if n <= super::limits::MAX_RAM => {
                    format!("give at least {} MiB of RAM", need_mib(n))
                }
                _ => "link it at lower physical addresses (AT in the linker script)".to_owned(),
            },
        })
    }

    /// The RAM that such an image is given where nothing is asked for.
    #[must_use]
    pub const fn default_ram(&self) -> u64 {
        match self.format {
            Format::Linux => LINUX_RAM,
            Format::Elf64 | Format::Flat | Format::Assembly => DEFAULT_RAM,
        }
    }

    /// The segment that holds `at`.
    #[must_use]
    pub fn segment_at(&self, at: VirtAddr) -> Option<&LoadSegment> {
        self.segments.iter().find(|s| s.contains(at))
    }

    /// The address that `place` means: `NAME`, `NAME+0x1f`, `NAME-4` or `0x…`.
    ///
    /// # Errors
    /// [`LoadError::Symbol`] with the nearest name.
    pub fn resolve(&self, place: &str) -> Result<VirtAddr, LoadError> {
        self.symbols.find(place).map_err(|fault| LoadError::Symbol {
            file: self.name.clone(),
            fault,
        })
    }
}

impl Symbols for Image {
    fn name(&self, at: VirtAddr) -> Option<String> {
        self.symbols.shown(at)
    }

    fn line(&self, at: VirtAddr) -> Option<String> {
        self.debug.as_ref()?.shown(at)
    }
}

/// MiB that hold `bytes`, and the start-up tables and stack besides; a round number.
fn need_mib(bytes: u64) -> u64 {
    (bytes + (1 << 20))
        .next_power_of_two()
        .max(DEFAULT_RAM >> 5)
        >> 20
}

/// Reads a regular file that is not too large.
///
/// # Errors
/// [`LoadError::NotFound`], [`LoadError::Unreadable`], [`LoadError::TooLarge`].
pub fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let name = &*printable(&path.to_string_lossy());
    let unreadable = |cause: String| LoadError::Unreadable {
        file: name.to_owned(),
        cause,
    };
    // Metadata first: opening a FIFO would wait for its writer.
    let meta = match std::fs::metadata(path) {
        Ok(m) => m,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(LoadError::NotFound {
                file: name.to_owned(),
            });
        }
        Err(e) => return Err(unreadable(e.to_string())),
    };
    if meta.is_dir() {
        return Err(unreadable("it is a directory".to_owned()));
    }
    if !meta.is_file() {
        return Err(unreadable("it is not a regular file".to_owned()));
    }
    let too_large = |size| LoadError::TooLarge {
        file: name.to_owned(),
        size,
        limit: MAX_FILE,
    };
    if meta.len() > MAX_FILE {
        return Err(too_large(meta.len()));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|f| f.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|e| unreadable(e.to_string()))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes)
}
