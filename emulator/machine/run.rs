//! The run loop: a boundary, then guest code up to the next thing that needs the rules.

use super::boundary::{AtBoundary, WORK};
use super::computer::Armed;
use super::stop::{StopReason, Until};
use super::view::View;
use super::{Machine, TlbMode};
use crate::arch::bits::rflags;
use crate::arch::{AccessKind, EventType, Exception, Vector, VirtAddr};
use crate::check::Checks;
use crate::engine::{Cause, Exit, RunOptions};
use crate::system::debug::{any_enabled, armed_instructions, armed_pages};
use crate::system::insn::execute;
use crate::system::{InterruptShadow, PendingEvent};
use crate::trace::{EventClass, EventKind};

/// Instructions between two looks at the interrupt flag.
const SLICE: u64 = 20_000_000;

impl Machine {
    /// Runs until something ends the run, and emits the `stop` event.
    ///
    /// A run that ended can go on, unless the processor shut down.
    pub fn run(&mut self, until: Until) -> StopReason {
        let stop = self.run_to_stop(until);
        self.show_checks();
        self.note_place();
        let log = &mut self.world.log;
        self.world.console.flush(|e| log.emit(e));
        let (reason, text) = (stop.name().to_owned(), stop.to_string());
        self.world.log.emit(EventKind::Stop { reason, text });
        stop
    }

    /// Runs as [`run`](Self::run) does, and says nothing at the end: there is more to come.
    pub fn advance(&mut self, until: Until) -> StopReason {
        self.run_to_stop(until)
    }

    /// Whether the delivery with this number has been resumed, or forgotten, at the present boundary:
    /// as [`Until::Resumed`] has it, without running anything.
    pub fn is_resumed(&mut self, serial: u64) -> bool {
        self.note_place();
        self.note_resumption();
        !self.cpu.activations.is_unresumed(serial)
    }

    /// Ends runs when so many instructions have retired since reset.
    pub const fn set_max_insns(&mut self, max_insns: u64) {
        self.config.max_insns = max_insns;
    }

    fn run_to_stop(&mut self, until: Until) -> StopReason {
        self.state.over_breakpoint = false;
        self.state.forgotten = None;
        let start = self.boundary();
        loop {
            match until {
                Until::Boundary if self.boundary() != start => return StopReason::Until,
                Until::Resumed(serial) => {
                    self.note_place();
                    self.note_resumption();
                    if !self.cpu.activations.is_unresumed(serial) {
                        return StopReason::Until;
                    }
                }
                _ => {}
            }
            self.forget_translations();
            let next_is_iret = self.schedule.wants_irets() && self.next_is_iret();
            match self.at_boundary(next_is_iret) {
                AtBoundary::Stop(stop) => return stop,
                AtBoundary::Again => continue,
                AtBoundary::Run => {}
            }
            if self.is_reached(until) {
                return StopReason::Until;
            }
            self.check_instruction();
            let stop = match self.state.next.take() {
                Some(insn) => self.execute(&insn),
                None => self.run_engine(until),
            };
            if let Some(stop) = stop {
                return stop;
            }
        }
    }

    /// With [`TlbMode::None`]: drops all translations, once at each boundary. What an instruction
    /// asks for stays until it has run, however often the engine must be told.
    fn forget_translations(&mut self) {
        if self.config.tlb == TlbMode::None {
            let here = Some(self.boundary());
            if self.state.forgotten != here {
                self.state.forgotten = here;
                self.cpu.tlb.forget();
                self.world.tlb_stale = true;
            }
        }
    }

    fn is_reached(&self, until: Until) -> bool {
        match until {
            Until::Never | Until::Boundary | Until::Resumed(_) => false,
            Until::Icount(n) => self.world.engine.icount() >= n,
            Until::Address(at) => self.cpu.regs.rip == at.0,
        }
    }

    fn next_is_iret(&mut self) -> bool {
        if self.state.next.is_none() {
            // Without side effects: what is not cached is not looked at, and not known.
            self.state.next = self.peek_instruction().filter(crate::system::insn::is_iret);
        }
        self.state
            .next
            .as_ref()
            .is_some_and(crate::system::insn::is_iret)
    }

