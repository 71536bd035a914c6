//! The bytes of one event, in the order and spelling that the derived `Serialize` of
//! [`Event`] has. `lines_equal_serde_json` holds the two together.

use crate::arch::{AccessKind, EventType};
use crate::trace::event::{
    Delivery, DeliveryId, Direction, Event, EventKind, FrameValues, HeldBy, Invalidation, Return,
    Source, UnblockedBy, Walk, WalkOutcome,
};
use crate::trace::number::{push_dec, push_hex};

/// Appends one member. `","` or `"{"` comes before its key.
macro_rules! member {
    ($out:expr, $before:literal, $key:literal, hex $v:expr) => {{
        $out.extend_from_slice(concat!($before, "\"", $key, "\":\"").as_bytes());
        push_hex($out, $v);
        $out.push(b'"');
    }};
    ($out:expr, $before:literal, $key:literal, dec $v:expr) => {{
        $out.extend_from_slice(concat!($before, "\"", $key, "\":").as_bytes());
        push_dec($out, u64::from($v));
    }};
    ($out:expr, $before:literal, $key:literal, word $v:expr) => {{
        $out.extend_from_slice(concat!($before, "\"", $key, "\":\"").as_bytes());
        $out.extend_from_slice($v.as_bytes());
        $out.push(b'"');
    }};
    ($out:expr, $before:literal, $key:literal, text $v:expr) => {{
        $out.extend_from_slice(concat!($before, "\"", $key, "\":").as_bytes());
        push_string($out, $v);
    }};
    ($out:expr, $before:literal, $key:literal, bool $v:expr) => {{
        $out.extend_from_slice(concat!($before, "\"", $key, "\":").as_bytes());
        $out.extend_from_slice(if $v { b"true" } else { b"false" });
    }};
    ($out:expr, $before:literal, $key:literal, with $push:ident $v:expr) => {{
        $out.extend_from_slice(concat!($before, "\"", $key, "\":").as_bytes());
        $push($out, $v);
    }};
}

/// Appends `event` as an object; `names` are the members between `rip` and `cpl`.
pub(super) fn push_event(out: &mut Vec<u8>, event: &Event, names: &[u8]) {
    member!(out, "{", "icount", dec event.at.icount);
    member!(out, ",", "sub", dec event.at.sub);
    member!(out, ",", "rip", hex event.rip.0);
    out.extend_from_slice(names);
    member!(out, ",", "cpl", dec event.cpl);
    member!(out, ",", "depth", dec event.depth);
    push_kind(out, &event.kind);
    out.push(b'}');
}

