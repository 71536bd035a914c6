//! What an IRET is about to pop.

use super::super::defect::DefectKind;
use super::super::session::Session;
use crate::arch::CpuState;
use crate::system::Activation;

/// RIP's slot of a frame: above the error code.
const fn slot(a: &Activation) -> u64 {
    a.frame.0.wrapping_add(a.len as u64 - 40)
}

impl Session {
    /// IRET is about to pop: is it the frame of the innermost delivery?
    pub(super) fn look_at_frame(&mut self, regs: &CpuState) {
        let Some(&inner) = self.machine.cpu().activations.innermost() else {
            return;
        };
        let (rsp, rip) = (regs.rsp(), regs.rip);
        let wanted = slot(&inner);
        if rsp == wanted {
            return;
        }
        // A copy of a frame will do.
        let word = |n: u64| self.quad(rsp.wrapping_add(8 * n));
        let open = self.machine.cpu().activations.open();
        let popped = [word(0), word(1), word(3)];
        let is_copy = open.into_iter().any(|a| {
            popped
                == [
                    Some(a.context.rip.0),
                    Some(a.context.cs.0),
                    Some(a.context.rsp.0),
                ]
        });
        if is_copy {
            return;
        }
        let below = wanted.wrapping_sub(rsp);
        let place = self.name(rip);
        let values =
            popped[0].map_or_else(|| "what is not mapped".to_owned(), |v| format!("{v:#x}"));
        if below == 8 && inner.len == 48 {
            let text = format!(
                "the error code is still on the stack: the IRETQ at {place} pops it ({values}) as RIP; \
                 add 8 to RSP before it (SDM vol. 3, 6.13)"
            );
            self.defect(DefectKind::ErrorCodeNotPopped, rip, text);
        } else if below < 0x1000 && below % 8 == 0 {
            let code = if inner.len == 48 { 1 } else { 0 };
            let mut own: Vec<String> = Vec::new();
            for n in 0..(below / 8).saturating_sub(code).min(4) {
                let at = rsp.wrapping_add(8 * n);
                if let Some(w) = self.seen.writer_of(at) {
                    own.push(format!("{} ({})", self.insn_text(w.rip), self.name(w.rip)));
                }
            }
            let whose = if own.is_empty() {
                String::new()
            } else {
                format!(", stored by {}", own.join(", "))
            };
            let error_code = if code == 1 {
                ", the error code among them,"
            } else {
                ""
            };
            let text = format!(
                "IRETQ too early: at {place} RSP is {below} bytes below the frame, so {} quadwords{error_code} \
                 are still to be popped{whose}; it pops {values} as RIP",
                below / 8
            );
            self.defect(DefectKind::IretTooEarly, rip, text);
        } else {
            let above = rsp.wrapping_sub(wanted);
            let text = if above < 0x1000 {
                format!(
                    "IRETQ too late: at {place} RSP is {above} bytes above the frame, so too much was popped; \
                     it pops {values} as RIP"
                )
            } else {
                format!(
                    "the IRETQ at {place} pops no frame: RSP is {rsp:#x}, and the frame of {} is at {wanted:#x}; \
                     it pops {values} as RIP",
                    inner.id
                )
            };
            self.defect(DefectKind::IretTooLate, rip, text);
        }
    }
}
