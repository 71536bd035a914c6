//! The state of the NMI machinery, and everything that needs one line only.

use super::page::Page;
use super::palette::Tone;
use super::words;
use crate::trace::event::{DeliveryId, Direction, Event, EventKind, Invalidation, UnblockedBy};

/// One row for `kind`, which is not one of those with a file of their own.
pub(super) fn other(page: &mut Page<'_, '_>, event: &Event, kind: &EventKind) {
    match kind {
        EventKind::NmiRaised { source } => {
            page.tone(Tone::Nmi)
                .s("NMI raised by ")
                .s(words::source(*source));
        }
        EventKind::NmiLatched { held_by } => {
            page.tone(Tone::Nmi)
                .s("NMI latched: ")
                .s(words::held_by(*held_by));
        }
        EventKind::NmiMerged => {
            page.tone(Tone::Alarm)
                .s("NMI merged with the pending one: lost");
        }
        EventKind::NmiBlocked => {
            page.tone(Tone::Nmi)
                .s("NMIs are blocked until the next IRET");
        }
        EventKind::NmiUnblocked {
            by,
            in_handler,
            blocked_by,
        } => unblocked(page, *by, *in_handler, *blocked_by),
        EventKind::IrqRaised { vector, source } => {
            page.s("interrupt ")
                .hex(vector.0)
                .s(" raised by ")
                .s(words::source(*source));
        }
        EventKind::ExceptionInjected { vector } => {
            page.tone(Tone::Fault)
                .vector(*vector)
                .s(" injected by the schedule");
        }
        EventKind::Resumed { id } => {
            page.tone(Tone::Return)
                .id(*id)
                .s(" resumed without an IRET");
        }
        EventKind::Syscall { target } => {
            page.s("SYSCALL to ").name(*target, ", CPL 3".len());
        }
        EventKind::Sysret { target, new_cpl } => {
            page.s("SYSRET to ")
                .name(*target, ", CPL 3".len())
                .s(", CPL ")
                .dec(*new_cpl);
        }
        EventKind::Halted => {
            page.s("HLT: waits for an event");
        }
        EventKind::Woken => {
            page.s("woken from HLT");
        }
        EventKind::ControlWrite { register, old, new } => {
            page.text(register).s(" ").hex(old.0).s(" -> ").hex(new.0);
            words::control_change(page, register, old.0, new.0);
        }
        EventKind::Cr2Read { value } => {
            page.s("cr2 read: ").hex(value.0);
        }
        EventKind::Msr {
            number,
            direction,
            value,
        } => {
            page.s(match direction {
                Direction::Read => "RDMSR ",
                Direction::Write => "WRMSR ",
            });
            match words::msr_name(number.0) {
                Some(name) => page.s(name),
                None => page.hex(number.0),
            };
            page.s(": ").hex(value.0);
        }
        EventKind::Swapgs {
            gs_base,
            kernel_gs_base,
        } => {
            page.s("SWAPGS: GS.base ").hex(gs_base.0);
            page.s(", KERNEL_GS_BASE ").hex(kernel_gs_base.0);
        }
        EventKind::TlbInvalidated(invalidation) => tlb(page, invalidation),
        EventKind::Io {
            port,
            size,
            direction,
            value,
        } => {
            match direction {
                Direction::Read => page.s("IN  port ").hex(*port).s(" -> "),
                Direction::Write => page.s("OUT port ").hex(*port).s(" <- "),
            };
            page.hex(value.0);
            bytes(page, *size);
        }
        EventKind::Mmio {
            address,
            size,
            direction,
            value,
            device,
        } => {
            transfer(page, "device ", *direction, address.0, Some(value.0));
            bytes(page, *size);
            match device {
                Some(device) => page.s("  ").text(device),
                None => page.tone(Tone::Alarm).s("  nothing answers"),
            };
        }
        EventKind::Mem {
            address,
            size,
            direction,
            value,
        } => {
            page.tone(Tone::Quiet);
            transfer(page, "  ", *direction, address.0, value.map(|v| v.0));
            bytes(page, *size);
        }
        EventKind::Console { device, text } => {
            page.text(device).s(": ").tone(Tone::Stop).text(text);
        }
        EventKind::Insn { bytes, text } => {
            page.tone(Tone::Quiet)
                .text(bytes)
                .tab(21)
                .tone(Tone::Stop)
                .text(text);
            page.source_line(event.rip);
        }
        EventKind::Stop { reason, text } => {
            page.tone(Tone::Stop)
                .s("STOP ")
                .text(reason)
                .s(": ")
                .text(text);
        }
        // The others have their own files.
        _ => {}
    }
}

