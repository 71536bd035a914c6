//! Exceptions, deliveries and returns.

use super::Pushed;
use super::page::Page;
use super::palette::Tone;
use super::words;
use crate::arch::{EventType, Vector, VirtAddr};
use crate::trace::event::{Delivery, DeliveryId, Event, FrameValues, Return};

/// The type in words; `None` for NMIs, whose name says it.
const fn type_word(kind: EventType) -> Option<&'static str> {
    Some(match kind {
        EventType::Nmi => return None,
        EventType::External => "external",
        EventType::Fault => "fault",
        EventType::Trap => "trap",
        EventType::Abort => "abort",
        EventType::SoftwareInterrupt => "INT n",
        EventType::SoftwareException => "INT3/INTO",
        EventType::PrivilegedSoftwareException => "INT1",
    })
}

/// An exception is recognised.
pub(super) fn exception(
    page: &mut Page<'_, '_>,
    vector: Vector,
    kind: EventType,
    error_code: Option<u32>,
    cr2: Option<VirtAddr>,
) {
    page.tone(Tone::Fault).vector(vector).s(" raised");
    match (vector, error_code, cr2) {
        (Vector::PF, Some(code), Some(cr2)) => {
            page.s(": ").s(words::page_fault_access(code)).s(" of ");
            page.hex(cr2.0);
            page.s(", ").s(words::page_fault_reason(code));
        }
        _ => {
            if let Some(word) = type_word(kind) {
                page.s(" (").s(word).s(")");
            }
            if let Some(code) = error_code {
                page.s(": ");
                words::error_code(page, vector, code);
            }
            if let Some(cr2) = cr2 {
                page.s(", address ").hex(cr2.0);
            }
        }
    }
}

/// An event was delivered: name, type, handler, stack, error code, frame.
pub(super) fn delivered(page: &mut Page<'_, '_>, event: &Event, d: &Delivery) {
    page.tone(match d.kind {
        EventType::Nmi => Tone::Nmi,
        _ => Tone::Fault,
    });
    page.id(d.id);
    if let Some(word) = type_word(d.kind) {
        page.s(" (").s(word).s(")");
    }
    page.s(" delivered to ")
        .name(d.handler, " on this stack".len())
        .s(" on ");
    if d.ist > 0 {
        page.s("IST").dec(d.ist);
    } else if d.new_cpl < event.cpl {
        page.s("RSP").dec(d.new_cpl);
    } else {
        page.s("this stack");
    }
    if d.error_code.is_some() || d.cr2.is_some() || d.dr6.is_some() {
        page.detail();
        let mut between = "";
        if let Some(cr2) = d.cr2 {
            page.s("cr2 ").hex(cr2.0);
            between = "  ";
        }
        if let Some(code) = d.error_code {
            // The rare bits have words that do not fit beside an address.
            if d.cr2.is_some() && code > 0xff {
                page.detail();
            } else {
                page.s(between);
            }
            words::error_code(page, d.id.vector, code);
            between = "  ";
        }
        if let Some(dr6) = d.dr6 {
            page.s(between).s("dr6 ").hex(dr6.0);
        }
    }
    frame(page, d.frame, &d.pushed);
    page.detail()
        .s("returns to ")
        .name(d.pushed.rip, " with rflags 0x10246 [RF IF ZF PF]".len())
        .s(" with ");
    words::rflags(page, d.pushed.rflags.0);
    page.source_line(d.pushed.rip);
}

/// `frame 0xfffffe0000001fd8  rsp 0xffffffff80010f00  cs 0x8  ss 0x10`
fn frame(page: &mut Page<'_, '_>, at: VirtAddr, values: &FrameValues) {
    page.detail().s("frame ").hex(at.0);
    page.s("  rsp ").hex(values.rsp.0);
    page.s("  cs ").hex(values.cs.0);
    page.s("  ss ").hex(values.ss.0);
}

/// A delivery raised another exception.
pub(super) fn failed(
    page: &mut Page<'_, '_>,
    vector: Vector,
    raised: Vector,
    error_code: Option<u32>,
    address: Option<VirtAddr>,
    then: Option<Vector>,
) {
    page.tone(Tone::Alarm).s("delivery of ").vector(vector);
    page.s(" failed: it raised ").vector(raised);
    if error_code.is_some() || address.is_some() {
        page.detail();
        if let Some(address) = address {
            page.s("address ").hex(address.0);
        }
        if let Some(code) = error_code {
            page.s(if address.is_some() { "  " } else { "" });
            words::error_code(page, raised, code);
        }
    }
    page.detail();
    match then {
        Some(then) => page.s("now ").vector(then).s(" is delivered instead"),
        None => page.s("a fault while #DF is delivered: the CPU shuts down (triple fault)"),
    };
}

/// A delivery wrote over a frame that is still needed.
pub(super) fn overwritten(page: &mut Page<'_, '_>, frame: DeliveryId, by: DeliveryId) {
    page.tone(Tone::Alarm);
    page.id(by)
        .s("'s delivery wrote over ")
        .id(frame)
        .s("'s return frame:");
    page.detail().tone(Tone::Alarm);
    page.id(frame).s(" can return by a copy of it alone");
}

/// An IRET: whose frame it popped, who resumes, and where.
pub(super) fn returned(
    page: &mut Page<'_, '_>,
    event: &Event,
    r: &Return,
    pushed: Option<&Pushed>,
) {
    page.tone(Tone::Return)
        .text(&r.mnemonic.to_ascii_uppercase());
    match (r.of, r.resumes) {
        (of, Some(resumes)) if of.is_none_or(|of| of == resumes) => {
            page.s(": ").id(resumes).s(" returns to ");
        }
        (Some(of), Some(resumes)) => {
            page.tone(Tone::Alarm);
            page.s(" with ")
                .id(of)
                .s("'s frame: ")
                .id(resumes)
                .s(" resumes at ");
        }
        (Some(of), None) => {
            page.s(" with ").id(of).s("'s frame to ");
        }
        (None, _) => {
            page.s(" with a frame of software's own to ");
        }
    }
    page.name(r.popped.rip, ", CPL 3".len());
    if r.new_cpl != event.cpl {
        page.s(", CPL ").dec(r.new_cpl);
    }
    let as_pushed = pushed.is_some_and(|p| p.frame == r.frame && p.values == r.popped);
    if as_pushed && r.of == r.resumes {
        return;
    }
    frame(page, r.frame, &r.popped);
    page.detail();
    words::rflags(page, r.popped.rflags.0);
    if let Some(p) = pushed {
        if p.frame != r.frame {
            page.s("  (a copy of the frame at ").hex(p.frame.0).s(")");
        } else if p.values != r.popped {
            page.s("  (changed by software)");
        }
    }
}
