//! The state in which an image starts: long mode, on tables that are made here.
//!
//! # Memory
//! RAM is physical `0..ram_size`, zero but for what [`Boot::writes`] says. The local APIC's page
//! at `0xfee00000` hides the RAM below it. The *start-up area* is one run of RAM:
//!
//! ```text
//!   low   stack, 16 KiB; RSP is its end                      STACK_SIZE
//!         GDT, one page                                      Boot::layout.gdt
//!   high  page tables, the PML4 (CR3) first                  Boot::layout.tables
//! ```
//!
//! It is as high as possible below the smaller of `ram_size` and `0xfee00000`, clear of every
//! segment's physical and virtual addresses; so its own addresses are never hidden by the image,
//! and an image may use the memory behind its end.
//!
//! # Mapping
//! 4-level paging. Later lines go before earlier ones where they meet:
//! 1. all RAM at its own address, with 2 MiB pages where they fit, else 4 KiB;
//! 2. `0xfee00000`, one 4 KiB page, uncacheable (PCD and PWT);
//! 3. each segment of the image at its virtual address, whole pages.
//!
//! Every page is supervisor, writable and executable; segments' own rights are not enforced.
//! A, D and G are clear everywhere. Page 0 is mapped: a kernel that wants null pointers to fault
//! unmaps it.
//!
//! # GDT
//! In the order that SYSCALL and SYSRET want (`STAR = 0x001b_0008 << 32`):
//!
//! | selector | segment |
//! | --- | --- |
//! | 0x00 | null |
//! | 0x08 | code, 64-bit, DPL 0 |
//! | 0x10 | data, DPL 0 |
//! | 0x18 | code, 32-bit, DPL 3 |
//! | 0x20 | data, DPL 3 |
//! | 0x28 | code, 64-bit, DPL 3 |
//!
//! # Registers
//! [`CpuState::long_mode`] with RIP at the entry point, RSP at the end of the stack (a multiple
//! of 16; nothing is pushed), CR3 at the PML4 and GDTR at the GDT (limit 0x2f). So: CPL 0; CS 0x08
//! and the other segment registers 0x10; all general registers but RSP are 0, RDI and RSI too;
//! RFLAGS 2, interrupts off; IDTR and LDTR empty, TR a null busy TSS, so any event before LIDT ends
//! in a triple fault; CR0 = PE, MP, ET, NE, WP, PG; CR4 = PAE, OSFXSR, OSXMMEXCPT; EFER = LME, LMA.
//! NXE and SCE are off: the kernel sets them (EFER bits 11 and 0) when it wants them.

use super::error::LoadError;
use super::image::{Image, LoadSegment};
use super::limits::{MAX_RAM, MIN_RAM};
use super::paging::Tables;
use crate::arch::bits::pte;
use crate::arch::state::gpr;
use crate::arch::{CpuModel, CpuState, PAGE_SIZE, PhysAddr, Segment, TableRegister};

/// Bytes of the start-up stack.
pub const STACK_SIZE: u64 = 16 << 10;

/// The local APIC's page after a reset (SDM vol. 3, Local APIC Status and Location).
pub const APIC_PAGE: u64 = 0xfee0_0000;

/// The GDT, from selector 8 on.
pub(crate) const GDT: [Segment; 5] = [
    Segment::flat_code64(0x08, 0),
    Segment::flat_data(0x10, 0),
    Segment::flat_code32(0x18, 3),
    Segment::flat_data(0x20, 3),
    Segment::flat_code64(0x28, 3),
];

/// Where the start-up area lies, in physical memory and at the same linear addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BootLayout {
    /// The stack's lowest byte; it ends at `gdt`.
    pub stack: PhysAddr,
    /// The GDT's page.
    pub gdt: PhysAddr,
    /// The PML4; the other tables follow.
    pub tables: PhysAddr,
    /// The first byte after the tables.
    pub end: PhysAddr,
}

/// What a machine needs to start an image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Boot {
    /// All registers.
    pub regs: CpuState,
    /// What is in RAM, by rising address, without overlap; the rest is zero.
    pub writes: Vec<(PhysAddr, Vec<u8>)>,
    /// Where the start-up area is.
    pub layout: BootLayout,
}