fn unblocked(
    page: &mut Page<'_, '_>,
    by: UnblockedBy,
    in_handler: Option<DeliveryId>,
    blocked_by: Option<DeliveryId>,
) {
    // The NMI is named apart from the handler only where they differ.
    let inside = blocked_by.filter(|b| in_handler != Some(*b));
    match by {
        UnblockedBy::NmiReturn => {
            page.tone(Tone::Nmi)
                .s("NMIs are unblocked by the return of ");
            match blocked_by.or(in_handler) {
                Some(id) => page.id(id),
                None => page.s("the NMI"),
            };
            return;
        }
        UnblockedBy::OtherIret => {
            page.tone(Tone::Alarm).s("NMIs are UNBLOCKED EARLY by ");
            match in_handler {
                Some(id) if blocked_by == Some(id) => {
                    page.s("an IRET in ").id(id).s(" that is not its return")
                }
                Some(id) => page.s("the IRET of the ").id(id).s(" handler"),
                None => page.s("an IRET outside all handlers"),
            };
        }
        UnblockedBy::FaultingIret => {
            page.tone(Tone::Alarm)
                .s("NMIs are UNBLOCKED by an IRET that faults");
            if let Some(id) = in_handler {
                page.s(", in ").id(id);
            }
        }
    }
    if let Some(id) = inside {
        page.s(",");
        if page.room() < " inside ".len() + id.to_string().len() {
            page.detail().tone(Tone::Alarm);
        } else {
            page.s(" ");
        }
        page.s("inside ").id(id);
    }
}

fn tlb(page: &mut Page<'_, '_>, invalidation: &Invalidation) {
    page.tone(Tone::Quiet).s("translations dropped: ");
    match *invalidation {
        Invalidation::Invlpg { address } => {
            page.s("INVLPG ").hex(address.0);
        }
        Invalidation::Invpcid {
            kind,
            pcid,
            address,
        } => {
            // SDM vol. 2, INVPCID.
            match kind {
                0 => page
                    .s("INVPCID of PCID ")
                    .hex(pcid)
                    .s(" at ")
                    .hex(address.0),
                1 => page.s("INVPCID of all of PCID ").hex(pcid),
                2 => page.s("INVPCID of all, global ones too"),
                3 => page.s("INVPCID of all but global ones"),
                other => page.s("INVPCID of type ").dec(other),
            };
        }
        Invalidation::Cr3 { value } => {
            page.s("MOV to CR3, ").hex(value.0);
        }
        Invalidation::ControlRegister => {
            page.s("CR0 or CR4 changed");
        }
        Invalidation::Capacity => {
            page.s("too many to keep");
        }
    }
}

/// `write 0xfee000b0 = 0x0`
fn transfer(
    page: &mut Page<'_, '_>,
    what: &str,
    direction: Direction,
    address: u64,
    value: Option<u64>,
) {
    page.s(what);
    page.s(match direction {
        Direction::Read => "read  ",
        Direction::Write => "write ",
    });
    page.hex(address);
    if let Some(value) = value {
        page.s(" = ").hex(value);
    }
}

fn bytes(page: &mut Page<'_, '_>, size: u8) {
    page.s(" (")
        .dec(size)
        .s(if size == 1 { " byte)" } else { " bytes)" });
}
