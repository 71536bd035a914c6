//! The kernel that a bzImage holds: an ELF whose entry point is a physical address.

use super::fault::LinuxFault;
use super::kallsyms;
use crate::arch::{PhysAddr, VirtAddr};
use crate::load::elf;
use crate::load::elf_fault::ElfFault;
use crate::load::image::LoadSegment;
use crate::load::placement::{self, Placement};
use crate::load::symbols::SymbolTable;

/// What is started.
pub(super) struct Vmlinux {
    pub(super) entry: PhysAddr,
    pub(super) segments: Vec<LoadSegment>,
    pub(super) placement: Placement,
}

/// Reads it.
pub(super) fn read(bytes: &[u8]) -> Result<Vmlinux, LinuxFault> {
    let (entry, mut segments) = elf::entry_and_segments(bytes).map_err(|fault| match fault {
        ElfFault::Class { class } => {
            LinuxFault::not_64_bit("unpacked kernel", format!("a 32-bit ELF (class {class})"))
        }
        ElfFault::Machine { machine, name } => {
            LinuxFault::not_64_bit("unpacked kernel", format!("made for {name} ({machine})"))
        }
        fault => LinuxFault::Elf(fault),
    })?;
    let placement = placement::place(&mut segments).map_err(LinuxFault::Elf)?;
    let inside = |s: &LoadSegment| entry.wrapping_sub(s.paddr.0) < s.mem_size;
    if !segments.iter().any(inside) {
        return Err(LinuxFault::Elf(ElfFault::Entry { entry }));
    }
    Ok(Vmlinux {
        entry: PhysAddr(entry),
        segments,
        placement,
    })
}

impl Vmlinux {
    /// The symbols that it carries in `bytes`, and `more`, which its processes have.
    pub(super) fn symbols(&self, bytes: &[u8], more: &[(String, VirtAddr, u64)]) -> SymbolTable {
        let found = kallsyms::symbols(bytes);
        // Addresses of the image alone: per-CPU offsets and constants name nothing.
        let kernel = |at: u64| {
            self.segments
                .iter()
                .any(|s| s.vaddr.0 != 0 && at.wrapping_sub(s.vaddr.0) <= s.mem_size)
        };
        let named = found
            .iter()
            .filter(|s| kernel(s.2))
            .map(|s| (&*s.1, VirtAddr(s.2), 0))
            .chain(more.iter().map(|s| (&*s.0, s.1, s.2)));
        let last = self.segments.iter().map(|s| s.vend().wrapping_sub(1)).max();
        SymbolTable::from_list(named, VirtAddr(last.unwrap_or(0)))
    }
}
