//! What is looked at when a stub is called.

use super::super::case::Until;
use super::super::defect::DefectKind;
use super::super::layout::STUB_SIZE;
use super::super::observed::keep;
use super::super::session::{End, Session};
use super::super::stub::Call;
use crate::arch::CpuState;
use crate::arch::bits::rflags;

impl Session {
    /// The machine is at a boundary: whether a stub begins there, and ends the run. `resumed`: it
    /// was interrupted there, and goes on.
    pub(in crate::testing) fn called(&mut self, rip: u64, resumed: bool) -> Option<End> {
        let name = self.case.program.stub_at(rip)?.to_owned();
        let from = self.seen.last_rip;
        // A delivery in the stub, and the return to it, is no call.
        if resumed
            || self.case.program.stub_at(from & !(STUB_SIZE - 1)).is_some()
            || self
                .seen
                .calls
                .last()
                .is_some_and(|c| c.at == self.machine.boundary())
        {
            return None;
        }
        let regs = self.machine.cpu().regs.clone();
        let call = Call {
            name: name.clone(),
            at: self.machine.boundary(),
            from,
            arguments: [7, 6, 2, 1, 8, 9].map(|n| regs.gpr[n]),
            rsp: regs.rsp(),
            cpl: regs.cpl,
        };
        if self.seen.root.is_some() && self.seen.resumed.is_none() {
            self.look_at_call(&call, &regs);
        }
        self.seen.cr2_loaded_by = Some(format!("the call of {name} at {}", self.name(from)));
        keep(
            &mut self.seen.calls,
            &mut self.seen.left_out.calls,
            call.clone(),
        );
        let acts: Vec<_> = self
            .case
            .on_call
            .iter()
            .filter(|a| a.0 == name)
            .map(|a| std::sync::Arc::clone(&a.1))
            .collect();
        for act in acts {
            act(self, &call);
        }
        match &self.case.until {
            Until::Call(wanted) if *wanted == name => Some(End::Called(name)),
            _ => None,
        }
    }

    fn look_at_call(&mut self, call: &Call, regs: &CpuState) {
        let (name, from) = (&call.name, self.name(call.from));
        let rip = call.from;
        if Self::is_misaligned(call.rsp) {
            let text = self.misaligned(name, call.rsp, rip);
            self.defect(DefectKind::MisalignedCall, rip, text);
        }
        if regs.rflags & rflags::DF != 0 {
            let text = format!(
                "the direction flag is set at the call of {name} at {from}: functions take it to be clear \
                 (System V ABI, 3.2.1), and delivery leaves the interrupted code's: CLD is missing"
            );
            self.defect(DefectKind::DirectionFlag, rip, text);
        }
        if regs.cpl == 0
            && let Some(text) = self.wrong_gs(regs)
        {
            let text = format!(
                "{name} is called at {from} with {text} (without_gs: the kernel does not use GS)"
            );
            self.defect(DefectKind::WrongGs, rip, text);
        }
    }

    /// Whether RSP at the entry of a function is wrong.
    pub(in crate::testing) const fn is_misaligned(rsp: u64) -> bool {
        !rsp.wrapping_add(8).is_multiple_of(16)
    }

    /// That RSP at the entry of a function is wrong, in words.
    pub(in crate::testing) fn misaligned(&self, name: &str, rsp: u64, from: u64) -> String {
        format!(
            "the stack is misaligned at the call of {name} at {}: RSP + 8 is {:#x} at its entry, and must be a \
             multiple of 16 (System V ABI, 3.2.2)",
            self.name(from),
            rsp.wrapping_add(8)
        )
    }
}