    /// The engine's breakpoints and denied pages follow the schedule, the debug registers and
    /// the checks.
    fn arm(&mut self, until: Until) {
        let r = &self.cpu.regs;
        let until = match until {
            Until::Address(at) => Some(at.0),
            _ => None,
        };
        let checks = self.checks.as_deref();
        let key = Some(Armed {
            schedule: self.schedule.generation(),
            until,
            dr7: r.dr7,
            dr: r.dr,
            checks: checks.map_or(0, Checks::generation),
        });
        if self.state.armed == key {
            return;
        }
        self.state.armed = key;
        let mut stops: Vec<u64> = self
            .schedule
            .breakpoints()
            .map(|at| at.0)
            .chain(until)
            .chain(checks.and_then(Checks::stop_at).map(|at| at.0))
            .collect();
        let mut pages: Vec<u64> = checks.map_or_else(Vec::new, |c| c.pages().collect());
        if any_enabled(r) {
            stops.extend(armed_instructions(r).map(|at| at.0));
            pages.extend(armed_pages(r).map(|at| at.0));
        }
        self.world.engine.set_breakpoints(stops);
        self.world.engine.set_denied_pages(pages);
    }

    /// Whether the engine has a breakpoint at RIP: it cannot stop at one whose code it cannot read.
    fn stops_here(&self) -> bool {
        let Some(Armed { until, dr7, .. }) = self.state.armed else {
            return false;
        };
        let rip = self.cpu.regs.rip;
        until == Some(rip)
            || self.checks.as_deref().and_then(Checks::stop_at) == Some(VirtAddr(rip))
            || self.schedule.breakpoints().any(|at| at.0 == rip)
            || dr7 != 0 && armed_instructions(&self.cpu.regs).any(|at| at.0 == rip)
    }

    fn options(&self, until: Until) -> RunOptions {
        let icount = self.world.engine.icount();
        let now = self.world.now();
        let mut limit = icount.saturating_add(SLICE).min(self.config.max_insns);
        if let Until::Icount(n) = until {
            limit = limit.min(n);
        }
        if let Some(deadline) = self.world.devices.next_deadline() {
            limit = limit.min(icount.saturating_add(deadline.saturating_sub(now).max(1)));
        }
        let mut step = self.cpu.regs.rflags & rflags::TF != 0
            || (self.cpu.shadow != InterruptShadow::None
                && (self.cpu.nmi.pending || self.cpu.pending_db != 0 || self.interrupt_waits()))
            || self.world.log.wants(EventClass::MEM)
            || self.config.tlb == TlbMode::None
            || until == Until::Boundary
            || self.world.recorder.is_some()
            || self
                .checks
                .as_ref()
                .is_some_and(|c| c.wants_step(&self.cpu));
        match self.schedule.next_icount(self.boundary()) {
            Some(at) if at <= icount => step = true,
            Some(at) => {
                limit = limit.min(at);
                // The boundaries of that icount are asked for one by one.
                step |= at == icount + 1;
            }
            None => {}
        }
        RunOptions {
            limit,
            step,
            force: false,
            over_breakpoint: self.state.over_breakpoint,
            trace: self.world.log.wants(EventClass::INSN),
        }
    }

    /// Whether setting AC would enable alignment checks, which are not modelled.
    pub(super) fn watches_alignment(&self) -> bool {
        self.cpu.regs.cpl == 3 && self.cpu.regs.cr0 & crate::arch::bits::cr0::AM != 0
    }

    fn run_engine(&mut self, until: Until) -> Option<StopReason> {
        if self.watches_alignment() && self.cpu.regs.rflags & rflags::AC != 0 {
            return Some(
                self.not_modelled("alignment checks (CPL 3 with CR0.AM and RFLAGS.AC set)".into()),
            );
        }
        self.arm(until);
        let options = self.options(until);
        if options.step && self.world.log.wants(EventClass::MEM) {
            return self.step_with_accesses(options);
        }
        let exit = self.enter(options);
        self.after(exit)
    }

    /// Runs the engine, and books what has retired.
    pub(super) fn enter(&mut self, options: RunOptions) -> Exit {
        if std::mem::take(&mut self.world.tlb_stale) {
            self.world.engine.flush_tlb();
        }
        let expected = self
            .world
            .recorder
            .is_some()
            .then(|| self.expected_accesses());
        let before = self.world.engine.icount();
        let mut begin = self.boundary();
        if self.state.in_rep {
            begin.sub = self.state.rep_sub;
        }
        let trap = self.cpu.regs.rflags & rflags::TF != 0;
        let mut regs = self.cpu.regs.clone();
        let bitness = self.bitness();
        let world = &mut self.world;
        world
            .engine
            .set_watch(self.cpu.activations.open().map(|a| a.context.rip.0));
        let mut view = View {
            bitness,
            tlb: self.cpu.tlb_view(),
            devices: &world.devices,
            log: &mut world.log,
            formatter: &mut self.formatter,
            cpl: regs.cpl,
            depth: self.cpu.activations.depth(),
            begin,
        };
        let exit = world.engine.run(&mut regs, &mut view, options);
        self.cpu.regs.gpr = regs.gpr;
        self.cpu.regs.rip = regs.rip;
        self.cpu.regs.rflags = regs.rflags;
        if let Some(expected) = expected
            && (self.world.engine.icount() != before || exit.rep_iterations != 0)
        {
            self.record(&expected);
        }
        self.book(before, exit.rep_iterations);
        if trap && matches!(exit.cause, Cause::Stepped) {
            self.cpu.pending_db |= crate::arch::bits::dr6::BS;
        }
        exit
    }

