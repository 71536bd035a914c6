//! `delivery-failed`: the delivery of an event raised an exception.

use std::sync::Arc;

use super::Check;
use crate::arch::{Vector, VirtAddr};
use crate::check::context::Context;
use crate::check::{Findings, RuleId};
use crate::trace::{Event, EventKind};

/// Has no state.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DeliveryFailed;

/// The bit of an error code that says that it names an IDT gate (SDM vol. 3, 6.13).
const IDT: u32 = 2;

impl Check for DeliveryFailed {
    fn event(&mut self, event: &Arc<Event>, cx: &Context<'_>, out: &mut Findings) {
        let EventKind::DeliveryFailed {
            vector,
            raised,
            error_code,
            address,
            // Without: `shutdown`.
            then: Some(_),
        } = &event.kind
        else {
            return;
        };
        let why = closer(cx, *raised, error_code.unwrap_or(0), *address);
        let (what, raised) = (name(*vector), name(*raised));
        let message = format!("the delivery of {what} raised {raised}: {why}");
        out.report_event(RuleId::DeliveryFailed, event, message);
    }
}

fn name(vector: Vector) -> String {
    vector
        .mnemonic()
        .map_or_else(|| format!("vector {:#x}", vector.0), str::to_owned)
}

/// What the exception says, more closely.
fn closer(cx: &Context<'_>, raised: Vector, code: u32, address: Option<VirtAddr>) -> &'static str {
    let regs = &cx.cpu.regs;
    let within = |base: u64, limit: u64| address.is_some_and(|at| at.0.wrapping_sub(base) <= limit);
    match raised {
        Vector::PF if within(regs.idtr.base, regs.idtr.limit.into()) => {
            "unmapped-idt, the gate cannot be read"
        }
        Vector::PF if within(regs.gdtr.base, regs.gdtr.limit.into()) => {
            "unmapped-gdt, the descriptor cannot be read"
        }
        Vector::PF if within(regs.tr.base, regs.tr.limit.into()) => {
            "unmapped-tss, the stack pointer cannot be read"
        }
        Vector::PF => "unmapped-stack, the frame cannot be written",
        Vector::GP | Vector::NP if code & IDT != 0 => "bad-gate",
        Vector::GP | Vector::NP => "bad-code-segment, that of the gate",
        Vector::TS => "bad-tss",
        Vector::SS => "bad-stack, the stack pointer is not canonical",
        _ => "no gate, stack or segment",
    }
}
