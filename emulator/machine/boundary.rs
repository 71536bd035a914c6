//! What happens at a boundary before the next instruction: devices, the schedule, the priority
//! list, deliveries.

use std::sync::atomic::Ordering;

use super::Machine;
use super::clock::TimeMode;
use super::stop::StopReason;
use crate::arch::{EventType, Exception, Vector, VirtAddr};
use crate::device::Signal;
use crate::device::lapic::Acceptance;
use crate::schedule::{BoundaryContext, Stimulus, StimulusKind};
use crate::system::boundary::{Taken, Waiting, decide};
use crate::system::debug::instruction_breakpoints;
use crate::system::{DeliveryOutcome, PendingEvent, deliver};
use crate::trace::{EventClass, EventKind, HeldBy, Source};

/// What a boundary led to.
pub(super) enum AtBoundary {
    /// The next instruction runs.
    Run,
    /// Something was delivered, or time passed: look again.
    Again,
    /// The run ends.
    Stop(StopReason),
}

/// What a delivery, or an iteration by microcode or on device memory, costs beside an iteration of native code.
pub(super) const WORK: u64 = 64;

impl Machine {
    /// An NMI arrives.
    pub fn raise_nmi(&mut self, source: Source) {
        self.note_place();
        self.injected(source, Vector::NMI);
        let log = &mut self.world.log;
        log.emit(EventKind::NmiRaised { source });
        if self.cpu.nmi.pending {
            log.emit(EventKind::NmiMerged);
        } else {
            self.cpu.nmi.pending = true;
            self.state.latch_told = false;
        }
    }

    /// A maskable interrupt arrives: at the APIC, or at the CPU itself while the APIC is off.
    pub fn raise_interrupt(&mut self, vector: Vector, source: Source) {
        self.note_place();
        self.injected(source, vector);
        let accepted = self
            .world
            .with_devices(|d, ctx| d.lapic.raise_fixed(vector, source, ctx));
        match accepted {
            Acceptance::Accepted | Acceptance::IllegalVector => {}
            Acceptance::Merged => self.world.log.emit(EventKind::IrqRaised { vector, source }),
            Acceptance::Disabled => {
                self.world.log.emit(EventKind::IrqRaised { vector, source });
                if !self.state.direct.contains(&vector) {
                    self.state.direct.push_back(vector);
                }
            }
        }
        self.take_signals();
    }

    /// A machine check is raised.
    pub fn raise_machine_check(&mut self) {
        self.note_place();
        self.world
            .log
            .emit(EventKind::ExceptionInjected { vector: Vector::MC });
        self.injected(Source::Host, Vector::MC);
        self.state.machine_check = true;
    }

    /// The next instruction raises `exception` instead of being executed.
    pub fn inject_exception(&mut self, exception: Exception) {
        self.note_place();
        self.world.log.emit(EventKind::ExceptionInjected {
            vector: exception.vector,
        });
        self.injected(Source::Host, exception.vector);
        self.state.injected = Some(exception);
    }

    /// Somebody outside the machine raises an event: see [`super::clock`].
    fn injected(&mut self, source: Source, vector: Vector) {
        let outside = matches!(source, Source::Schedule | Source::Host);
        if outside && self.config.time == TimeMode::Frozen {
            self.world.clock.injected(vector.0);
        }
    }

    pub(super) fn interrupt_waits(&self) -> bool {
        self.world.devices.lapic.pending_interrupt().is_some() || !self.state.direct.is_empty()
    }

    /// Acts on what devices have signalled. Their exits end the run.
    pub(crate) fn take_signals(&mut self) {
        while let Some(signal) = self.world.signals.pop_front() {
            match signal {
                Signal::Nmi(source) => self.raise_nmi(source),
                Signal::Irq { vector, source } => {
                    self.world.log.emit(EventKind::IrqRaised { vector, source });
                }
                Signal::Exit { value } => {
                    let success = value == self.config.success_value;
                    self.state
                        .ended
                        .get_or_insert(StopReason::GuestExit { value, success });
                }
                Signal::Console { .. } | Signal::Post(_) | Signal::Report { .. } => {}
            }
        }
    }