    /// After native code: the shadow, REP progress, `sub`.
    fn book(&mut self, before: u64, rep_iterations: u64) {
        let icount = self.world.engine.icount();
        if icount != before || rep_iterations != 0 {
            self.cpu.shadow = InterruptShadow::None;
            self.state.over_breakpoint = false;
            self.state.refusals = 0;
        }
        if icount != self.state.base {
            self.state.base = icount;
            self.state.sub = 0;
        }
        if icount != before {
            self.state.in_rep = false;
        }
        if rep_iterations != 0 {
            let more = u32::try_from(rep_iterations).unwrap_or(u32::MAX);
            if !self.state.in_rep {
                self.state.rep_sub = self.state.sub;
            }
            self.state.sub = self.state.sub.saturating_add(more);
            if !std::mem::replace(&mut self.state.in_rep, true) {
                self.state.flags_before_rep = self.world.engine.flags_before_rep();
            }
            self.state.work += rep_iterations;
        }
    }

    /// Acts on why the engine stopped.
    pub(super) fn after(&mut self, exit: Exit) -> Option<StopReason> {
        match exit.cause {
            Cause::Limit | Cause::Stepped | Cause::Watched | Cause::RepSlice => None,
            Cause::BeginRep | Cause::BeginBlock | Cause::StepAlone | Cause::Unsafe => None,
            Cause::CodeWrite => self.refused_again(),
            Cause::Breakpoint => {
                // The boundary is looked at; then the instruction runs.
                self.state.over_breakpoint = true;
                None
            }
            Cause::Intercept(insn) => {
                self.state.next = Some(insn);
                if self.schedule.wants_irets() {
                    return None;
                }
                // Nothing can be due at a boundary that the engine ran through to.
                self.state.next = None;
                self.note_place();
                self.execute(&insn)
            }
            Cause::Guard(insn, guard) => self.guarded(&insn, guard),
            Cause::Data { page, .. } => self.data_refused(page),
            // The boundary before it comes first, as before an instruction that can be fetched.
            Cause::Fetch { .. } if self.stops_here() && !self.state.over_breakpoint => {
                self.state.over_breakpoint = true;
                None
            }
            Cause::Fetch { page } => self.fetch_refused(page),
            Cause::NonCanonicalTarget(_) => self.fault(Exception::gp(0)),
            Cause::Exception { vector, error_code } => {
                let vector = Vector(vector);
                let has_code = crate::arch::vector_info::vector_info(vector, self.cpu.model.vendor)
                    .has_error_code;
                self.fault(Exception {
                    error_code: has_code.then_some(error_code),
                    ..Exception::fault(vector)
                })
            }
            Cause::Invalid => self.invalid(),
            Cause::Disagreement { start } => Some(self.not_modelled(format!(
                "code at {start} that Unicorn and the decoder read differently"
            ))),
        }
    }

    /// Delivers a fault of the instruction at RIP.
    pub(super) fn fault(&mut self, exception: Exception) -> Option<StopReason> {
        // A fault takes back what earlier iterations of CMPS and SCAS left in RFLAGS; the other
        // string instructions leave nothing there (SDM vol. 2, REP).
        if self.state.in_rep
            && let Some(before) = self.state.flags_before_rep
        {
            let flags = &mut self.cpu.regs.rflags;
            *flags = *flags & !rflags::STATUS | before & rflags::STATUS;
        }
        let event = PendingEvent::exception(&exception, self.cpu.regs.rip);
        self.deliver(event)
    }

