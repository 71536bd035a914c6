//! Event delivery in IA-32e mode: SDM vol. 2, INT n, "Operation"; SDM vol. 3, 6.12 to 6.15 and
//! 17.3.1.1. Where the manuals leave an order open (L and D against P of a code segment, the
//! write of A against the pushes) this is the order that the emulator documents.

use iretrace::arch::{EventType, Segment};
use iretrace::system::PendingEvent;

use super::memory::By;
use super::model::{GP, Model, NP, Raised, SS, TS, hidden};

/// How a delivery ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// In the handler of this vector.
    Handler(Entered),
    Shutdown,
}

/// A handler is entered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entered {
    pub vector: u8,
    pub kind: EventType,
    pub code: Option<u32>,
    pub ist: u8,
    pub frame: u64,
    pub handler: u64,
    /// RIP, CS, RFLAGS, RSP, SS.
    pub pushed: [u64; 5],
    pub new_cpl: u8,
    pub old_cpl: u8,
    pub interrupt_gate: bool,
    pub conforming: bool,
    pub crosses: bool,
}

/// One failed attempt: what was delivered, what that raised, what is delivered next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attempt {
    pub vector: u8,
    pub raised: Raised,
    pub then: Option<u8>,
}

/// The event being delivered.
#[derive(Clone, Copy, Debug)]
struct Event {
    vector: u8,
    kind: EventType,
    code: Option<u32>,
    rip: u64,
    rf: bool,
    /// A #DB, and its DR6 bits.
    debug: Option<u64>,
}

/// Delivers an event, and what that raises.
pub fn deliver(m: &mut Model, first: &PendingEvent) -> (End, Vec<Attempt>) {
    let mut attempts = Vec::new();
    let software = matches!(
        first.kind,
        EventType::SoftwareInterrupt
            | EventType::SoftwareException
            | EventType::PrivilegedSoftwareException
    );
    let hardware = matches!(
        first.kind,
        EventType::Fault | EventType::Trap | EventType::Abort
    );
    let rf = m.regs.rflags >> 16 & 1 == 1;
    let mut event = Event {
        vector: first.vector.0,
        kind: first.kind,
        code: first.error_code,
        rip: first.saved_rip.0,
        // 17.3.1.1.
        rf: if software {
            false
        } else if first.kind == EventType::Fault {
            // #DB faults are instruction breakpoints, or general detect (BD).
            first.vector.0 != 1 || first.dr6 & (1 << 13) != 0 || rf
        } else {
            first.vector.0 == 8 && hardware || rf || first.between_iterations
        },
        debug: None,
    };
    let int1 = first.kind == EventType::PrivilegedSoftwareException;
    if first.vector.0 == 1 && (hardware || int1) {
        event.debug = Some(first.dr6);
    }
    if first.kind == EventType::Nmi {
        // 6.7.1: from here on, whatever becomes of the delivery.
        m.nmi_pending = false;
        m.nmi_blocked = true;
    }
    if let Some(address) = first.address {
        m.regs.cr2 = address.0;
    }
    if let Some(bits) = event.debug
        && bits != 0
    {
        // 17.2.3: B0 to B3 are of this #DB, the others stay until software clears them.
        m.regs.dr6 = m.regs.dr6 & !0xf | bits;
    }
    // The rows and columns of table 6-5.
    let contributory = |v: u8| matches!(v, 0 | 10..=13 | 21) || (m.amd && matches!(v, 29 | 30));
    let page_fault = |v: u8| v == 14 || v == 20;
    let mut first_contributory = hardware && contributory(event.vector);
    let mut first_page_fault = hardware && page_fault(event.vector);
    let mut first_double_fault = hardware && event.vector == 8;
    loop {
        // A failed attempt leaves nothing but A and D bits.
        let raised = match attempt(m, &event) {
            Ok(entered) => return (End::Handler(entered), attempts),
            Err(raised) => raised,
        };
        if let Some(address) = raised.address {
            m.regs.cr2 = address;
        }
        let second_contributory = matches!(raised.vector, 10..=13);
        let second_page_fault = raised.vector == 14;
        let then = if first_double_fault && (second_contributory || second_page_fault) {
            None
        } else if (first_contributory && second_contributory)
            || (first_page_fault && (second_contributory || second_page_fault))
        {
            Some(8)
        } else {
            Some(raised.vector)
        };
        attempts.push(Attempt {
            vector: event.vector,
            raised,
            then,
        });
        let Some(vector) = then else {
            return (End::Shutdown, attempts);
        };
        first_double_fault = vector == 8;
        first_contributory = vector != 8 && second_contributory;
        first_page_fault = vector != 8 && second_page_fault;
        event = Event {
            vector,
            kind: if vector == 8 {
                EventType::Abort
            } else {
                EventType::Fault
            },
            code: if vector == 8 { Some(0) } else { raised.code },
            // For INT n, INT3 and INTO the instruction itself, for all others the boundary.
            rip: m.regs.rip,
            rf: true,
            debug: None,
        };
    }
}