    /// Everything at the present boundary, once.
    pub(super) fn at_boundary(&mut self, next_is_iret: bool) -> AtBoundary {
        self.note_place();
        if self
            .world
            .devices
            .next_deadline()
            .is_some_and(|d| d <= self.world.now())
        {
            self.world.with_devices(|d, ctx| d.tick(ctx));
        }
        self.take_signals();
        self.note_resumption();
        if let Some(serial) = self.world.clock.stopped_by()
            && !self.cpu.activations.is_unresumed(serial)
        {
            self.go_on();
        }
        self.consult_schedule(next_is_iret);
        self.show_checks();
        self.show_plugins();
        if let Some(stop) = self.ending() {
            return AtBoundary::Stop(stop);
        }
        let waiting = Waiting::of(&self.cpu, self.interrupt_waits(), self.state.machine_check);
        let decision = decide(&waiting, &self.cpu.model.knobs);
        if let Some(held_by) = decision.hold(Taken::Nmi).and_then(|h| h.held_by())
            && held_by != HeldBy::Priority
            && !self.state.latch_told
        {
            self.state.latch_told = true;
            self.world.log.emit(EventKind::NmiLatched { held_by });
        }
        let rip = self.cpu.regs.rip;
        let event = match decision.taken {
            Some(Taken::MachineCheck) => {
                self.state.machine_check = false;
                match PendingEvent::machine_check(&mut self.cpu) {
                    Some(event) => event,
                    None => return AtBoundary::Stop(StopReason::TripleFault),
                }
            }
            Some(Taken::DebugTrap) => match PendingEvent::take_debug_trap(&mut self.cpu) {
                Some(event) => event,
                None => return AtBoundary::Again,
            },
            Some(Taken::Nmi) => PendingEvent::nmi(rip),
            Some(Taken::Interrupt) => PendingEvent::external(self.acknowledge(), rip),
            Some(Taken::InstructionBreakpoint) => {
                let bits = instruction_breakpoints(&self.cpu.regs, VirtAddr(rip));
                PendingEvent::instruction_breakpoint(bits, rip)
            }
            None if self.cpu.halted => return self.wait(),
            None => match self.state.injected.take() {
                Some(exception) => PendingEvent::exception(&exception, rip),
                None => return AtBoundary::Run,
            },
        };
        let event = if self.state.in_rep {
            event.between_iterations()
        } else {
            event
        };
        match self.deliver(event) {
            Some(stop) => AtBoundary::Stop(stop),
            None => AtBoundary::Again,
        }
    }

    fn acknowledge(&mut self) -> Vector {
        if self.world.devices.lapic.pending_interrupt().is_some() {
            return self.world.devices.lapic.acknowledge();
        }
        // `interrupt_waits` said that there is one.
        self.state.direct.pop_front().unwrap_or(Vector(0xff))
    }

    /// Delivers `event` at the present boundary.
    pub(super) fn deliver(&mut self, event: PendingEvent) -> Option<StopReason> {
        self.note_place();
        self.state.next = None;
        self.state.in_rep = false;
        self.state.over_breakpoint = false;
        self.state.work += WORK;
        match deliver(&mut self.cpu, &mut self.world, event) {
            DeliveryOutcome::Shutdown => Some(StopReason::TripleFault),
            DeliveryOutcome::Delivered(delivery) => {
                let at = self.boundary();
                self.state.base = at.icount;
                self.state.sub = at.sub.saturating_add(1);
                self.state.just_delivered = Some(delivery.id.vector);
                let raw = at.icount.wrapping_add(self.world.idle);
                let id = delivery.id;
                self.world.clock.delivered(raw, id.serial, id.vector.0);
                self.state.entered = Some(self.boundary());
                None
            }
        }
    }

    /// Tells of a delivery whose interrupted context has been reached without IRET.
    pub(super) fn note_resumption(&mut self) {
        let r = &self.cpu.regs;
        if !self.cpu.activations.awaits(VirtAddr(r.rip))
            || self.state.entered == Some(self.boundary())
        {
            return;
        }
        let (rip, cs, rsp, ss) = (
            VirtAddr(r.rip),
            r.cs().selector,
            VirtAddr(r.rsp()),
            r.ss().selector,
        );
        if let Some(id) = self.cpu.activations.note_control(rip, cs, rsp, ss)
            && self.world.log.wants(EventClass::IRET)
        {
            self.world.log.emit(EventKind::Resumed { id });
            self.world.log.place.depth = self.cpu.activations.depth();
        }
    }