/// The state in which `image` starts on a machine with `ram_size` bytes of RAM.
///
/// # Errors
/// A RAM size that is no multiple of 4096 from 1 MiB to 64 GiB or to the model's physical
/// addresses, or an image that does not fit in it.
pub fn boot(image: &Image, ram_size: u64, model: &CpuModel) -> Result<Boot, LoadError> {
    check_ram(ram_size, model)?;
    image.check_fits(ram_size)?;
    for s in &image.segments {
        if s.paddr.0 < APIC_PAGE + PAGE_SIZE && s.pend() > APIC_PAGE {
            return Err(LoadError::CoversApic {
                file: image.name.clone(),
                segment: s.shown(),
            });
        }
    }
    if let Some(linux) = &image.linux {
        return super::linux::start(image, linux, ram_size);
    }
    check_shared_pages(image)?;

    let mut tables = Tables::new();
    tables.map(0, 0, ram_size, pte::W);
    tables.map(
        APIC_PAGE,
        APIC_PAGE,
        PAGE_SIZE,
        pte::W | pte::PCD | pte::PWT,
    );
    for s in image.segments.iter().filter(|s| s.vaddr.0 != s.paddr.0) {
        let (start, size) = pages(s.vaddr.0, s.mem_size);
        tables.map(start, s.paddr.page().0, size, pte::W);
    }

    let need = STACK_SIZE + PAGE_SIZE + tables.size();
    let stack = area(&image.segments, need, ram_size).ok_or_else(|| LoadError::NoRoom {
        file: image.name.clone(),
        need,
        ram: ram_size,
    })?;
    let layout = BootLayout {
        stack: PhysAddr(stack),
        gdt: PhysAddr(stack + STACK_SIZE),
        tables: PhysAddr(stack + STACK_SIZE + PAGE_SIZE),
        end: PhysAddr(stack + need),
    };

    let gdt: Vec<u8> = std::iter::once(0)
        .chain(GDT.iter().map(descriptor))
        .flat_map(u64::to_le_bytes)
        .collect();
    let mut regs = CpuState::long_mode();
    regs.rip = image.entry.0;
    regs.gpr[gpr::RSP] = layout.gdt.0;
    regs.cr3 = layout.tables.0;
    regs.gdtr = TableRegister {
        base: layout.gdt.0,
        limit: (gdt.len() - 1) as u16,
    };

    let mut writes = vec![
        (layout.gdt, gdt),
        (layout.tables, tables.place(layout.tables.0)),
    ];
    let data = image.segments.iter().filter(|s| !s.data.is_empty());
    writes.extend(data.map(|s| (s.paddr, s.data.clone())));
    writes.sort_by_key(|w| w.0);
    Ok(Boot {
        regs,
        writes,
        layout,
    })
}

fn check_ram(ram: u64, model: &CpuModel) -> Result<(), LoadError> {
    let addresses = 1u64.checked_shl(model.maxphyaddr.into());
    let max = addresses.map_or(MAX_RAM, |a| a.min(MAX_RAM));
    let problem = if ram < MIN_RAM {
        "too small"
    } else if ram > max {
        "too large"
    } else if !ram.is_multiple_of(PAGE_SIZE) {
        "not whole pages"
    } else {
        return Ok(());
    };
    Err(LoadError::RamSize {
        ram,
        problem,
        min: MIN_RAM,
        max,
    })
}

/// The whole pages that hold `start..start + size`: the first's address, and their bytes.
const fn pages(start: u64, size: u64) -> (u64, u64) {
    let first = start & !(PAGE_SIZE - 1);
    let offset = start - first;
    (first, (offset + size).next_multiple_of(PAGE_SIZE))
}

/// Neighbours may share a virtual page only if they share its frame.
fn check_shared_pages(image: &Image) -> Result<(), LoadError> {
    for pair in image.segments.windows(2) {
        let (a, b) = (&pair[0], &pair[1]);
        let last = a.vaddr.0.wrapping_add(a.mem_size.saturating_sub(1));
        let page = b.vaddr.page().0;
        let distance = |s: &LoadSegment| s.paddr.0.wrapping_sub(s.vaddr.0);
        if last & !(PAGE_SIZE - 1) == page && distance(a) != distance(b) {
            return Err(LoadError::SharedPage {
                file: image.name.clone(),
                first: a.shown(),
                second: b.shown(),
                page,
            });
        }
    }
    Ok(())
}

/// The highest run of `need` bytes that no segment touches, physically or virtually.
fn area(segments: &[LoadSegment], need: u64, ram: u64) -> Option<u64> {
    let mut taken: Vec<(u64, u64)> = Vec::with_capacity(2 * segments.len());
    for s in segments {
        for at in [s.paddr.0, s.vaddr.0] {
            let (start, size) = pages(at, s.mem_size);
            taken.push((start, start.saturating_add(size)));
        }
    }
    taken.sort_by_key(|t| std::cmp::Reverse(t.1));
    let mut end = ram.min(APIC_PAGE);
    for (from, to) in taken {
        if end.checked_sub(need)? >= to {
            break;
        }
        end = end.min(from);
    }
    end.checked_sub(need)
}

/// The eight bytes of a code or data descriptor (SDM vol. 3, 3.4.5).
pub(crate) const fn descriptor(s: &Segment) -> u64 {
    // G is set in all of them, so the limit field counts 4 KiB units.
    let limit = (s.limit >> 12) as u64;
    (limit & 0xffff)
        | ((s.base & 0xff_ffff) << 16)
        | ((s.attr as u64) << 32)
        | ((limit >> 16) << 48)
        | (((s.base >> 24) & 0xff) << 56)
}

#[cfg(test)]
mod tests;