    /// Executes an instruction that never runs natively.
    pub(super) fn execute(&mut self, insn: &iced_x86::Instruction) -> Option<StopReason> {
        self.note_place();
        let trap_before = self.cpu.regs.rflags & rflags::TF != 0;
        let tsc_before = (self.cpu.regs.msr.tsc_offset, self.cpu.regs.msr.tsc_adjust);
        let traced = self.instruction_if_traced(insn);
        self.show_microcode(insn);
        let outcome = match execute(&mut self.cpu, &mut self.world, insn) {
            Ok(outcome) => outcome,
            Err(crate::arch::Trap::Exception(exception)) => {
                self.take_signals();
                return self.fault(exception);
            }
            Err(crate::arch::Trap::NotModelled(what)) => return Some(self.not_modelled(what)),
        };
        let place = self.world.log.place;
        if let Some(event) = outcome.software_event {
            let icount = self.world.engine.icount();
            let stop = self.software_interrupt(event);
            if self.world.engine.icount() != icount {
                self.tell_instruction(place, traced);
            }
            return stop;
        }
        if !outcome.rep_iteration {
            self.tell_instruction(place, traced);
        }
        // In a sequence of MOV SS only the first holds events (SDM vol. 2, MOV): a loop of them
        // cannot hold them for ever.
        let repeated =
            self.cpu.shadow == InterruptShadow::MovSs && outcome.shadow == InterruptShadow::MovSs;
        self.cpu.shadow = if repeated {
            InterruptShadow::None
        } else {
            outcome.shadow
        };
        self.state.over_breakpoint = false;
        if outcome.rep_iteration {
            self.state.sub = self.state.sub.saturating_add(1);
            if !std::mem::replace(&mut self.state.in_rep, true) {
                // What iterates by microcode leaves RFLAGS alone.
                self.state.flags_before_rep = None;
            }
            self.state.work += WORK;
        } else {
            self.retire();
        }
        if outcome.halt {
            self.cpu.halted = true;
            if self.world.log.wants(EventClass::HALT) {
                self.note_place();
                self.world.log.emit(EventKind::Halted);
            }
        }
        let trap = match crate::system::insn::trap_flag_rule(insn) {
            crate::system::insn::TrapFlag::Before => trap_before,
            crate::system::insn::TrapFlag::After => self.cpu.regs.rflags & rflags::TF != 0,
        };
        if trap {
            self.cpu.pending_db |= crate::arch::bits::dr6::BS;
        }
        let msr = &self.cpu.regs.msr;
        if tsc_before != (msr.tsc_offset, msr.tsc_adjust) {
            let offset = msr.tsc_offset.wrapping_add(msr.tsc_adjust);
            let clock = crate::device::lapic::TscClock { rate: 1, offset };
            self.world
                .with_devices(|d, ctx| d.lapic.set_tsc_clock(clock, ctx));
        }
        None
    }

    /// One instruction has retired by microcode.
    pub(super) fn retire(&mut self) {
        let icount = self.world.engine.icount() + 1;
        self.world.engine.set_icount(icount);
        self.state.base = icount;
        self.state.sub = 0;
        self.state.in_rep = false;
        self.state.refusals = 0;
    }

    /// INT n and its like: the instruction retires if its own handler is entered.
    fn software_interrupt(&mut self, event: PendingEvent) -> Option<StopReason> {
        let stop = self.deliver(event);
        if stop.is_none()
            && self.state.just_delivered == Some(event.vector)
            && self.delivered_kind() == Some(event.kind)
        {
            self.retire();
            self.state.entered = Some(self.boundary());
        }
        stop
    }

    fn delivered_kind(&self) -> Option<EventType> {
        self.cpu.activations.innermost().map(|a| a.kind)
    }

    /// Fetches the instruction at RIP by the rules: what is touched is walked, and may fault.
    fn fetch_refused(&mut self, page: VirtAddr) -> Option<StopReason> {
        self.note_place();
        let insn = match self.fetch_instruction() {
            Ok(insn) => insn,
            Err(exception) => return self.fault(exception),
        };
        let base = self.code_base();
        let first = VirtAddr(base.wrapping_add(self.cpu.regs.rip)).page();
        let last = VirtAddr(base.wrapping_add(insn.next_ip()).wrapping_sub(1)).page();
        for touched in [first, last] {
            let access = crate::arch::Access::explicit(AccessKind::Fetch, self.cpu.regs.cpl);
            match self.cpu.translate(&mut self.world, touched, access) {
                Ok(phys) if !crate::system::Bus::is_ram(&self.world, phys) => {
                    return Some(self.not_modelled(format!(
                        "fetching instructions from {phys}, which is no RAM"
                    )));
                }
                Ok(_) => {}
                Err(exception) => return self.fault(exception),
            }
        }
        if page == first || page == last {
            return self.refused_again();
        }
        // Unicorn reads ahead: this instruction does not touch the page.
        if crate::system::insn::is_intercepted(&insn, self.cpu.regs.cpl) {
            return self.execute(&insn);
        }
        if let Some(stop) = self.refused_again() {
            return Some(stop);
        }
        let options = RunOptions {
            step: true,
            over_breakpoint: true,
            ..self.options(Until::Never)
        };
        let exit = self.enter(options);
        self.after(exit)
    }

    /// Guards against a refusal that repeats for ever: a fault of this program.
    pub(super) fn refused_again(&mut self) -> Option<StopReason> {
        self.state.refusals += 1;
        (self.state.refusals > 64)
            .then(|| self.not_modelled("an access that the engine refuses again and again".into()))
    }
}