    fn consult_schedule(&mut self, next_is_iret: bool) {
        let just_delivered = self.state.just_delivered.take();
        if self.schedule.is_exhausted() {
            return;
        }
        let due = self.schedule.at_boundary(&BoundaryContext {
            at: self.boundary(),
            rip: VirtAddr(self.cpu.regs.rip),
            next_is_iret,
            just_delivered,
            nmi_can_be_latched: !self.cpu.nmi.pending,
        });
        for stimulus in due {
            self.raise(stimulus, Source::Schedule);
        }
    }

    /// Raises an event at the present boundary.
    pub fn raise(&mut self, stimulus: Stimulus, source: Source) {
        match stimulus {
            Stimulus::Nmi => self.raise_nmi(source),
            Stimulus::Irq(vector) => self.raise_interrupt(vector, source),
            Stimulus::MachineCheck => self.raise_machine_check(),
            Stimulus::Exception {
                vector,
                error_code,
                address,
            } => self.inject_exception(Exception {
                vector,
                error_code,
                kind: EventType::Fault,
                address,
                dr6: 0,
            }),
        }
    }

    /// Whether an event of this kind, raised now, would be taken at the present boundary.
    #[must_use]
    pub fn would_take(&self, kind: StimulusKind) -> bool {
        let raised = |wanted| kind == wanted;
        let mut waiting = Waiting::of(
            &self.cpu,
            self.interrupt_waits() || raised(StimulusKind::Irq),
            self.state.machine_check || raised(StimulusKind::MachineCheck),
        );
        waiting.nmi |= raised(StimulusKind::Nmi);
        let taken = decide(&waiting, &self.cpu.model.knobs).taken;
        match kind {
            StimulusKind::Nmi => taken == Some(Taken::Nmi),
            StimulusKind::Irq => taken == Some(Taken::Interrupt),
            StimulusKind::MachineCheck => taken == Some(Taken::MachineCheck),
            StimulusKind::Exception => taken.is_none() && !self.cpu.halted,
        }
    }

    /// Whether something waits to be taken: a latched NMI, or what was injected.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        self.cpu.nmi.pending || self.state.machine_check || self.state.injected.is_some()
    }

    /// The virtual time at which a device acts next by itself.
    #[must_use]
    pub fn next_deadline(&self) -> Option<u64> {
        self.world.devices.next_deadline()
    }

    /// Whether the schedule has nothing left.
    #[must_use]
    pub fn schedule_is_done(&self) -> bool {
        self.schedule.is_exhausted()
    }

    /// Time goes on.
    fn go_on(&mut self) {
        let raw = self.world.engine.icount().wrapping_add(self.world.idle);
        self.world.clock.go_on(raw);
    }

    /// HLT: virtual time goes on to the next thing that a device does.
    fn wait(&mut self) -> AtBoundary {
        // A handler that waits for time to pass.
        self.go_on();
        match self.world.devices.next_deadline() {
            Some(deadline) => {
                let now = self.world.now();
                self.world.idle = self
                    .world
                    .idle
                    .wrapping_add(deadline.saturating_sub(now).max(1));
                self.state.work += WORK;
                AtBoundary::Again
            }
            None => AtBoundary::Stop(StopReason::HaltedForever),
        }
    }

    /// Whether something outside the CPU ends the run here.
    fn ending(&mut self) -> Option<StopReason> {
        if let Some(stop) = self.state.ended.take() {
            return Some(stop);
        }
        if let Some(what) = self.world.not_modelled.take() {
            return Some(self.not_modelled(what));
        }
        if let Some(e) = &self.world.log.error {
            return Some(StopReason::OutputFailed {
                error: e.kind(),
                text: e.to_string(),
            });
        }
        if self.interrupt.load(Ordering::Relaxed) {
            return Some(StopReason::Interrupted);
        }
        let max_insns = self.config.max_insns;
        // Work that retires nothing is bounded with what retires.
        let bound = max_insns.saturating_mul(2 * WORK).max(1 << 26);
        (self.world.engine.icount() >= max_insns || self.state.work > bound)
            .then_some(StopReason::Limit { max_insns })
    }

    fn show_plugins(&mut self) {
        while !self.world.log.kept.is_empty() {
            let events = std::mem::take(&mut self.world.log.kept);
            let mut plugins = std::mem::take(&mut self.plugins);
            for event in &events {
                for plugin in &mut plugins {
                    if let super::Control::Stop(text) = plugin.event(self, event) {
                        self.state.ended.get_or_insert(StopReason::Plugin { text });
                    }
                }
            }
            // A plugin may have added one.
            plugins.append(&mut self.plugins);
            self.plugins = plugins;
        }
    }
}
