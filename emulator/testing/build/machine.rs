//! The machine itself: RAM, the code in it, the system registers; the other files put the rest in.

use std::collections::BTreeMap;

use super::super::arrange::{Arrange, Rights};
use super::super::case::Case;
use super::super::error::TestError;
use super::super::layout::{self, selector};
use super::super::mapper::{Full, Mapper, pages};
use super::super::tables;
use crate::arch::PAGE_SIZE;
use crate::arch::bits::{cr4, efer, pte, rflags};
use crate::arch::state::{Segment, TableRegister};
use crate::check::CheckConfig;
use crate::load::SegmentFlags;
use crate::load::limits::MAX_RAM;
use crate::machine::{Machine, MachineConfig};

/// RAM for tables, stacks and what tests map, beside the code.
const OWN_RAM: u64 = 2 << 20;

const LARGE_PAGE: u64 = 2 << 20;

/// What SYSCALL clears: TF, IF, DF, AC, NT.
const SFMASK: u64 = rflags::TF | rflags::IF | rflags::DF | rflags::AC | rflags::NT;

/// A machine whose registers are those of the interrupted context, before SYSCALL and handlers.
pub(in crate::testing) struct Made {
    pub(in crate::testing) machine: Machine,
    pub(in crate::testing) mapper: Mapper,
    /// Page ranges that are filled on a #PF.
    pub(in crate::testing) lazy: Vec<(u64, u64, Rights)>,
}

impl From<Full> for TestError {
    fn from(_: Full) -> Self {
        Self::setup("memory", "more pages are mapped than there is RAM for")
    }
}

/// A machine in the making.
pub(super) struct Builder<'a> {
    pub(super) case: &'a Case,
    pub(super) machine: Machine,
    pub(super) mapper: Mapper,
    pub(super) lazy: Vec<(u64, u64, Rights)>,
}

/// Makes the machine of a case.
pub(in crate::testing) fn make(case: &Case) -> Result<Made, TestError> {
    let segments = &case.program.image().segments;
    let end = segments.iter().map(|s| s.pend()).max().unwrap_or(0);
    let wanted: u64 = case
        .memory
        .iter()
        .map(|a| match a {
            Arrange::Map(_, size, _) | Arrange::Lazy(_, size, _) => {
                size.saturating_add(2 * PAGE_SIZE)
            }
            _ => 0,
        })
        .fold(0, u64::saturating_add);
    // Each page may need tables of its own.
    let ram_size = end
        .saturating_add(OWN_RAM)
        .saturating_add(wanted.saturating_mul(2))
        .checked_next_multiple_of(LARGE_PAGE)
        .filter(|size| *size <= MAX_RAM)
        .ok_or_else(|| {
            TestError::setup("memory", "the code and what is mapped do not fit in RAM")
        })?;
    let mut machine = Machine::new(MachineConfig {
        ram_size,
        cpu: case.cpu,
        ..MachineConfig::default()
    })?;
    for s in segments {
        machine.write_physical(s.paddr, &s.data);
    }
    let free = end.max(PAGE_SIZE).next_multiple_of(PAGE_SIZE);
    let mut builder = Builder {
        case,
        machine,
        mapper: Mapper::new(free, ram_size),
        lazy: Vec::new(),
    };
    builder.map_ram(ram_size)?;
    builder.map_code()?;
    builder.map_own()?;
    builder.fill_tables()?;
    builder.registers()?;
    builder.arrange()?;
    builder.context()?;
    let nmi_body = match &case.nmi_body {
        Some(place) => Some(case.program.resolve("nmi-body", place)?),
        None => None,
    };
    builder.machine.enable_checks(CheckConfig {
        nmi_body,
        transparent: Vec::new(),
    });
    Ok(Made {
        machine: builder.machine,
        mapper: builder.mapper,
        lazy: builder.lazy,
    })
}

impl Builder<'_> {
    /// All RAM, at its distance; and at its own address where that is asked for.
    fn map_ram(&mut self, ram_size: u64) -> Result<(), TestError> {
        let bits = pte::P | pte::W | pte::PS | pte::XD;
        for at in (0..ram_size).step_by(LARGE_PAGE as usize) {
            self.mapper
                .set_large(&mut self.machine, layout::DIRECT_MAP + at, at | bits)?;
            if self.case.identity {
                self.mapper.set_large(&mut self.machine, at, at | bits)?;
            }
        }
        Ok(())
    }

    /// The pages of the code's segments. Where two share a page it has the rights of both.
    fn map_code(&mut self) -> Result<(), TestError> {
        let mut mapped: BTreeMap<u64, (u64, Rights)> = BTreeMap::new();
        for s in &self.case.program.image().segments {
            let rights = Rights {
                user: false,
                write: s.flags.contains(SegmentFlags::W),
                execute: s.flags.contains(SegmentFlags::X),
            };
            let first = s.vaddr.page().0;
            for page in pages(s.vaddr.0, s.mem_size) {
                let phys = s.paddr.page().0 + (page - first);
                let (last, all) = mapped.entry(page).or_insert((phys, rights));
                *last = phys;
                all.write |= rights.write;
                all.execute |= rights.execute;
            }
        }
        for (page, (phys, rights)) in mapped {
            self.mapper
                .map(&mut self.machine, page, phys, PAGE_SIZE, rights)?;
        }
        Ok(())
    }

    /// Control and table registers and MSRs.
    fn registers(&mut self) -> Result<(), TestError> {
        let root = self.mapper.root;
        let lstar = match &self.case.syscall {
            Some(place) => self.case.program.resolve("syscall entry", place)?.0,
            None => layout::KERNEL_CODE,
        };
        let regs = &mut self.machine.cpu_mut().regs;
        regs.cr3 = root;
        regs.cr4 |= cr4::PGE;
        regs.gdtr = TableRegister {
            base: layout::GDT,
            limit: selector::TSS + 15,
        };
        regs.idtr = TableRegister {
            base: layout::IDT,
            limit: 0xfff,
        };
        regs.tr = Segment {
            selector: selector::TSS,
            base: layout::TSS,
            limit: tables::TSS_SIZE - 1,
            attr: Segment::P | 11 << Segment::TYPE_SHIFT,
        };
        regs.msr.efer |= efer::NXE | efer::SCE;
        regs.msr.star = 0x001b_0008 << 32;
        regs.msr.lstar = lstar;
        regs.msr.sfmask = SFMASK;
        for (register, value) in &self.case.machine {
            register.arrange(regs, *value)?;
        }
        Ok(())
    }
}
