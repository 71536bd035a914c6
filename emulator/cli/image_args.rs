//! Options that say what is loaded.

use std::path::PathBuf;

use iretrace::load::{Define, Image, LinuxOptions, LoadOptions};
use iretrace::trace::{ImageInfo, image_hash};

use super::failure::Failure;
use super::number;

/// What is loaded, and how.
#[derive(Debug, clap::Args)]
pub struct ImageArgs {
    /// ELF64 file, Linux kernel (a bzImage: /boot/vmlinuz-...), flat binary, assembly source (.S, .s,
    /// .asm), or @NAME for a built-in program
    pub image: PathBuf,

    /// Treat the image as a flat binary, whatever it looks like
    #[arg(long, help_heading = "Image")]
    pub flat: bool,

    /// Load address of a flat binary [default: 0x100000]
    #[arg(long, value_name = "ADDR", value_parser = number::size, help_heading = "Image")]
    pub base: Option<u64>,

    /// Search this folder for what an assembly source includes (repeatable)
    #[arg(
        short = 'I',
        long = "include",
        value_name = "DIR",
        help_heading = "Image"
    )]
    pub include: Vec<PathBuf>,

    /// Define a symbol for an assembly source (repeatable): TASKS=8 is TASKS = 8, PAGES=lazy is
    /// PAGES.lazy = 1, which '.ifdef PAGES.lazy' asks for, and PAGES = -1
    #[arg(
        short = 'D',
        long,
        value_name = "NAME=NUMBER|NAME=WORD",
        help_heading = "Image"
    )]
    pub define: Vec<Define>,

    /// Linux kernel: unpack this into its first file system (a cpio archive, packed or not) [default: an
    /// archive with an init of its own]
    #[arg(long, value_name = "FILE", help_heading = "Image")]
    pub initrd: Option<PathBuf>,

    /// Linux kernel: add this to its command line, which lets it start without timers
    #[arg(
        long,
        value_name = "TEXT",
        allow_hyphen_values = true,
        help_heading = "Image"
    )]
    pub append: Option<String>,
}

impl ImageArgs {
    /// The options that load it again, but for --flat, and the values of them.
    pub fn words(&self) -> Vec<(&'static str, String)> {
        let path = |p: &PathBuf| p.to_string_lossy().into_owned();
        let base = self.base.map(|b| ("--base", format!("{b:#x}")));
        let include = self.include.iter().map(|p| ("--include", path(p)));
        let define = self.define.iter().map(|d| ("--define", d.to_string()));
        let initrd = self.initrd.as_ref().map(|p| ("--initrd", path(p)));
        let append = self.append.clone().map(|text| ("--append", text));
        let words = base.into_iter().chain(include).chain(define);
        words.chain(initrd).chain(append).collect()
    }

    /// Loads it.
    pub fn open(&self) -> Result<Image, Failure> {
        let options = LoadOptions {
            base: self.base,
            flat: self.flat,
            include: self.include.clone(),
            define: self.define.clone(),
            linux: LinuxOptions {
                append: self.append.clone(),
                initrd: self.initrd.clone(),
            },
            ..LoadOptions::default()
        };
        Ok(Image::open(&self.image, &options)?)
    }
}

/// What a trace's header says of `image`: the size and hash of what is loaded, so that a source's
/// includes and the assembler's work count too, and its definitions do, as does all that a Linux kernel
/// is told.
pub fn describe(image: &Image) -> ImageInfo {
    let mut all = Vec::new();
    let mut size = 0;
    all.extend(image.entry.0.to_le_bytes());
    for s in &image.segments {
        size += s.data.len() as u64;
        for n in [s.vaddr.0, s.paddr.0, s.mem_size, s.data.len() as u64] {
            all.extend(n.to_le_bytes());
        }
        all.extend(&s.data);
    }
    for define in &image.define {
        all.extend(define.to_string().bytes().chain([0]));
    }
    for told in image.linux.iter().flat_map(|l| l.told()) {
        size += told.len() as u64;
        all.extend((told.len() as u64).to_le_bytes());
        all.extend(told);
    }
    ImageInfo {
        name: image.name.clone(),
        size,
        hash: Some(image_hash(&all)),
    }
}
