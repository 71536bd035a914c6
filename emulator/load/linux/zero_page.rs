//! The zero page, `struct boot_params` (Documentation/arch/x86/zero-page): what the kernel is told.

use super::setup::HEADER;
use crate::arch::{PAGE_SIZE, PhysAddr};

/// Offsets.
mod at {
    pub(super) const E820_ENTRIES: usize = 0x1e8;
    pub(super) const TYPE_OF_LOADER: usize = 0x210;
    pub(super) const LOADFLAGS: usize = 0x211;
    pub(super) const RAMDISK_IMAGE: usize = 0x218;
    pub(super) const RAMDISK_SIZE: usize = 0x21c;
    pub(super) const CMD_LINE_PTR: usize = 0x228;
    pub(super) const E820_TABLE: usize = 0x2d0;
}

/// `type_of_loader`: none that has a number.
const OTHER_LOADER: u8 = 0xff;
/// In `loadflags`: heap_end_ptr is valid. It is the setup code's, which does not run.
const CAN_USE_HEAP: u8 = 0x80;
/// E820 type: usable RAM.
const RAM: u32 = 1;
/// Where the ROMs and the video memory of a PC begin, and RAM goes on.
const HOLE: (u64, u64) = (0xa_0000, 0x10_0000);

/// What it is made from.
pub(super) struct Told<'a> {
    /// The setup header, from [`HEADER`] on.
    pub(super) header: &'a [u8],
    pub(super) command_line: PhysAddr,
    /// Where the initrd lies, and its size.
    pub(super) initrd: (PhysAddr, u64),
    pub(super) ram: u64,
}

/// Its page.
pub(super) fn page(told: &Told<'_>) -> Vec<u8> {
    let mut page = vec![0; PAGE_SIZE as usize];
    page[HEADER..HEADER + told.header.len()].copy_from_slice(told.header);
    page[at::TYPE_OF_LOADER] = OTHER_LOADER;
    page[at::LOADFLAGS] &= !CAN_USE_HEAP;
    let mut long = |at: usize, value: u64| {
        page[at..at + 4].copy_from_slice(&(value as u32).to_le_bytes());
    };
    long(at::CMD_LINE_PTR, told.command_line.0);
    long(at::RAMDISK_IMAGE, told.initrd.0.0);
    long(at::RAMDISK_SIZE, told.initrd.1);
    let map = [(0, HOLE.0), (HOLE.1, told.ram)];
    for (n, (from, to)) in map.into_iter().enumerate() {
        let entry = at::E820_TABLE + 20 * n;
        page[entry..entry + 8].copy_from_slice(&from.to_le_bytes());
        page[entry + 8..entry + 16].copy_from_slice(&(to - from).to_le_bytes());
        page[entry + 16..entry + 20].copy_from_slice(&RAM.to_le_bytes());
    }
    page[at::E820_ENTRIES] = map.len() as u8;
    page
}
