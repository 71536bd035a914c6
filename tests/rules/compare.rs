//! Both machines after the same thing: registers, NMI bits, every byte of memory, A and D.

use iretrace::arch::bits::pte;
use iretrace::arch::state::gpr;
use iretrace::system::DeliveryOutcome;
use iretrace::trace::EventKind;

use super::manual::{Attempt, End};
use super::pages::{frame, leaf, load};
use super::world::Both;

/// Says where the machines differ.
pub fn same(both: &Both) -> Result<(), String> {
    let (got, want) = (&both.cpu.regs, &both.model.regs);
    if got != want {
        let mut what = String::new();
        let mut differs = |name: &str, got: u64, want: u64| {
            if got != want {
                what += &format!("{name}: {got:#x}, not {want:#x}\n");
            }
        };
        differs("RIP", got.rip, want.rip);
        differs("RSP", got.gpr[gpr::RSP], want.gpr[gpr::RSP]);
        differs("RFLAGS", got.rflags, want.rflags);
        differs("CPL", got.cpl.into(), want.cpl.into());
        differs("CR2", got.cr2, want.cr2);
        differs("DR6", got.dr6, want.dr6);
        differs("DR7", got.dr7, want.dr7);
        for (i, name) in ["ES", "CS", "SS", "DS", "FS", "GS"].iter().enumerate() {
            if got.seg[i] != want.seg[i] {
                what += &format!("{name}: {:#x?}, not {:#x?}\n", got.seg[i], want.seg[i]);
            }
        }
        return Err(format!("registers differ\n{what}"));
    }
    let nmi = (both.cpu.nmi.pending, both.cpu.nmi.blocked);
    let want = (both.model.nmi_pending, both.model.nmi_blocked);
    if nmi != want {
        return Err(format!("NMI pending, blocked: {nmi:?}, not {want:?}"));
    }
    memory(both)
}

fn memory(both: &Both) -> Result<(), String> {
    let bus = &both.bus;
    if let Some(at) = bus.stray {
        return Err(format!("physical {at:#x} was written"));
    }
    let memory = &both.model.memory;
    for (i, (page, maybe)) in memory.pages.iter().zip(&memory.maybe).enumerate() {
        let seen = load(&bus.ram, bus.leaves[i]);
        let mut spec = page.spec;
        spec.accessed |= maybe.0 && seen & pte::A != 0;
        spec.dirty |= maybe.1 && seen & pte::D != 0;
        let want = leaf(&spec, frame(i));
        if seen != want {
            let at = page.linear;
            return Err(format!("entry of page {at:#x}: {seen:#x}, not {want:#x}"));
        }
        let at = frame(i) as usize;
        let bytes = &bus.ram[at..at + page.bytes.len()];
        if bytes != &page.bytes[..] {
            let first = (0..bytes.len()).step_by(8);
            let at = first
                .into_iter()
                .find(|&at| load(bytes, at) != load(&page.bytes[..], at));
            let at = at.unwrap_or_default();
            let (got, want) = (load(bytes, at), load(&page.bytes[..], at));
            let linear = page.linear + at as u64;
            return Err(format!("{linear:#x} holds {got:#x}, not {want:#x}"));
        }
    }
    Ok(())
}

/// Compares how a delivery ended and which attempts it took.
pub fn delivery(
    both: &Both,
    got: &DeliveryOutcome,
    want: &End,
    attempts: &[Attempt],
) -> Result<(), String> {
    match (got, want) {
        (DeliveryOutcome::Shutdown, End::Shutdown) => {}
        (DeliveryOutcome::Delivered(d), End::Handler(h)) => {
            let got = (
                (d.id.vector.0, d.kind, d.error_code, d.ist, d.new_cpl),
                (d.frame.0, d.handler.0),
                [
                    d.pushed.rip.0,
                    d.pushed.cs.0,
                    d.pushed.rflags.0,
                    d.pushed.rsp.0,
                    d.pushed.ss.0,
                ],
            );
            let want = (
                (h.vector, h.kind, h.code, h.ist, h.new_cpl),
                (h.frame, h.handler),
                h.pushed,
            );
            if got != want {
                return Err(format!("delivered {got:#x?}, not {want:#x?}"));
            }
        }
        _ => return Err(format!("{got:#x?}, not {want:#x?}; {attempts:#x?}")),
    }
    if both.bus.wanted.is_empty() {
        return Ok(());
    }
    let failed: Vec<_> = both
        .bus
        .events
        .iter()
        .filter_map(|e| match e {
            EventKind::DeliveryFailed {
                vector,
                raised,
                error_code,
                address,
                then,
            } => Some((
                vector.0,
                raised.0,
                *error_code,
                address.map(|a| a.0),
                then.map(|v| v.0),
            )),
            _ => None,
        })
        .collect();
    let want: Vec<_> = attempts
        .iter()
        .map(|a| {
            let r = a.raised;
            (a.vector, r.vector, r.code, r.address, a.then)
        })
        .collect();
    if failed != want {
        return Err(format!("attempts {failed:#x?}, not {attempts:#x?}"));
    }
    Ok(())
}
