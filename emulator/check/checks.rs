//! All rules with all their state.

use std::sync::Arc;

use iced_x86::Instruction;

use super::context::Context;
use super::rules::Check;
use super::rules::cr2_clobbered::Cr2Clobbered;
use super::rules::delivery_failed::DeliveryFailed;
use super::rules::double_fault::DoubleFault;
use super::rules::frame_lost::FrameLost;
use super::rules::frame_overwritten::FrameOverwritten;
use super::rules::frame_returned_twice::FrameReturnedTwice;
use super::rules::never_resumed::NeverResumed;
use super::rules::nmi_merged::NmiMerged;
use super::rules::nmi_reentered::NmiReentered;
use super::rules::nmi_stuck::NmiStuck;
use super::rules::nmi_unblocked_early::NmiUnblockedEarly;
use super::rules::nmi_unserved::NmiUnserved;
use super::rules::red_zone_clobbered::RedZoneClobbered;
use super::rules::shutdown::Shutdown;
use super::rules::state_leak::StateLeak;
use super::rules::unreachable_stimulus::UnreachableStimulus;
use super::rules::user_stack_in_kernel::UserStackInKernel;
use super::rules::wrong_gs::WrongGs;
use super::{CheckConfig, Findings, Frames, Look, RuleId};
use crate::arch::{AccessKind, VirtAddr};
use crate::machine::StopReason;
use crate::system::Cpu;
use crate::system::insn::DataAccess;
use crate::trace::{Boundary, Event, EventClass, EventKind};

/// All rules, and what they have found: part of a machine's state.
///
/// Events are shown at the boundary after them. Between boundaries nothing is looked at, unless a
/// rule says that it must be: `wants_step`, `pages`,
/// `stop_at`.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Checks {
    config: Arc<CheckConfig>,
    frames: Frames,
    findings: Findings,
    /// CPL at the last boundary.
    cpl: u8,
    ended: bool,
    nmi_unblocked_early: NmiUnblockedEarly,
    nmi_reentered: NmiReentered,
    nmi_merged: NmiMerged,
    frame_overwritten: FrameOverwritten,
    frame_lost: FrameLost,
    frame_returned_twice: FrameReturnedTwice,
    nmi_stuck: NmiStuck,
    nmi_unserved: NmiUnserved,
    state_leak: StateLeak,
    cr2_clobbered: Cr2Clobbered,
    wrong_gs: WrongGs,
    user_stack_in_kernel: UserStackInKernel,
    delivery_failed: DeliveryFailed,
    double_fault: DoubleFault,
    shutdown: Shutdown,
    never_resumed: NeverResumed,
    red_zone_clobbered: RedZoneClobbered,
    unreachable_stimulus: UnreachableStimulus,
}

/// The machine at rest, for [`Checks`].
#[derive(Clone, Copy)]
pub struct Rest<'a> {
    /// The boundary.
    pub at: Boundary,
    /// The CPU there.
    pub cpu: &'a Cpu,
    /// Memory there.
    pub memory: &'a dyn Look,
}

macro_rules! context {
    ($checks:ident, $rest:ident) => {
        Context {
            at: $rest.at,
            cpu: $rest.cpu,
            memory: $rest.memory,
            config: &$checks.config,
            frames: &$checks.frames,
        }
    };
}

impl Checks {
    /// The events that rules are made from. Nothing else need be built for them.
    pub const CLASSES: EventClass = EventClass::NMI
        .union(EventClass::FAULT)
        .union(EventClass::IRQ)
        .union(EventClass::IRET)
        .union(EventClass::SYSCALL)
        .union(EventClass::REG);

    /// All rules, nothing found.
    #[must_use]
    pub fn new(config: CheckConfig) -> Self {
        Self {
            config: Arc::new(config),
            ..Self::default()
        }
    }

    /// What they were told.
    #[must_use]
    pub fn config(&self) -> &CheckConfig {
        &self.config
    }

    /// What was found, in order.
    #[must_use]
    pub const fn findings(&self) -> &Findings {
        &self.findings
    }

    /// The frames of deliveries.
    #[must_use]
    pub const fn frames(&self) -> &Frames {
        &self.frames
    }

    /// Whether the rules will say the same of the same future, here and there. Left out are what
    /// was found, the events that are kept as proof, and the frames of resumed deliveries: a watch on
    /// them sees their bytes read before they are written, which whoever compares memory must see anyway.
    #[must_use]
    pub fn same_state(&self, other: &Self) -> bool {
        self.config == other.config
            && self.cpl == other.cpl
            && self.ended == other.ended
            && self.frames.same_open(&other.frames)
            && self.nmi_merged == other.nmi_merged
            && self.frame_lost == other.frame_lost
            && self.nmi_stuck == other.nmi_stuck
            && self.nmi_unserved == other.nmi_unserved
            && self.state_leak == other.state_leak
            && self.cr2_clobbered == other.cr2_clobbered
            && self.wrong_gs == other.wrong_gs
            && self.user_stack_in_kernel == other.user_stack_in_kernel
            && self.double_fault == other.double_fault
            && self.shutdown == other.shutdown
            && self.unreachable_stimulus == other.unreachable_stimulus
    }

