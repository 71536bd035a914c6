//! The machine of a case, before anything is interrupted.

use super::case::{Arrange, Case, Rights};
use super::context::Mode;
use super::error::TestError;
use super::layout::{self, STACK_SIZE, Stack, selector};
use super::mapper::{Full, Mapper};
use super::stub::Stub;
use super::tables;
use crate::arch::bits::{cr4, efer, pte, rflags};
use crate::arch::state::{SegReg, Segment, TableRegister, gpr};
use crate::arch::{PAGE_SIZE, PhysAddr, Vector, VirtAddr};
use crate::check::CheckConfig;
use crate::load::SegmentFlags;
use crate::load::limits::MAX_RAM;
use crate::machine::{Machine, MachineConfig};
use crate::schedule::pushes_error_code;

/// RAM for tables, stacks and what tests map, beside the code.
const OWN_RAM: u64 = 2 << 20;

const LARGE_PAGE: u64 = 2 << 20;

/// Pages of the user's stack.
const USER_STACK_PAGES: u64 = 4;

/// What SYSCALL clears: TF, IF, DF, AC, NT.
const SFMASK: u64 = rflags::TF | rflags::IF | rflags::DF | rflags::AC | rflags::NT;

/// A machine whose registers are those of the interrupted context, before SYSCALL and handlers.
pub(super) struct Made {
    pub(super) machine: Machine,
    pub(super) mapper: Mapper,
    /// Page ranges that are filled on a #PF.
    pub(super) lazy: Vec<(u64, u64, Rights)>,
}

impl From<Full> for TestError {
    fn from(_: Full) -> Self {
        Self::setup("memory", "more pages are mapped than there is RAM for")
    }
}

struct Builder<'a> {
    case: &'a Case,
    machine: Machine,
    mapper: Mapper,
    lazy: Vec<(u64, u64, Rights)>,
}