fn push_kind(out: &mut Vec<u8>, kind: &EventKind) {
    member!(out, ",", "event", word event_word(kind));
    match kind {
        EventKind::NmiMerged | EventKind::NmiBlocked | EventKind::Halted | EventKind::Woken => {}
        EventKind::NmiRaised { source } => member!(out, ",", "source", word source_word(*source)),
        EventKind::NmiLatched { held_by } => member!(out, ",", "held_by", word held_word(*held_by)),
        EventKind::NmiUnblocked {
            by,
            in_handler,
            blocked_by,
        } => {
            member!(out, ",", "by", word unblocked_word(*by));
            if let Some(id) = in_handler {
                member!(out, ",", "in_handler", with push_id id);
            }
            if let Some(id) = blocked_by {
                member!(out, ",", "blocked_by", with push_id id);
            }
        }
        EventKind::IrqRaised { vector, source } => {
            member!(out, ",", "vector", dec vector.0);
            member!(out, ",", "source", word source_word(*source));
        }
        EventKind::ExceptionInjected { vector } => member!(out, ",", "vector", dec vector.0),
        EventKind::Exception {
            vector,
            kind,
            error_code,
            cr2,
        } => {
            member!(out, ",", "vector", dec vector.0);
            member!(out, ",", "type", word type_word(*kind));
            if let Some(code) = error_code {
                member!(out, ",", "error_code", dec * code);
            }
            if let Some(cr2) = cr2 {
                member!(out, ",", "cr2", hex cr2.0);
            }
        }
        EventKind::Delivered(delivery) => push_delivery(out, delivery),
        EventKind::DeliveryFailed {
            vector,
            raised,
            error_code,
            address,
            then,
        } => {
            member!(out, ",", "vector", dec vector.0);
            member!(out, ",", "raised", dec raised.0);
            if let Some(code) = error_code {
                member!(out, ",", "error_code", dec * code);
            }
            if let Some(address) = address {
                member!(out, ",", "address", hex address.0);
            }
            if let Some(then) = then {
                member!(out, ",", "then", dec then.0);
            }
        }
        EventKind::FrameOverwritten { frame, by } => {
            member!(out, ",", "frame", with push_id frame);
            member!(out, ",", "by", with push_id by);
        }
        EventKind::Walk(walk) => push_walk(out, walk),
        EventKind::Iret(ret) => push_return(out, ret),
        EventKind::Resumed { id } => member!(out, ",", "id", with push_id id),
        EventKind::Syscall { target } => member!(out, ",", "target", hex target.0),
        EventKind::Sysret { target, new_cpl } => {
            member!(out, ",", "target", hex target.0);
            member!(out, ",", "new_cpl", dec * new_cpl);
        }
        EventKind::ControlWrite { register, old, new } => {
            member!(out, ",", "register", text register);
            member!(out, ",", "old", hex old.0);
            member!(out, ",", "new", hex new.0);
        }
        EventKind::Cr2Read { value } => member!(out, ",", "value", hex value.0),
        EventKind::Msr {
            number,
            direction,
            value,
        } => {
            member!(out, ",", "number", hex number.0);
            member!(out, ",", "direction", word direction_word(*direction));
            member!(out, ",", "value", hex value.0);
        }
        EventKind::Swapgs {
            gs_base,
            kernel_gs_base,
        } => {
            member!(out, ",", "gs_base", hex gs_base.0);
            member!(out, ",", "kernel_gs_base", hex kernel_gs_base.0);
        }
        EventKind::TlbInvalidated(invalidation) => push_invalidation(out, invalidation),
        EventKind::Io {
            port,
            size,
            direction,
            value,
        } => {
            member!(out, ",", "port", dec * port);
            member!(out, ",", "size", dec * size);
            member!(out, ",", "direction", word direction_word(*direction));
            member!(out, ",", "value", hex value.0);
        }
        EventKind::Mmio {
            address,
            size,
            direction,
            value,
            device,
        } => {
            member!(out, ",", "address", hex address.0);
            member!(out, ",", "size", dec * size);
            member!(out, ",", "direction", word direction_word(*direction));
            member!(out, ",", "value", hex value.0);
            if let Some(device) = device {
                member!(out, ",", "device", text device);
            }
        }
        EventKind::Console { device, text } => {
            member!(out, ",", "device", text device);
            member!(out, ",", "text", text text);
        }
        EventKind::Insn { bytes, text } => {
            member!(out, ",", "bytes", text bytes);
            member!(out, ",", "text", text text);
        }
        EventKind::Mem {
            address,
            size,
            direction,
            value,
        } => {
            member!(out, ",", "address", hex address.0);
            member!(out, ",", "size", dec * size);
            member!(out, ",", "direction", word direction_word(*direction));
            if let Some(value) = value {
                member!(out, ",", "value", hex value.0);
            }
        }
        EventKind::Stop { reason, text } => {
            member!(out, ",", "reason", text reason);
            member!(out, ",", "text", text text);
        }
    }
}

fn push_id(out: &mut Vec<u8>, id: &DeliveryId) {
    member!(out, "{", "serial", dec id.serial);
    member!(out, ",", "vector", dec id.vector.0);
    member!(out, ",", "nth", dec id.nth);
    out.push(b'}');
}

