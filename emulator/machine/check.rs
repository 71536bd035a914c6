//! The checks of a machine: what they see, and when.

use iced_x86::Instruction;

use super::Machine;
use super::stop::StopReason;
use crate::arch::{Access, AccessKind, VirtAddr};
use crate::check::{CheckConfig, Checks, Findings, Look, Rest};
use crate::system::insn::{DataAccess, data_accesses};
use crate::trace::{EventClass, WalkOutcome};

/// U/S, in an entry at any level (SDM vol. 3, table 4-14 to 4-19).
const USER: u64 = 1 << 2;

impl Look for Machine {
    fn peek(&self, at: VirtAddr, buf: &mut [u8]) -> bool {
        self.peek_linear(at, buf)
    }

    fn is_user_page(&self, at: VirtAddr) -> Option<bool> {
        let walk = self.walk(at, Access::implicit(AccessKind::Read));
        match walk.outcome {
            WalkOutcome::Mapped { .. } => Some(walk.steps.iter().all(|s| s.entry.0 & USER != 0)),
            WalkOutcome::PageFault { .. } => None,
        }
    }
}

impl Machine {
    /// Applies all rules from now on; what an earlier call has found is forgotten.
    pub fn enable_checks(&mut self, config: CheckConfig) {
        self.world.log.checked = Checks::CLASSES;
        self.world.log.unchecked.clear();
        self.checks = Some(Box::new(Checks::new(config)));
        self.state.armed = None;
    }

    /// Applies none any more, and gives what there was.
    pub fn disable_checks(&mut self) -> Option<Checks> {
        self.world.log.checked = EventClass::empty();
        self.world.log.unchecked.clear();
        self.state.armed = None;
        self.checks.take().map(|c| *c)
    }

    /// The rules and what they know, where they are applied.
    #[must_use]
    pub fn checks(&self) -> Option<&Checks> {
        self.checks.as_deref()
    }

    /// What the rules have found; `None` where they are not applied.
    #[must_use]
    pub fn findings(&self) -> Option<&Findings> {
        self.checks().map(Checks::findings)
    }

    /// The run is over, or as much of it as there will be: what never happened is found now. The
    /// rules say so once.
    pub fn end_checks(&mut self, stop: &StopReason) {
        self.show_checks();
        self.with_checks(|checks, rest| checks.end(stop, rest));
    }

    fn with_checks(&mut self, f: impl FnOnce(&mut Checks, Rest<'_>)) {
        let Some(mut checks) = self.checks.take() else {
            return;
        };
        let rest = Rest {
            at: self.boundary(),
            cpu: &self.cpu,
            memory: self,
        };
        f(&mut checks, rest);
        self.checks = Some(checks);
    }

    /// Shows what has happened. The machine rests at the boundary after it.
    pub(crate) fn show_checks(&mut self) {
        if self.checks.is_some() {
            let events = std::mem::take(&mut self.world.log.unchecked);
            self.with_checks(|checks, rest| checks.at_boundary(events, rest));
        }
    }

    /// Shows the instruction that is about to run, where a rule asks for it.
    pub(super) fn check_instruction(&mut self) {
        if !self
            .checks
            .as_ref()
            .is_some_and(|c| c.wants_step(&self.cpu))
        {
            return;
        }
        if let Some(insn) = self.peek_instruction() {
            self.with_checks(|checks, rest| checks.instruction(&insn, rest));
        }
    }

    /// Whether a rule asks for one of `accesses`.
    pub(super) fn is_watched(&self, accesses: &[DataAccess]) -> bool {
        self.checks.as_ref().is_some_and(|c| c.watches(accesses))
    }

    /// Shows the accesses of the instruction at RIP, which will succeed.
    pub(super) fn show_accesses(&mut self, accesses: &[DataAccess]) {
        self.with_checks(|checks, rest| checks.accessed(accesses, rest));
    }

    /// Shows the accesses of an instruction that microcode executes, where a rule asks for
    /// them: they do not go through the engine.
    pub(super) fn show_microcode(&mut self, insn: &Instruction) {
        if !self.checks.as_ref().is_some_and(|c| c.watches_any()) {
            return;
        }
        let mut accesses = Vec::new();
        data_accesses(&self.cpu.regs, insn, &mut accesses);
        if self.is_watched(&accesses) {
            self.show_accesses(&accesses);
        }
    }
}
