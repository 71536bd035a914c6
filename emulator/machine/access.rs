//! Data accesses that the engine refused.

use iced_x86::Instruction;

use super::Machine;
use super::boundary::WORK;
use super::stop::{StopReason, Until};
use crate::arch::state::SegReg;
use crate::arch::{Access, AccessKind, Exception, PAGE_SIZE, PhysAddr, VirtAddr};
use crate::engine::{Cause, Page, RunOptions};
use crate::system::Bus;
use crate::system::debug::data_breakpoints;
use crate::system::insn::{DataAccess, data_accesses, is_barrier};
use crate::trace::EventClass;

impl Machine {
    /// Looks at the data accesses of the instruction at RIP by the rules, in their order.
    pub(super) fn look(&mut self, insn: &Instruction) -> Result<Vec<DataAccess>, Exception> {
        let mut accesses = std::mem::take(&mut self.scratch);
        data_accesses(&self.cpu.regs, insn, &mut accesses);
        let cpl = self.cpu.regs.cpl;
        for a in &accesses {
            let access = Access::explicit(a.kind, cpl);
            if let Err(e) = self
                .cpu
                .probe(&mut self.world, a.addr, a.size.into(), access, a.stack)
            {
                self.scratch = accesses;
                return Err(e);
            }
        }
        Ok(accesses)
    }

    /// The engine refused a data access of the instruction at RIP.
    pub(super) fn data_refused(&mut self, _page: VirtAddr) -> Option<StopReason> {
        self.note_place();
        let looked = match self.fetch_instruction() {
            Ok(insn) => self.look(&insn).map(|accesses| (insn, accesses)),
            Err(e) => Err(e),
        };
        let (insn, accesses) = match looked {
            Ok(looked) => looked,
            Err(exception) => return self.fault(exception),
        };
        let stop = self.access(&insn, &accesses);
        self.scratch = accesses;
        stop
    }

    /// All accesses are allowed: lets the instruction run, by itself if a device or a breakpoint is
    /// among them.
    pub(super) fn access(
        &mut self,
        insn: &Instruction,
        accesses: &[DataAccess],
    ) -> Option<StopReason> {
        let mut device: Option<(DataAccess, PhysAddr)> = None;
        let mut hits = 0;
        let mut armed = false;
        for a in accesses {
            hits |= data_breakpoints(&self.cpu.regs, a.addr, a.size.into(), a.kind);
            let end = VirtAddr(a.addr.0.wrapping_add(u64::from(a.size.max(1)) - 1));
            for at in [a.addr, end] {
                armed |= crate::system::debug::armed_pages(&self.cpu.regs).any(|p| p == at.page());
                let access = Access::explicit(a.kind, self.cpu.regs.cpl);
                let phys = match self.cpu.translate(&mut self.world, at, access) {
                    Ok(phys) => phys,
                    Err(exception) => return self.fault(exception),
                };
                if !self.world.is_ram(phys) {
                    let first = PhysAddr(phys.page().0 | (a.addr.0 % PAGE_SIZE));
                    if a.addr.page() != end.page() || device.is_some_and(|(d, _)| d.addr != a.addr)
                    {
                        return Some(self.not_modelled(format!(
                            "`{insn}`: an access that is partly to {phys}, which is no RAM, and partly elsewhere"
                        )));
                    }
                    device = Some((*a, first));
                }
            }
        }
        // Also for a single step, which is refused in its turn if the engine sees another address than
        // the rules do.
        let stop = self.refused_again();
        if stop.is_some() {
            return stop;
        }
        let watched = self.is_watched(accesses);
        if watched && !is_barrier(insn) {
            self.show_accesses(accesses);
        }
        match device {
            Some((a, phys)) => self.device_access(insn, a, phys, accesses, hits),
            None if armed || watched => self.watched_access(hits),
            None => None,
        }
    }

    /// One instruction (or REP iteration) with data breakpoints, or what a check watches, in reach.
    fn watched_access(&mut self, hits: u64) -> Option<StopReason> {
        let stop = self.step_forced();
        // What the step could touch is denied again.
        self.world.engine.ask_again();
        if stop.is_none() {
            self.cpu.pending_db |= hits;
        }
        stop
    }

    /// Runs the instruction at RIP, or one iteration, without guards. Everything it touches has
    /// been looked at.
    pub(super) fn step_forced(&mut self) -> Option<StopReason> {
        self.state.work += WORK;
        let options = RunOptions {
            step: true,
            force: true,
            over_breakpoint: true,
            limit: u64::MAX,
            trace: self.world.log.wants(EventClass::INSN),
        };
        let exit = self.enter(options);
        match exit.cause {
            Cause::Stepped => None,
            _ => self.after(exit),
        }
    }

    /// An instruction that reads or writes a device's registers: it works on a page that holds
    /// what the device answers, and what it stores there goes to the device.
    fn device_access(
        &mut self,
        insn: &Instruction,
        a: DataAccess,
        phys: PhysAddr,
        all: &[DataAccess],
        hits: u64,
    ) -> Option<StopReason> {
        let size = a.size as usize;
        let offset = (a.addr.0 % PAGE_SIZE) as usize;
        let same_page = all
            .iter()
            .filter(|o| o.addr.page() == a.addr.page())
            .count();
        if size > 64
            || (same_page > 1
                && all
                    .iter()
                    .any(|o| o.addr != a.addr && o.addr.page() == a.addr.page()))
        {
            return Some(self.not_modelled(format!("`{insn}` on device memory")));
        }
        let mut page: Box<Page> = Box::new([0; PAGE_SIZE as usize]);
        if a.reads {
            self.world.phys_read(phys, &mut page[offset..offset + size]);
        }
        self.world.engine.set_overlay(a.addr.page().0, &page);
        self.world.engine.set_denied_pages(Vec::new());
        self.state.armed = None;
        let before = (self.world.engine.icount(), self.state.sub);
        let stop = self.step_forced();
        let after = self.world.engine.take_overlay();
        let done = (self.world.engine.icount(), self.state.sub) != before;
        if done {
            self.cpu.pending_db |= hits;
            if all
                .iter()
                .any(|o| o.addr == a.addr && o.kind == AccessKind::Write)
            {
                self.world.phys_write(phys, &after[offset..offset + size]);
            }
            self.take_signals();
        }
        stop
    }

    pub(super) fn access_or_step(
        &mut self,
        insn: &Instruction,
        accesses: &[DataAccess],
    ) -> Option<StopReason> {
        if self.touches_more_than_ram(accesses) {
            self.access(insn, accesses)
        } else {
            self.step_forced()
        }
    }

    fn touches_more_than_ram(&mut self, accesses: &[DataAccess]) -> bool {
        self.is_watched(accesses)
            || accesses.iter().any(|a| {
                let armed =
                    crate::system::debug::armed_pages(&self.cpu.regs).any(|p| p == a.addr.page());
                let access = Access::explicit(a.kind, self.cpu.regs.cpl);
                let ram = self
                    .cpu
                    .translate(&mut self.world, a.addr, access)
                    .is_ok_and(|p| self.world.is_ram(p));
                armed || !ram
            })
    }

    /// The value of a segment's base, for display.
    #[must_use]
    pub fn segment_base(&self, segment: SegReg) -> u64 {
        self.cpu.regs.segment(segment).base
    }

    /// Runs until the instruction count is `icount`: for looking at a moment.
    pub fn run_to(&mut self, icount: u64) -> StopReason {
        self.run(Until::Icount(icount))
    }
}
