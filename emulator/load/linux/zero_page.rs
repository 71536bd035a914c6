//! The zero page, `struct boot_params` (Documentation/arch/x86/zero-page): what the kernel is told.

use super::setup::HEADER;
use crate::arch::{PAGE_SIZE, PhysAddr};
use crate::load::boot::APIC_PAGE;

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
/// Where RAM is not to be used, by rising address: the ROMs and the video memory of a PC, and the local
/// APIC's page, which hides it.
const HOLES: [(u64, u64); 2] = [(0xa_0000, 0x10_0000), (APIC_PAGE, APIC_PAGE + PAGE_SIZE)];

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
    let map = usable(told.ram);
    for (n, (from, to)) in map.iter().enumerate() {
        let entry = at::E820_TABLE + 20 * n;
        page[entry..entry + 8].copy_from_slice(&from.to_le_bytes());
        page[entry + 8..entry + 16].copy_from_slice(&(to - from).to_le_bytes());
        page[entry + 16..entry + 20].copy_from_slice(&RAM.to_le_bytes());
    }
    page[at::E820_ENTRIES] = map.len() as u8;
    page
}

/// The ranges of RAM that the kernel may use.
fn usable(ram: u64) -> Vec<(u64, u64)> {
    let begins = std::iter::once(0).chain(HOLES.map(|hole| hole.1));
    let ends = HOLES.map(|hole| hole.0.min(ram)).into_iter().chain([ram]);
    begins.zip(ends).filter(|(from, to)| from < to).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The entries of the table in a page (Documentation/arch/x86/zero-page: e820_entries at 0x1e8,
    /// e820_table at 0x2d0, 20 bytes each).
    fn e820(ram: u64) -> Vec<(u64, u64, u32)> {
        let page = page(&Told {
            header: &[],
            command_line: PhysAddr(0),
            initrd: (PhysAddr(0), 0),
            ram,
        });
        let long = |at: usize| u64::from_le_bytes(page[at..at + 8].try_into().unwrap());
        (0..usize::from(page[0x1e8]))
            .map(|n| 0x2d0 + 20 * n)
            .map(|at| (long(at), long(at + 8), long(at + 16) as u32))
            .collect()
    }

    #[test]
    fn no_usable_ram_where_something_hides_it() {
        let low = (0, 0xa_0000, 1);
        let below_4g = (0x10_0000, 0xfed0_0000, 1);
        for (ram, high) in [
            (0x10_0000, &[][..]),
            (0x1000_0000, &[(0x10_0000, 0xff0_0000, 1)]),
            (0xfee0_0000, &[below_4g]),
            // Up to the end of the local APIC's page, and one page more.
            (0xfee0_1000, &[below_4g]),
            (0xfee0_2000, &[below_4g, (0xfee0_1000, 0x1000, 1)]),
            (8 << 30, &[below_4g, (0xfee0_1000, 0x1_011f_f000, 1)]),
        ] {
            assert_eq!(e820(ram), [&[low], high].concat(), "{ram:#x}");
        }
    }
}
