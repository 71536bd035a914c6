//! The machine: runs an image and tells what it delivered in the peer's terms.

use std::cell::RefCell;
use std::rc::Rc;

use iretrace::arch::state::gpr::RSP;
use iretrace::arch::{CpuModel, CpuState, EventType, Vector, Vendor};
use iretrace::load::Image;
use iretrace::machine::{Control, Machine, MachineConfig, Plugin, StopReason, Until};
use iretrace::trace::{Event, EventClass, EventKind, Filtered, SharedEvents};

use crate::attempt::Attempt;
use crate::peer::{End, RAM, Told};

const RF: u64 = 1 << 16;
const MAX_INSNS: u64 = 3_000_000;

/// The registers at each handler's first instruction.
struct AtHandlers(Rc<RefCell<Vec<[u64; 16]>>>);

impl Plugin for AtHandlers {
    fn event(&mut self, machine: &mut Machine, event: &Event) -> Control {
        if matches!(event.kind, EventKind::Delivered(_)) {
            self.0.borrow_mut().push(machine.cpu().regs.gpr);
        }
        Control::Continue
    }
}

/// What begins an attempt.
fn begun(event: &Event) -> Option<Attempt> {
    let at = Attempt {
        cpl: event.cpl,
        rip: event.rip.0,
        ..Attempt::default()
    };
    match &event.kind {
        EventKind::Exception {
            vector,
            kind,
            error_code,
            cr2,
        } => Some(Attempt {
            vector: vector.0,
            error_code: error_code.unwrap_or(0),
            software: matches!(
                kind,
                EventType::SoftwareInterrupt
                    | EventType::SoftwareException
                    | EventType::PrivilegedSoftwareException
            ),
            cr2: cr2.map(|a| a.0),
            ..at
        }),
        EventKind::NmiBlocked => Some(Attempt {
            vector: Vector::NMI.0,
            ..at
        }),
        // Nothing precedes the delivery of an interrupt.
        EventKind::Delivered(d) if d.kind == EventType::External => Some(Attempt {
            vector: d.id.vector.0,
            ..at
        }),
        _ => None,
    }
}

/// The attempts. Of the attempts of one chain only the last one changes any register but CR2, so
/// all have the registers of the delivery that ends the chain.
fn attempts(events: &[Event], at_handlers: &[[u64; 16]], end: &CpuState) -> Vec<Attempt> {
    let mut all = Vec::new();
    let mut first = 0;
    let mut at_handlers = at_handlers.iter();
    for event in events {
        all.extend(begun(event));
        if let EventKind::Delivered(d) = &event.kind {
            let mut gpr = *at_handlers.next().expect("a plugin sees what a sink sees");
            gpr[RSP] = d.pushed.rsp.0;
            for a in &mut all[first..] {
                a.gpr = gpr;
                a.rflags = d.pushed.rflags.0 & !RF;
                (a.cs, a.ss) = (d.pushed.cs.0 as u16, d.pushed.ss.0 as u16);
            }
            first = all.len();
        }
    }
    for a in &mut all[first..] {
        a.gpr = end.gpr;
        a.rflags = end.rflags & !RF;
        (a.cs, a.ss) = (end.cs().selector, end.ss().selector);
    }
    all
}

/// Runs `image`.
pub fn run(image: &Image) -> Told {
    let mut cpu = CpuModel::of(Vendor::Intel);
    // What the manuals leave open, as the peer has it (`differences.md`).
    cpu.knobs.frame_writes_atomic = false;
    let config = MachineConfig {
        cpu,
        ram_size: RAM,
        max_insns: MAX_INSNS,
        ..MachineConfig::default()
    };
    let mut machine = Machine::new(config).expect("a machine");
    machine.load(image).expect("the image fits");
    let at_handlers = Rc::default();
    machine.add_plugin(Box::new(AtHandlers(Rc::clone(&at_handlers))));
    let events = SharedEvents::default();
    let classes = EventClass::NMI | EventClass::FAULT | EventClass::IRQ;
    machine.add_sink(Box::new(Filtered::new(classes, events.clone())));
    let stop = machine.run(Until::Never);
    let end = match stop {
        StopReason::GuestExit { value, .. } => End::Exit(value),
        StopReason::TripleFault => End::Shutdown,
        StopReason::Limit { .. } | StopReason::HaltedForever => End::Stuck,
        other => panic!("the machine cannot run this: {other}"),
    };
    let attempts = attempts(&events.borrow(), &at_handlers.borrow(), &machine.cpu().regs);
    Told { attempts, end }
}