/// The step list, once.
fn attempt(m: &mut Model, event: &Event) -> Result<Entered, Raised> {
    let v = u64::from(event.vector);
    let cpl = m.regs.cpl;
    let int_n = matches!(
        event.kind,
        EventType::SoftwareInterrupt | EventType::SoftwareException
    );
    let ext = u32::from(!int_n);
    let idt_code = event.vector as u32 * 8 + 2 + ext;

    // 2, 3: the gate.
    if v * 16 + 15 > u64::from(m.regs.idtr.limit) {
        return Err(Raised::new(GP, idt_code, "2 IDT limit"));
    }
    let at = m.regs.idtr.base.wrapping_add(v * 16);
    if !m.all_canonical(at, 16) {
        return Err(Raised::new(GP, idt_code, "3 gate not canonical"));
    }
    m.check(at, 16, false, By::System)
        .map_err(|e| e.at("3 gate #PF"))?;
    let low = m.read(at, 8, By::System)?;
    let high = m.read(at.wrapping_add(8), 8, By::System)?;

    // 4 to 6.
    let kind = low >> 40 & 0x1f;
    if kind != 0b01110 && kind != 0b01111 {
        return Err(Raised::new(GP, idt_code, "4 gate type"));
    }
    if int_n && ((low >> 45 & 3) as u8) < cpl {
        return Err(Raised::new(GP, idt_code, "5 gate DPL"));
    }
    if low >> 47 & 1 == 0 {
        return Err(Raised::new(NP, idt_code, "6 gate P"));
    }

    // 7: the code segment.
    let selector = (low >> 16 & 0xffff) as u16;
    if selector & 0xfffc == 0 {
        return Err(Raised::new(GP, ext, "7 null CS"));
    }
    let cs_code = u32::from(selector & 0xfffc) | ext;
    let found = m
        .descriptor(selector)
        .map_err(|e| e.at("7 descriptor #PF"))?;
    let Some(cs) = found else {
        return Err(Raised::new(GP, cs_code, "7 CS limit"));
    };
    if !cs.code {
        return Err(Raised::new(GP, cs_code, "7 CS not code"));
    }
    if cs.dpl > cpl {
        return Err(Raised::new(GP, cs_code, "7 CS DPL"));
    }
    if !cs.l || cs.d {
        return Err(Raised::new(GP, cs_code, "7 CS L, D"));
    }
    if !cs.p {
        return Err(Raised::new(NP, cs_code, "7 CS P"));
    }

    // 8.
    let new_cpl = if cs.conforming { cpl } else { cs.dpl };

    // 9, 10: the stack.
    let ist = (low >> 32 & 7) as u8;
    let offset = if ist != 0 {
        Some(28 + 8 * u64::from(ist))
    } else if new_cpl < cpl {
        Some(4 + 8 * u64::from(new_cpl))
    } else {
        None
    };
    let mut rsp = m.regs.gpr[4];
    if let Some(offset) = offset {
        let ts_code = u32::from(m.regs.tr.selector & 0xfffc) | ext;
        if offset + 7 > u64::from(m.regs.tr.limit) {
            return Err(Raised::new(TS, ts_code, "9 TSS limit"));
        }
        let at = m.regs.tr.base.wrapping_add(offset);
        if !m.all_canonical(at, 8) {
            return Err(Raised::new(TS, ts_code, "9 TSS not canonical"));
        }
        rsp = m.read(at, 8, By::System).map_err(|e| e.at("9 TSS #PF"))?;
        if m.frames.rsp_checked && !m.canonical(rsp) {
            return Err(Raised::new(SS, ext, "10 RSP not canonical"));
        }
    }

    // 11.
    let handler = low & 0xffff | low >> 32 & 0xffff_0000 | high << 32;
    if !m.canonical(handler) {
        return Err(Raised::new(GP, ext, "11 handler not canonical"));
    }

    // 12, 13: the frame.
    let top = rsp & !15;
    let rflags = m.regs.rflags & !(1 << 16) | u64::from(event.rf) << 16;
    let mut slots = vec![
        u64::from(m.regs.seg[2].selector),
        m.regs.gpr[4],
        rflags,
        u64::from(m.regs.seg[1].selector),
        event.rip,
    ];
    if let Some(code) = event.code {
        slots.push(u64::from(code));
    }
    let by = if m.frames.implicit {
        By::System
    } else {
        By::Level(new_cpl)
    };
    let mut at = top;
    for (i, &slot) in slots.iter().enumerate() {
        at = at.wrapping_sub(8);
        if !m.all_canonical(at, 8) {
            let step = if i == 0 {
                "13 push not canonical"
            } else {
                "13 later push not canonical"
            };
            unfinished(m, at.wrapping_add(8), top);
            return Err(Raised::new(SS, ext, step));
        }
        if let Err(e) = m.allowed_push(at, by) {
            unfinished(m, at.wrapping_add(8), top);
            return Err(e.at(if i == 0 {
                "13 first push #PF"
            } else {
                "13 later push #PF"
            }));
        }
        if !m.frames.atomic {
            m.check(at, 8, true, by)?;
            m.store(at, 8, slot);
        }
    }
    let frame = at;
    let len = top.wrapping_sub(frame);

    // The load of CS sets A, the pushes are made.
    let cs = match m.mark_accessed(cs) {
        Ok(cs) => cs,
        Err(e) => {
            unfinished(m, frame, top);
            return Err(e.at("15 CS accessed #PF"));
        }
    };
    for i in 0..len / 8 {
        let at = frame.wrapping_add(8 * i);
        m.check(at, 8, true, by)?;
    }
    if m.frames.atomic {
        for (i, &slot) in slots.iter().enumerate() {
            m.store(top.wrapping_sub(8 * (i as u64 + 1)), 8, slot);
        }
    }

    // 15, 16.
    let interrupt_gate = kind == 0b01110;
    let r = &mut m.regs;
    if new_cpl != cpl {
        r.seg[2] = Segment {
            selector: u16::from(new_cpl),
            base: 0,
            limit: 0,
            attr: 0,
        };
    }
    r.seg[1] = hidden(cs.raw, selector & !3 | u16::from(new_cpl));
    r.cpl = new_cpl;
    r.rip = handler;
    r.gpr[4] = frame;
    // TF, NT, RF, VM.
    r.rflags &= !(1 << 8 | 1 << 14 | 1 << 16 | 1 << 17);
    if interrupt_gate {
        r.rflags &= !(1 << 9);
    }
    if event.debug.is_some() {
        // 17.2.4: GD is cleared as the handler is entered.
        r.dr7 &= !(1 << 13);
    }
    Ok(Entered {
        vector: event.vector,
        kind: event.kind,
        code: event.code,
        ist,
        frame,
        handler,
        pushed: [slots[4], slots[3], slots[2], slots[1], slots[0]],
        new_cpl,
        old_cpl: cpl,
        interrupt_gate,
        conforming: cs.conforming,
        crosses: frame >> 12 != top.wrapping_sub(1) >> 12,
    })
}

/// Pushes from `top` down to `lowest` were possible, but are not made: A and D there are open.
fn unfinished(m: &mut Model, lowest: u64, top: u64) {
    let mut slot = top;
    while slot != lowest {
        slot = slot.wrapping_sub(8);
        m.maybe_written(slot);
    }
}