fn push_frame(out: &mut Vec<u8>, frame: &FrameValues) {
    member!(out, "{", "rip", hex frame.rip.0);
    member!(out, ",", "cs", hex frame.cs.0);
    member!(out, ",", "rflags", hex frame.rflags.0);
    member!(out, ",", "rsp", hex frame.rsp.0);
    member!(out, ",", "ss", hex frame.ss.0);
    out.push(b'}');
}

fn push_delivery(out: &mut Vec<u8>, d: &Delivery) {
    member!(out, ",", "id", with push_id &d.id);
    member!(out, ",", "type", word type_word(d.kind));
    if let Some(code) = d.error_code {
        member!(out, ",", "error_code", dec code);
    }
    if let Some(cr2) = d.cr2 {
        member!(out, ",", "cr2", hex cr2.0);
    }
    if let Some(dr6) = d.dr6 {
        member!(out, ",", "dr6", hex dr6.0);
    }
    member!(out, ",", "ist", dec d.ist);
    member!(out, ",", "handler", hex d.handler.0);
    member!(out, ",", "frame", hex d.frame.0);
    member!(out, ",", "pushed", with push_frame &d.pushed);
    member!(out, ",", "new_cpl", dec d.new_cpl);
}

fn push_walk(out: &mut Vec<u8>, walk: &Walk) {
    member!(out, ",", "address", hex walk.address.0);
    member!(out, ",", "access", word access_word(walk.access));
    member!(out, ",", "user", bool walk.user);
    member!(out, ",", "implicit", bool walk.implicit);
    out.extend_from_slice(b",\"steps\":[");
    for (i, step) in walk.steps.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        member!(out, "{", "level", dec step.level);
        member!(out, ",", "entry_at", hex step.entry_at.0);
        member!(out, ",", "entry", hex step.entry.0);
        if let Some(updated) = step.updated {
            member!(out, ",", "updated", hex updated.0);
        }
        out.push(b'}');
    }
    out.push(b']');
    match walk.outcome {
        WalkOutcome::Mapped { phys, page_size } => {
            member!(out, ",", "outcome", word "mapped");
            member!(out, ",", "phys", hex phys.0);
            member!(out, ",", "page_size", dec page_size);
        }
        WalkOutcome::PageFault { error_code } => {
            member!(out, ",", "outcome", word "page-fault");
            member!(out, ",", "error_code", dec error_code);
        }
    }
}

fn push_return(out: &mut Vec<u8>, ret: &Return) {
    member!(out, ",", "mnemonic", text & ret.mnemonic);
    member!(out, ",", "frame", hex ret.frame.0);
    member!(out, ",", "popped", with push_frame &ret.popped);
    if let Some(of) = &ret.of {
        member!(out, ",", "of", with push_id of);
    }
    if let Some(resumes) = &ret.resumes {
        member!(out, ",", "resumes", with push_id resumes);
    }
    member!(out, ",", "new_cpl", dec ret.new_cpl);
}

fn push_invalidation(out: &mut Vec<u8>, invalidation: &Invalidation) {
    match *invalidation {
        Invalidation::Invlpg { address } => {
            member!(out, ",", "cause", word "invlpg");
            member!(out, ",", "address", hex address.0);
        }
        Invalidation::Invpcid {
            kind,
            pcid,
            address,
        } => {
            member!(out, ",", "cause", word "invpcid");
            member!(out, ",", "kind", dec kind);
            member!(out, ",", "pcid", dec pcid);
            member!(out, ",", "address", hex address.0);
        }
        Invalidation::Cr3 { value } => {
            member!(out, ",", "cause", word "cr3");
            member!(out, ",", "value", hex value.0);
        }
        Invalidation::ControlRegister => member!(out, ",", "cause", word "control-register"),
        Invalidation::Capacity => member!(out, ",", "cause", word "capacity"),
    }
}

