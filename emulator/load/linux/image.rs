//! A bzImage as an image: the unpacked kernel, and what it is told at the start.

use std::path::PathBuf;

use super::fault::LinuxFault;
use super::initrd::{self, Initrd};
use super::setup::Setup;
pub use super::setup::is_bzimage;
use super::start::COMMAND_LINE_ROOM;
use super::{payload, vmlinux};
use crate::arch::VirtAddr;
use crate::load::error::LoadError;
use crate::load::image::{Format, Image};

/// What a kernel is started with.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LinuxOptions {
    /// Added behind the command line that is always given: the kernel takes the last of contradicting options.
    pub append: Option<String>,
    /// The file of the initrd; absent: a program of ours, `programs/linux/init.S`.
    pub initrd: Option<PathBuf>,
}

/// A command line with which kernels start without timers or interrupts.
pub const COMMAND_LINE: &str = "earlyprintk=ttyS0,keep nokaslr panic=-1 reboot=t cryptomgr.notests \
lpj=1000000 tsc=reliable no_timer_check tsc_early_khz=1000000 nolapic 8250.nr_uarts=0 \
initcall_blacklist=jent_mod_init";

/// What the start of a kernel needs beside the segments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Linux {
    /// The setup header, from 0x1f1 on.
    pub(super) header: Vec<u8>,
    /// The command line, without a NUL.
    pub command_line: String,
    /// The initrd.
    pub initrd: Vec<u8>,
    /// The highest address at which an initrd may end.
    pub(super) initrd_max: u64,
}

impl Linux {
    /// All that the kernel is told, which is no part of it.
    pub fn told(&self) -> impl Iterator<Item = &[u8]> {
        [&self.header, self.command_line.as_bytes(), &self.initrd].into_iter()
    }
}

/// Loads a bzImage.
///
/// # Errors
/// [`LoadError::Linux`].
pub fn load(name: String, bytes: &[u8], options: &LinuxOptions) -> Result<Image, LoadError> {
    let file = name.clone();
    let refused = |fault: LinuxFault| LoadError::Linux {
        file,
        fault: Box::new(fault),
    };
    let (setup, command_line, kernel) = match unpacked(bytes, options) {
        Ok(unpacked) => unpacked,
        Err(fault) => return Err(refused(fault)),
    };
    let vmlinux = vmlinux::read(&kernel).map_err(refused)?;
    let initrd = match &options.initrd {
        Some(path) => Initrd {
            bytes: crate::load::image::read(path)?,
            symbols: Vec::new(),
        },
        None => initrd::ours()?,
    };
    let symbols = vmlinux.symbols(&kernel, &initrd.symbols);
    let mut notes = Vec::new();
    if symbols.is_empty() {
        notes.push("no kallsyms tables were found: places have no names".to_owned());
    }
    Ok(Image {
        name,
        format: Format::Linux,
        entry: VirtAddr(vmlinux.entry.0),
        segments: vmlinux.segments,
        placement: vmlinux.placement,
        symbols,
        debug: None,
        notes,
        define: Vec::new(),
        linux: Some(Box::new(Linux {
            header: setup.bytes,
            command_line,
            initrd: initrd.bytes,
            initrd_max: setup.initrd_max,
        })),
    })
}

/// The setup header, the command line, and the unpacked kernel.
fn unpacked(bytes: &[u8], options: &LinuxOptions) -> Result<(Setup, String, Vec<u8>), LinuxFault> {
    let setup = Setup::read(bytes)?;
    let mut command_line = COMMAND_LINE.to_owned();
    if let Some(more) = &options.append {
        command_line = format!("{command_line} {more}");
    }
    check_command_line(&command_line, setup.command_line)?;
    let kernel = payload::unpack(&bytes[setup.payload.clone()])?;
    Ok((setup, command_line, kernel))
}

/// Whether the kernel, which takes `limit` bytes, and the place in RAM take it.
fn check_command_line(command_line: &str, limit: usize) -> Result<(), LinuxFault> {
    if limit < COMMAND_LINE.len() {
        return Err(LinuxFault::Header {
            problem: format!(
                "cmdline_size is {limit}, less than the {} bytes that every kernel is given",
                COMMAND_LINE.len()
            ),
        });
    }
    let (whose, limit) = if limit < COMMAND_LINE_ROOM {
        ("this kernel's limit", limit)
    } else {
        ("the limit of its place in RAM", COMMAND_LINE_ROOM)
    };
    if command_line.len() > limit {
        return Err(LinuxFault::CommandLine {
            len: command_line.len(),
            whose,
            limit,
        });
    }
    Ok(())
}
