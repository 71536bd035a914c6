//! Event delivery through the IDT in IA-32e mode: one event, and what its own delivery raises,
//! until a handler is entered or the processor shuts down (SDM vol. 3, 6.14 and 6.15;
//! SDM vol. 2, INT n).

use super::debug::{data_breakpoints, updated_dr6};
use super::delivery_steps::{Prepared, prepare};
use super::{Bus, Cpu, InterruptShadow, PendingEvent};
use crate::arch::bits::{dr7, rflags};
use crate::arch::double_fault::{Combination, combine};
use crate::arch::state::gpr;
use crate::arch::vector_info::fault_class;
use crate::arch::{
    AccessKind, EventType, Exception, Hex, SegReg, Segment, Selector, Vector, VirtAddr,
};
use crate::trace::{Delivery, EventClass, EventKind};

/// How a delivery ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DeliveryOutcome {
    /// A handler is entered: that of the event, or of what its delivery raised.
    Delivered(Delivery),
    /// Triple fault.
    Shutdown,
}

/// Delivers `event`.
///
/// Registers change only when a frame is on the stack; a delivery that fails changes CR2, DR6
/// and the NMI bits alone. The frame's writes are all made or none, unless the model's knob
/// `frame_writes_atomic` says otherwise. If they hit a data breakpoint, its conditions wait in
/// [`Cpu::pending_db`] for the handler's entry.
pub fn deliver(cpu: &mut Cpu, bus: &mut dyn Bus, event: PendingEvent) -> DeliveryOutcome {
    cpu.shadow = InterruptShadow::None;
    if cpu.halted {
        cpu.halted = false;
        if bus.wants(EventClass::HALT) {
            bus.emit(EventKind::Woken);
        }
    }
    let mut event = event;
    loop {
        recognise(cpu, bus, &event);
        let raised = match prepare(cpu, bus, &event) {
            Ok(prepared) => return DeliveryOutcome::Delivered(enter(cpu, bus, &event, &prepared)),
            Err(raised) => raised,
        };
        if let Some(address) = raised.address {
            cpu.regs.cr2 = address.0;
        }
        let next = next_event(cpu, &event, &raised);
        if bus.wants(EventClass::FAULT) {
            bus.emit(EventKind::DeliveryFailed {
                vector: event.vector,
                raised: raised.vector,
                error_code: raised.error_code,
                address: raised.address,
                then: next.map(|e| e.vector),
            });
        }
        match next {
            Some(next) => event = next,
            None => return DeliveryOutcome::Shutdown,
        }
    }
}

/// The linear bytes that a delivery wrote: the frame's lowest address and length.
#[must_use]
pub const fn frame_range(delivery: &Delivery) -> (VirtAddr, u64) {
    let len = if delivery.error_code.is_some() {
        48
    } else {
        40
    };
    (delivery.frame, len)
}

/// What happens before the IDT is looked at: the NMI bits, CR2, DR6.
fn recognise(cpu: &mut Cpu, bus: &mut dyn Bus, event: &PendingEvent) {
    if event.kind == EventType::Nmi {
        cpu.nmi.pending = false;
        cpu.nmi.blocked = true;
        cpu.nmi.blocked_by = None;
        cpu.activations.clear_blocker();
        if bus.wants(EventClass::NMI) {
            bus.emit(EventKind::NmiBlocked);
        }
    }
    if let Some(address) = event.address {
        cpu.regs.cr2 = address.0;
    }
    if event.is_debug_exception() {
        cpu.regs.dr6 = updated_dr6(cpu.regs.dr6, event.dr6);
    }
    let interrupt = matches!(event.kind, EventType::Nmi | EventType::External);
    if !interrupt && bus.wants(EventClass::FAULT) {
        bus.emit(EventKind::Exception {
            vector: event.vector,
            kind: event.kind,
            error_code: event.error_code,
            cr2: event.address,
        });
    }
}

/// What is delivered instead of `first`, whose delivery raised `second`. The new event is built
/// from the state before the first one: its RIP is the instruction, or the boundary.
fn next_event(cpu: &Cpu, first: &PendingEvent, second: &Exception) -> Option<PendingEvent> {
    let vendor = cpu.model.vendor;
    let first = fault_class(first.vector, first.kind, vendor);
    let class = fault_class(second.vector, second.kind, vendor);
    match combine(first, class) {
        Combination::Serial => Some(PendingEvent::exception(second, cpu.regs.rip)),
        Combination::DoubleFault => Some(PendingEvent::double_fault(cpu.regs.rip)),
        Combination::Shutdown => None,
    }
}

/// The frame is written: loads the handler's context and tells.
fn enter(cpu: &mut Cpu, bus: &mut dyn Bus, event: &PendingEvent, prepared: &Prepared) -> Delivery {
    let regs = &mut cpu.regs;
    if prepared.new_cpl != regs.cpl {
        let null = Selector(0).with_rpl(prepared.new_cpl);
        *regs.segment_mut(SegReg::Ss) = Segment::null(null.0);
    }
    *regs.segment_mut(SegReg::Cs) = prepared.cs;
    regs.cpl = prepared.new_cpl;
    regs.rip = prepared.handler.0;
    regs.gpr[gpr::RSP] = prepared.frame.0;
    regs.rflags &= !(rflags::TF | rflags::NT | rflags::RF | rflags::VM);
    if prepared.interrupt_gate {
        regs.rflags &= !rflags::IF;
    }
    let dr6 = event.is_debug_exception().then(|| {
        regs.dr7 &= !dr7::GD;
        Hex(regs.dr6)
    });

    let (id, overwritten) = cpu.activations.delivered(
        event.vector,
        event.kind,
        prepared.frame,
        prepared.len,
        prepared.pushed,
    );
    if event.kind == EventType::Nmi {
        cpu.nmi.blocked_by = Some(id.serial);
    }
    cpu.pending_db |= data_breakpoints(
        &cpu.regs,
        prepared.frame,
        u64::from(prepared.len),
        AccessKind::Write,
    );

    let delivery = Delivery {
        id,
        kind: event.kind,
        error_code: event.error_code,
        cr2: event.address.filter(|_| event.vector == Vector::PF),
        dr6,
        ist: prepared.ist,
        handler: prepared.handler,
        frame: prepared.frame,
        pushed: prepared.pushed,
        new_cpl: prepared.new_cpl,
    };
    if bus.wants(class_of(event.kind)) {
        bus.emit(EventKind::Delivered(delivery.clone()));
    }
    if bus.wants(EventClass::NMI) || bus.wants(EventClass::FAULT) {
        for frame in overwritten.into_iter().flatten() {
            bus.emit(EventKind::FrameOverwritten { frame, by: id });
        }
    }
    delivery
}

/// The class of [`EventKind::Delivered`].
const fn class_of(kind: EventType) -> EventClass {
    match kind {
        EventType::Nmi => EventClass::NMI,
        EventType::External | EventType::SoftwareInterrupt => EventClass::IRQ,
        _ => EventClass::FAULT,
    }
}