pub(super) fn make(case: &Case) -> Result<Made, TestError> {
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
        }
        if self.case.identity {
            let rights = Rights::KERNEL;
            self.mapper.map(&mut self.machine, 0, 0, ram_size, rights)?;
        }
        Ok(())
    }

    fn map_code(&mut self) -> Result<(), TestError> {
        for s in &self.case.program.image().segments {
            let rights = Rights {
                user: false,
                write: s.flags.contains(SegmentFlags::W),
                execute: s.flags.contains(SegmentFlags::X),
            };
            let first = s.vaddr.page().0;
            let pages = super::mapper::pages(s.vaddr.0, s.mem_size);
            for page in pages {
                let old = self.mapper.entry(&mut self.machine, page)?;
                let mut rights = rights;
                if old & pte::P != 0 && !self.case.identity {
                    // Two segments share the page.
                    rights.write |= old & pte::W != 0;
                    rights.execute |= old & pte::XD == 0;
                }
                let phys = s.paddr.page().0 + (page - first);
                self.mapper
                    .map(&mut self.machine, page, phys, PAGE_SIZE, rights)?;
            }
        }
        Ok(())
    }

    /// A page of the harness's, with what is in it.
    fn page(&mut self, at: u64, bytes: &[u8], rights: Rights) -> Result<(), TestError> {
        for (n, part) in bytes.chunks(PAGE_SIZE as usize).enumerate() {
            let frame = self.mapper.frame()?;
            self.machine.write_physical(PhysAddr(frame), part);
            let at = at + n as u64 * PAGE_SIZE;
            self.mapper
                .map(&mut self.machine, at, frame, PAGE_SIZE, rights)?;
        }
        Ok(())
    }

    fn map_own(&mut self) -> Result<(), TestError> {
        let code = Rights {
            user: false,
            write: false,
            execute: true,
        };
        // HLT, and a jump to itself.
        let stray: Vec<u8> = (0..256)
            .flat_map(|_| [0xf4, 0xeb, 0xfe].into_iter().chain([0x90; 13]))
            .collect();
        self.page(layout::STRAY, &stray, code)?;
        let quiet: Vec<u8> = (0..=255).flat_map(|v| quiet(Vector(v))).collect();
        self.page(layout::QUIET, &quiet, code)?;
        let mut nops = vec![0x90; PAGE_SIZE as usize];
        nops[PAGE_SIZE as usize - 2..].copy_from_slice(&[0xeb, 0xfe]);
        self.page(layout::KERNEL_CODE, &nops, code)?;
        nops[(layout::USER_SYSCALL - layout::USER_CODE) as usize..][..2]
            .copy_from_slice(&[0x0f, 0x05]);
        self.page(layout::USER_CODE, &nops, Rights { user: true, ..code })?;
        let zero = [0; PAGE_SIZE as usize];
        self.page(layout::KERNEL_GS, &zero, Rights::KERNEL)?;
        self.page(layout::USER_GS, &zero, Rights::USER)?;
        for stack in Stack::ALL {
            let bottom = stack.top() - STACK_SIZE;
            self.mapper
                .provide(&mut self.machine, bottom, STACK_SIZE, Rights::KERNEL)?;
        }
        let size = USER_STACK_PAGES * PAGE_SIZE;
        self.mapper.provide(
            &mut self.machine,
            layout::USER_STACK - size,
            size,
            Rights::USER,
        )?;
        self.map_stubs(code)
    }

    fn map_stubs(&mut self, code: Rights) -> Result<(), TestError> {
        let stubs = self.case.program.stubs();
        for (name, _) in &self.case.stub {
            if !stubs.iter().any(|s| s.0 == *name) {
                return Err(TestError::setup(
                    format!("stub {name}"),
                    "the code defines it, or never refers to it",
                ));
            }
        }
        let (Some(first), Some(last)) = (stubs.first(), stubs.last()) else {
            return Ok(());
        };
        // A function that a page fault's handler calls may fault itself.
        let page_fault = self.case.raise.vectors().any(|v| v == Vector::PF)
            || (self.case.raise.events().is_empty()
                && self.case.gates.iter().any(|g| g.vector == Vector::PF));
        let from = first.1.page().0;
        let size = (last.1.0 + layout::STUB_SIZE).next_multiple_of(PAGE_SIZE) - from;
        let mut bytes = vec![0xcc; size as usize];
        for (name, at) in stubs {
            let own = self.case.stub.iter().rev().find(|s| s.0 == *name);
            let stub = own.map_or(Stub::default(), |s| s.1);
            let stub = stub.code(page_fault);
            bytes[(at.0 - from) as usize..][..stub.len()].copy_from_slice(&stub);
        }
        self.page(from, &bytes, code)
    }

    fn fill_tables(&mut self) -> Result<(), TestError> {
        let case = self.case;
        self.page(layout::GDT, &tables::gdt(), Rights::KERNEL)?;
        let mut tops = tables::tops();
        for (index, place) in &case.stacks {
            let Some(top) = tops.get_mut(usize::from(*index)) else {
                return Err(TestError::setup(
                    format!("stack {index}"),
                    "write 0 for RSP0, 1 to 7 for IST1 to IST7",
                ));
            };
            *top = case.program.resolve("stack", place)?.0;
        }
        self.page(layout::TSS, &tables::tss(tops), Rights::KERNEL)?;
        let mut idt = Vec::with_capacity(PAGE_SIZE as usize);
        for n in 0..=255u8 {
            let own = case.gates.iter().find(|g| g.vector.0 == n);
            let gate = match own {
                Some(g) => {
                    let handler = case.program.resolve("gate", &g.handler)?;
                    tables::gate(handler.0, g.ist, g.dpl, g.trap)
                }
                None => {
                    let quiet = case.quiet.iter().any(|v| v.0 == n)
                        || case.context.inside.iter().any(|i| i.0.0 == n);
                    let page = if quiet { layout::QUIET } else { layout::STRAY };
                    // An NMI or #DF may come on any stack.
                    let ist = if matches!(n, 2 | 8 | 18) { 7 } else { 0 };
                    tables::gate(page + 16 * u64::from(n), ist, 0, false)
                }
            };
            idt.extend(gate);
        }
        self.page(layout::IDT, &idt, Rights::KERNEL)
    }

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
            if !register.set(regs, *value) {
                return Err(TestError::setup(
                    register.name(),
                    "a selector cannot be set by itself",
                ));
            }
        }
        Ok(())
    }

    fn arrange(&mut self) -> Result<(), TestError> {
        for step in &self.case.memory {
            let resolve = |place| self.case.program.resolve("memory", place);
            match step {
                Arrange::Map(place, size, rights) => {
                    let at = check_range(resolve(place)?, *size)?;
                    self.mapper.provide(&mut self.machine, at, *size, *rights)?;
                }
                Arrange::Unmap(place, size) => {
                    let at = check_range(resolve(place)?, *size)?;
                    self.mapper.withdraw(&mut self.machine, at, *size)?;
                }
                Arrange::Lazy(place, size, rights) => {
                    let at = check_range(resolve(place)?, *size)?;
                    self.mapper.withdraw(&mut self.machine, at, *size)?;
                    self.lazy.push((at, *size, *rights));
                }
                Arrange::Write(place, bytes) => {
                    let at = resolve(place)?;
                    if !poke(&mut self.machine, at.0, bytes) {
                        return Err(TestError::setup(
                            format!("memory {place}"),
                            "not all of it is mapped: map it first",
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// The registers of the interrupted code.
    fn context(&mut self) -> Result<(), TestError> {
        let case = self.case;
        let context = &case.context;
        let at = match &context.at {
            Some(place) => Some(case.program.resolve("context", place)?.0),
            None => None,
        };
        let user = context.mode != Mode::Kernel;
        if context.mode == Mode::User
            && let Some(at) = at
        {
            let entry = self.mapper.entry(&mut self.machine, at)?;
            self.mapper.set(&mut self.machine, at, entry | pte::U)?;
        }
        let (user_gs, kernel_gs) = match context.gs {
            super::context::Gs::Bases { user, kernel } => (user, kernel),
            super::context::Gs::Unused => (0, 0),
        };
        let regs = &mut self.machine.cpu_mut().regs;
        for (n, register) in regs.gpr.iter_mut().enumerate() {
            *register = 0x5eed_0000_0000_0055 | (n as u64) << 12;
        }
        // 8 modulo 16: delivery aligns the stack, whatever it was.
        let (rip, rsp, flags) = match context.mode {
            Mode::Kernel => (
                at.unwrap_or(layout::KERNEL_CODE + 0x10),
                Stack::Interrupted.top() - 0x108,
                super::context::KERNEL_FLAGS,
            ),
            Mode::User => (
                at.unwrap_or(layout::USER_CODE + 0x10),
                layout::USER_STACK - 0x108,
                super::context::USER_FLAGS,
            ),
            Mode::SyscallGap => {
                if let Some(at) = at {
                    regs.msr.lstar = at;
                }
                (
                    layout::USER_SYSCALL,
                    layout::USER_STACK - 0x108,
                    super::context::USER_FLAGS,
                )
            }
        };
        (regs.rip, regs.gpr[gpr::RSP], regs.rflags) = (rip, rsp, flags);
        if user {
            let data = Segment::flat_data(selector::USER_DS, 3);
            regs.seg = [data; 6];
            regs.seg[SegReg::Cs as usize] = Segment::flat_code64(selector::USER_CS, 3);
            regs.cpl = 3;
        }
        let (now, other) = if user {
            (user_gs, kernel_gs)
        } else {
            (kernel_gs, user_gs)
        };
        regs.segment_mut(SegReg::Gs).base = now;
        regs.msr.kernel_gs_base = other;
        for (register, value) in &context.registers {
            if !register.set(regs, *value) {
                return Err(TestError::setup(
                    register.name(),
                    "a selector cannot be set by itself",
                ));
            }
        }
        for (register, place) in &context.places {
            let at = case.program.resolve(register.name(), place)?.0;
            register.set(&mut self.machine.cpu_mut().regs, at);
        }
        Ok(())
    }
}

fn check_range(at: VirtAddr, size: u64) -> Result<u64, TestError> {
    let last = at.0.checked_add(size.max(1) - 1);
    if last.is_some_and(|l| VirtAddr(l).is_canonical(false) && at.is_canonical(false))
        && size <= 1 << 30
    {
        return Ok(at.0);
    }
    Err(TestError::setup(
        format!("memory {at}"),
        "give canonical addresses, and at most 1 GiB",
    ))
}

/// Writes through the page tables, whatever the rights. `false`: not all of it is mapped.
pub(super) fn poke(machine: &mut Machine, at: u64, bytes: &[u8]) -> bool {
    let mut done = 0;
    while done < bytes.len() {
        let here = at.wrapping_add(done as u64);
        let len = (bytes.len() - done).min((PAGE_SIZE - here % PAGE_SIZE) as usize);
        let Some(phys) = machine.translate_plain(VirtAddr(here)) else {
            return false;
        };
        if !machine.write_physical(phys, &bytes[done..done + len]) {
            return false;
        }
        done += len;
    }
    true
}

/// A handler that does nothing: 16 bytes.
fn quiet(vector: Vector) -> [u8; 16] {
    let mut code = [0x90; 16];
    let len = if pushes_error_code(vector) {
        // ADD RSP, 8
        code[4..8].copy_from_slice(&[0x48, 0x83, 0xc4, 0x08]);
        8
    } else {
        4
    };
    // IRETQ
    code[len..len + 2].copy_from_slice(&[0x48, 0xcf]);
    code
}
