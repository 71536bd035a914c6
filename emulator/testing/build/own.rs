//! The harness's own pages: descriptor tables, stacks, code to interrupt, handlers, stubs.

use super::super::arrange::Rights;
use super::super::error::{NO_STUB, TestError};
use super::super::layout::{self, STACK_SIZE, Stack};
use super::super::stub::Stub;
use super::super::tables;
use super::machine::Builder;
use crate::arch::{PAGE_SIZE, PhysAddr, Vector};
use crate::schedule::pushes_error_code;

impl Builder<'_> {
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

    /// Everything but the tables.
    pub(super) fn map_own(&mut self) -> Result<(), TestError> {
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
        let size = layout::USER_STACK_SIZE;
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
            if !self.case.program.has_stub(name) {
                return Err(TestError::setup(format!("stub {name}"), NO_STUB));
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

    /// GDT, TSS and IDT.
    pub(super) fn fill_tables(&mut self) -> Result<(), TestError> {
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