/// Appends `s` quoted, escaped as `serde_json` does: only `"`, `\` and what is below U+0020.
pub(super) fn push_string(out: &mut Vec<u8>, s: &str) {
    out.push(b'"');
    let bytes = s.as_bytes();
    let mut copied = 0;
    for (i, &b) in bytes.iter().enumerate() {
        if b >= 0x20 && b != b'"' && b != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[copied..i]);
        copied = i + 1;
        match b {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', b]),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            _ => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]);
            }
        }
    }
    out.extend_from_slice(&bytes[copied..]);
    out.push(b'"');
}

const fn event_word(kind: &EventKind) -> &'static str {
    match kind {
        EventKind::NmiRaised { .. } => "nmi-raised",
        EventKind::NmiLatched { .. } => "nmi-latched",
        EventKind::NmiMerged => "nmi-merged",
        EventKind::NmiBlocked => "nmi-blocked",
        EventKind::NmiUnblocked { .. } => "nmi-unblocked",
        EventKind::IrqRaised { .. } => "irq-raised",
        EventKind::ExceptionInjected { .. } => "exception-injected",
        EventKind::Exception { .. } => "exception",
        EventKind::Delivered(_) => "delivered",
        EventKind::DeliveryFailed { .. } => "delivery-failed",
        EventKind::FrameOverwritten { .. } => "frame-overwritten",
        EventKind::Walk(_) => "walk",
        EventKind::Iret(_) => "iret",
        EventKind::Resumed { .. } => "resumed",
        EventKind::Syscall { .. } => "syscall",
        EventKind::Sysret { .. } => "sysret",
        EventKind::Halted => "halted",
        EventKind::Woken => "woken",
        EventKind::ControlWrite { .. } => "control-write",
        EventKind::Cr2Read { .. } => "cr2-read",
        EventKind::Msr { .. } => "msr",
        EventKind::Swapgs { .. } => "swapgs",
        EventKind::TlbInvalidated(_) => "tlb-invalidated",
        EventKind::Io { .. } => "io",
        EventKind::Mmio { .. } => "mmio",
        EventKind::Console { .. } => "console",
        EventKind::Insn { .. } => "insn",
        EventKind::Mem { .. } => "mem",
        EventKind::Stop { .. } => "stop",
    }
}

const fn source_word(source: Source) -> &'static str {
    match source {
        Source::Schedule => "schedule",
        Source::Apic => "apic",
        Source::Timer => "timer",
        Source::Device => "device",
        Source::Host => "host",
    }
}

const fn held_word(held_by: HeldBy) -> &'static str {
    match held_by {
        HeldBy::Blocked => "blocked",
        HeldBy::MovSsShadow => "mov-ss-shadow",
        HeldBy::StiShadow => "sti-shadow",
        HeldBy::Priority => "priority",
    }
}

const fn unblocked_word(by: UnblockedBy) -> &'static str {
    match by {
        UnblockedBy::NmiReturn => "nmi-return",
        UnblockedBy::OtherIret => "other-iret",
        UnblockedBy::FaultingIret => "faulting-iret",
    }
}

const fn direction_word(direction: Direction) -> &'static str {
    match direction {
        Direction::Read => "read",
        Direction::Write => "write",
    }
}

const fn access_word(access: AccessKind) -> &'static str {
    match access {
        AccessKind::Read => "read",
        AccessKind::Write => "write",
        AccessKind::Fetch => "fetch",
    }
}

const fn type_word(kind: EventType) -> &'static str {
    match kind {
        EventType::External => "external",
        EventType::Nmi => "nmi",
        EventType::Fault => "fault",
        EventType::Trap => "trap",
        EventType::Abort => "abort",
        EventType::SoftwareInterrupt => "software-interrupt",
        EventType::SoftwareException => "software-exception",
        EventType::PrivilegedSoftwareException => "privileged-software-exception",
    }
}
