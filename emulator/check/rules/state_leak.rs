//! `state-leak`: code that was interrupted comes back with other registers.
//!
//! Compared are the general registers, RFLAGS without RF, the bases of FS and GS and the one that
//! SWAPGS exchanges, CR3 and DR7. CR2 alone is a note. Not compared: x87 and SSE registers, and
//! selectors, which an IRET to an outer level may have to clear. A PCID in CR3 that differs after an
//! external interrupt is no leak: who was away may come back under another one.

use std::sync::Arc;

use super::Check;
use crate::arch::bits::{cr4, dr7, rflags};
use crate::arch::state::gpr;
use crate::arch::{EventType, SegReg, Vector};
use crate::check::context::{Context, Proof};
use crate::check::{Findings, RuleId, Severity};
use crate::system::Cpu;
use crate::trace::{Delivery, DeliveryId, Event, EventKind};

/// Interrupted contexts that are remembered; the oldest is forgotten for one more.
const MAX: usize = 64;

/// What an event that must leave no trace has interrupted.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Saved {
    id: DeliveryId,
    delivered: Proof,
    external: bool,
    gpr: [u64; 16],
    rflags: u64,
    others: [u64; 5],
    /// Not for #PF, which loads it.
    cr2: Option<u64>,
}

const OTHERS: [&str; 5] = ["fs.base", "gs.base", "kernel_gs_base", "cr3", "dr7"];

fn others(cpu: &Cpu, external: bool, debug: bool) -> [u64; 5] {
    let r = &cpu.regs;
    let pcid = if external && r.cr4 & cr4::PCIDE != 0 {
        0xfff
    } else {
        0
    };
    // Delivery of #DB clears GD itself.
    let general_detect = if debug { dr7::GD } else { 0 };
    [
        r.segment(SegReg::Fs).base,
        r.segment(SegReg::Gs).base,
        r.msr.kernel_gs_base,
        r.cr3 & !pcid,
        r.dr7 & !general_detect,
    ]
}

/// The interrupted contexts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StateLeak {
    saved: Vec<Saved>,
    /// The exception that was injected, and is not delivered yet.
    injected: Option<Vector>,
}

impl StateLeak {
    fn is_transparent(&self, d: &Delivery, cx: &Context<'_>) -> bool {
        let vector = d.id.vector;
        match d.kind {
            EventType::Nmi | EventType::External => true,
            kind if kind.is_software() => cx.config.transparent.contains(&vector),
            _ => {
                matches!(vector, Vector::MC | Vector::PF)
                    || self.injected == Some(vector) && matches!(vector, Vector::DB | Vector::BP)
                    || cx.config.transparent.contains(&vector)
            }
        }
    }

    fn save(&mut self, event: &Arc<Event>, d: &Delivery, cx: &Context<'_>) {
        let r = &cx.cpu.regs;
        let external = d.kind == EventType::External;
        let mut gpr = r.gpr;
        gpr[crate::arch::state::gpr::RSP] = d.pushed.rsp.0;
        if self.saved.len() >= MAX {
            self.saved.remove(0);
        }
        self.saved.push(Saved {
            id: d.id,
            delivered: Proof::of(event),
            external,
            gpr,
            rflags: d.pushed.rflags.0,
            others: others(cx.cpu, external, d.id.vector == Vector::DB),
            cr2: (d.id.vector != Vector::PF).then_some(r.cr2),
        });
    }

    fn compare(saved: &Saved, event: &Arc<Event>, cx: &Context<'_>, out: &mut Findings) {
        let r = &cx.cpu.regs;
        let now = others(cx.cpu, saved.external, saved.id.vector == Vector::DB);
        let flags = [saved.rflags, r.rflags].map(|f| f & !rflags::RF);
        let rule = RuleId::StateLeak;
        let leaks = saved.gpr != r.gpr || flags[0] != flags[1] || saved.others != now;
        if leaks && !out.is_full(rule, rule.severity()) {
            let gpr = gpr::NAMES.iter().zip(saved.gpr.iter().zip(&r.gpr));
            let others = OTHERS.iter().zip(saved.others.iter().zip(&now));
            let all = gpr
                .chain([(&"rflags", (&flags[0], &flags[1]))])
                .chain(others);
            let differing: Vec<String> = all
                .filter(|(_, (before, now))| before != now)
                .map(|(name, (before, now))| format!("{name} {now:#x} for {before:#x}"))
                .collect();
            Self::report(rule.severity(), saved, event, &differing.join(", "), out);
        }
        if let Some(before) = saved.cr2
            && before != r.cr2
            && !out.is_full(rule, Severity::Note)
        {
            let differing = format!("cr2 {:#x} for {before:#x}", r.cr2);
            Self::report(Severity::Note, saved, event, &differing, out);
        }
    }

    fn report(
        severity: Severity,
        saved: &Saved,
        event: &Arc<Event>,
        differing: &str,
        out: &mut Findings,
    ) {
        let message = format!("what {} interrupted goes on with {differing}", saved.id);
        let events = [&saved.delivered, &Proof::of(event)];
        out.report_as(RuleId::StateLeak, severity, message, &events);
    }
}

impl Check for StateLeak {
    fn event(&mut self, event: &Arc<Event>, cx: &Context<'_>, out: &mut Findings) {
        let resumed = match &event.kind {
            EventKind::ExceptionInjected { vector } => {
                self.injected = Some(*vector);
                return;
            }
            EventKind::Delivered(d) => {
                if self.is_transparent(d, cx) {
                    self.save(event, d, cx);
                }
                if self.injected == Some(d.id.vector) {
                    self.injected = None;
                }
                return;
            }
            EventKind::Iret(r) => r.resumes,
            EventKind::Resumed { id } => Some(*id),
            _ => return,
        };
        if let Some(id) = resumed
            && let Some(saved) = self.saved.iter().find(|s| s.id == id)
        {
            Self::compare(saved, event, cx, out);
        }
        // Also what was resumed elsewhere.
        self.saved.retain(|s| cx.is_open(s.id));
    }
}