    /// The machine is at a boundary to which `events` led.
    pub(crate) fn at_boundary(&mut self, events: Vec<Event>, rest: Rest<'_>) {
        let events: Vec<Arc<Event>> = events
            .into_iter()
            .filter(|e| Self::CLASSES.intersects(e.kind.class()))
            .map(Arc::new)
            .collect();
        for event in &events {
            self.show(event, rest);
        }
        let cpl = rest.cpu.regs.cpl;
        if std::mem::replace(&mut self.cpl, cpl) != cpl {
            self.red_zone_clobbered.cpl_changed();
        }
        let cx = context!(self, rest);
        self.wrong_gs.boundary(&events, &cx, &mut self.findings);
        self.user_stack_in_kernel.boundary(&cx);
        self.nmi_unserved.boundary(&cx);
    }

    fn show(&mut self, event: &Arc<Event>, rest: Rest<'_>) {
        if let EventKind::Delivered(d) = &event.kind {
            self.frames.delivered(event, d);
            let len = if d.error_code.is_some() { 48 } else { 40 };
            self.red_zone_clobbered.written(d.frame, len);
        }
        let cx = context!(self, rest);
        let out = &mut self.findings;
        self.nmi_unblocked_early.event(event, &cx, out);
        self.nmi_reentered.event(event, &cx, out);
        self.nmi_merged.event(event, &cx, out);
        self.frame_overwritten.event(event, &cx, out);
        let before = out.len();
        self.frame_lost.event(event, &cx, out);
        let lost = out.len() != before;
        self.frame_returned_twice
            .event_unless(lost, event, &cx, out);
        self.nmi_stuck.event(event, &cx, out);
        self.nmi_unserved.event(event, &cx, out);
        self.state_leak.event(event, &cx, out);
        self.cr2_clobbered.event(event, &cx, out);
        self.user_stack_in_kernel.event(event, &cx, out);
        self.delivery_failed.event(event, &cx, out);
        self.double_fault.event(event, &cx, out);
        self.shutdown.event(event, &cx, out);
        self.unreachable_stimulus.event(event, &cx, out);
        if let EventKind::Iret(_) | EventKind::Resumed { .. } = event.kind {
            let activations = &rest.cpu.activations;
            if let Some(frame) = self.frames.returned(activations).cloned() {
                let depth = activations.depth();
                let cpl = rest.cpu.regs.cpl;
                self.red_zone_clobbered
                    .resumed(&frame, &mut self.frames, depth, cpl);
            }
        }
    }

    /// Nothing more will happen: what never happened is reported, once.
    pub(crate) fn end(&mut self, stop: &StopReason, rest: Rest<'_>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let cx = context!(self, rest);
        let out = &mut self.findings;
        self.frame_lost.end(stop, &cx, out);
        self.nmi_unserved.end(stop, &cx, out);
        self.shutdown.end(stop, &cx, out);
        self.never_resumed.at_end(&self.frame_lost, &cx, out);
    }

    /// Whether each instruction must be shown to [`instruction`](Self::instruction) now.
    pub(crate) fn wants_step(&self, cpu: &Cpu) -> bool {
        self.wrong_gs.is_armed(cpu) || self.user_stack_in_kernel.is_armed(cpu)
    }

    /// `insn` is about to run.
    pub(crate) fn instruction(&mut self, insn: &Instruction, rest: Rest<'_>) {
        let cx = context!(self, rest);
        if self.wrong_gs.is_armed(rest.cpu) {
            self.wrong_gs.instruction(insn, &cx, &mut self.findings);
        }
        self.user_stack_in_kernel.boundary(&cx);
    }

    /// Where the machine must come to a boundary, if it comes there.
    pub(crate) fn stop_at(&self) -> Option<VirtAddr> {
        // Also while no NMI waits for it: another set of stops costs all translated code.
        self.config.nmi_body
    }

    /// The pages whose accesses must be shown to [`accessed`](Self::accessed).
    pub(crate) fn pages(&self) -> impl Iterator<Item = u64> + '_ {
        self.red_zone_clobbered.pages()
    }

    /// Whether one of `accesses` must be shown.
    pub(crate) fn watches(&self, accesses: &[DataAccess]) -> bool {
        accesses
            .iter()
            .any(|a| self.red_zone_clobbered.watches(a.addr, a.size.into()))
    }

    /// Whether any page is watched.
    pub(crate) fn watches_any(&self) -> bool {
        self.pages().next().is_some()
    }

    /// Changes when [`pages`](Self::pages) do.
    pub(crate) fn generation(&self) -> u64 {
        self.red_zone_clobbered.generation()
    }

    /// The instruction at RIP, which is no [barrier](crate::system::insn::is_barrier), makes these data
    /// accesses now; those that cannot concern a [watched](Self::watches) place may be among them.
    pub(crate) fn accessed(&mut self, accesses: &[DataAccess], rest: Rest<'_>) {
        let mut rule = std::mem::take(&mut self.red_zone_clobbered);
        let mut frames = std::mem::take(&mut self.frames);
        let cx = context!(self, rest);
        let out = &mut self.findings;
        rule.accessed(accesses, &mut frames, &cx, out);
        self.red_zone_clobbered = rule;
        self.frames = frames;
        debug_assert!(accesses.iter().all(|a| a.kind != AccessKind::Fetch));
    }

    /// The findings of one rule.
    pub fn of(&self, rule: RuleId) -> impl Iterator<Item = &super::Finding> {
        self.findings.iter().filter(move |f| f.rule == rule)
    }
}
