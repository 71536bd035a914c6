//! The state in which the 64-bit boot protocol starts a kernel (Documentation/arch/x86/boot, "64-bit
//! Boot Protocol").
//!
//! ```text
//!   0x10000   zero page; RSI points to it
//!   0x11000   command line
//!   0x12000   GDT: code at 0x10, data at 0x18
//!   0x13000   stack, one page, of which the kernel needs nothing
//!   0x14000   page tables: all RAM at its own address
//!   top       initrd, as high as RAM and the kernel allow
//! ```

use super::fault::LinuxFault;
use super::image::Linux;
use super::zero_page::{Told, page};
use crate::arch::bits::pte;
use crate::arch::state::gpr;
use crate::arch::{CpuState, PAGE_SIZE, PhysAddr, SegReg, Segment, TableRegister};
use crate::load::boot::{APIC_PAGE, Boot, BootLayout, descriptor};
use crate::load::error::LoadError;
use crate::load::image::{Image, LoadSegment};
use crate::load::paging::Tables;

const ZERO_PAGE: u64 = 0x1_0000;
const COMMAND_LINE: u64 = 0x1_1000;
const GDT: u64 = 0x1_2000;
const STACK: u64 = 0x1_3000;
const TABLES: u64 = 0x1_4000;

/// The longest command line, without its NUL, that fits below the GDT.
pub(super) const COMMAND_LINE_ROOM: usize = (GDT - COMMAND_LINE) as usize - 1;

const CODE: u16 = 0x10;
const DATA: u16 = 0x18;

/// The start of `image`, whose RAM, segments and command line have been checked.
pub fn start(image: &Image, linux: &Linux, ram_size: u64) -> Result<Boot, LoadError> {
    let mut tables = Tables::new();
    tables.map(0, 0, ram_size, pte::W);
    let tables_end = TABLES + tables.size();
    let no_room = |need| LoadError::NoRoom {
        file: image.name.clone(),
        need,
        ram: ram_size,
    };
    if let Some(low) = image.segments.iter().find(|s| s.paddr.0 < tables_end) {
        let fault = LinuxFault::Low {
            at: low.paddr,
            end: PhysAddr(tables_end),
        };
        return Err(LoadError::Linux {
            file: image.name.clone(),
            fault: Box::new(fault),
        });
    }

    let size = linux.initrd.len() as u64;
    let kernel = image.segments.iter().map(LoadSegment::pend).max();
    let top = ram_size.min(linux.initrd_max + 1).min(APIC_PAGE);
    let initrd = top.checked_sub(size).map(|at| at & !(PAGE_SIZE - 1));
    let initrd = initrd.filter(|&at| at >= kernel.unwrap_or(0));
    let initrd = PhysAddr(initrd.ok_or_else(|| no_room(size))?);

    let zero_page = page(&Told {
        header: &linux.header,
        command_line: PhysAddr(COMMAND_LINE),
        initrd: (initrd, size),
        ram: ram_size,
    });
    let mut command_line = linux.command_line.clone().into_bytes();
    command_line.push(0);
    let code = Segment::flat_code64(CODE, 0);
    let data = Segment::flat_data(DATA, 0);
    let gdt: Vec<u8> = [0, 0, descriptor(&code), descriptor(&data)]
        .into_iter()
        .flat_map(u64::to_le_bytes)
        .collect();

    let mut regs = CpuState::long_mode();
    regs.rip = image.entry.0;
    regs.gpr[gpr::RSI] = ZERO_PAGE;
    regs.gpr[gpr::RSP] = TABLES;
    regs.cr3 = TABLES;
    regs.gdtr = TableRegister {
        base: GDT,
        limit: (gdt.len() - 1) as u16,
    };
    for seg in [SegReg::Es, SegReg::Ss, SegReg::Ds, SegReg::Fs, SegReg::Gs] {
        regs.seg[seg as usize] = data;
    }
    regs.seg[SegReg::Cs as usize] = code;

    let mut writes = vec![
        (PhysAddr(ZERO_PAGE), zero_page),
        (PhysAddr(COMMAND_LINE), command_line),
        (PhysAddr(GDT), gdt),
        (PhysAddr(TABLES), tables.place(TABLES)),
    ];
    let segments = image.segments.iter().filter(|s| !s.data.is_empty());
    writes.extend(segments.map(|s| (s.paddr, s.data.clone())));
    writes.push((initrd, linux.initrd.clone()));
    writes.sort_by_key(|w| w.0);
    Ok(Boot {
        regs,
        writes,
        layout: BootLayout {
            stack: PhysAddr(STACK),
            gdt: PhysAddr(GDT),
            tables: PhysAddr(TABLES),
            end: PhysAddr(tables_end),
        },
    })
}
