//! What is noted while a handler runs.

use std::collections::BTreeMap;

use super::defect::{Defect, DefectKind};
use super::layout::{Stack, USER_STACK, USER_STACK_SIZE};
use super::stub::Call;
use crate::arch::CpuState;
use crate::trace::Delivery;

/// Notes of each kind that are kept; hostile code could make any number.
pub const MOST: usize = 1 << 16;

/// One store of an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Write {
    /// Linear address.
    pub at: u64,
    /// Bytes.
    pub size: u32,
    /// The instruction.
    pub rip: u64,
}

/// The delivery under test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Root {
    /// It.
    pub delivery: Delivery,
    /// All registers before it.
    pub before: CpuState,
    /// Whether NMIs were blocked before it.
    pub nmi_blocked: bool,
}

/// How deep a stack was used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Depth {
    /// Where its use began.
    pub top: u64,
    /// The least RSP.
    pub lowest: u64,
    /// The instruction before which it was the least.
    pub rip: u64,
}

impl Depth {
    /// Bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.top.saturating_sub(self.lowest)
    }
}

/// Everything that is noted from the delivery under test on.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// That delivery.
    pub root: Option<Root>,
    /// All deliveries from it on, and it.
    pub deliveries: Vec<Delivery>,
    /// Calls of stubs.
    pub calls: Vec<Call>,
    /// Stores of the code under test.
    pub writes: Vec<Write>,
    /// Instructions of the code under test that retired.
    pub instructions: u64,
    /// Boundaries that were seen.
    pub boundaries: u64,
    /// Stacks of the harness, and how deep they were used.
    pub depth: BTreeMap<Stack, Depth>,
    /// RSP, and the instruction, where it first was on no stack of the harness nor the user's.
    pub other_stack: Option<(u64, u64)>,
    /// Mistakes, each place once.
    pub defects: Vec<Defect>,
    /// All registers where what was interrupted is resumed.
    pub resumed: Option<CpuState>,
    /// Whether NMIs are blocked there.
    pub resumed_blocked: bool,
    /// Whether x87 and SSE registers are the interrupted code's there.
    pub resumed_fpu: bool,
    /// The instruction before the present one.
    pub last_rip: u64,
    /// The code under test has executed STD.
    pub std_seen: bool,
    /// What may have loaded CR2 since the delivery, in words.
    pub cr2_loaded_by: Option<String>,
    /// Calls by the code under test, in order, as [`Aligned`](super::Expectation::Aligned) needs them: RIP and
    /// RSP at the function's entry, and the CALL.
    pub entries: Vec<(u64, u64, u64)>,
    /// Notes for which there was no room.
    pub left_out: LeftOut,
}

/// How many notes there were beyond the first [`MOST`] of each kind. What is expected of these
/// cannot be said to hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LeftOut {
    /// Deliveries.
    pub deliveries: u64,
    /// Calls of stubs.
    pub calls: u64,
    /// Stores of the code under test.
    pub writes: u64,
    /// Calls by the code under test.
    pub entries: u64,
}

/// Adds a note while there is room, and counts it when there is not.
pub(super) fn keep<T>(list: &mut Vec<T>, left_out: &mut u64, note: T) {
    if list.len() < MOST {
        list.push(note);
    } else {
        *left_out = left_out.saturating_add(1);
    }
}

impl Observed {
    /// Adds a mistake; each kind counts once a place.
    pub(super) fn defect(&mut self, defect: Defect) {
        let known = |d: &&Defect| d.kind == defect.kind && d.rip == defect.rip;
        if self.defects.len() < MOST && !self.defects.iter().any(|d| known(&d)) {
            self.defects.push(defect);
        }
    }

    /// The first mistake of these kinds.
    #[must_use]
    pub fn first(&self, kinds: &[DefectKind]) -> Option<&Defect> {
        self.defects.iter().find(|d| kinds.contains(&d.kind))
    }

    /// Notes RSP.
    pub(super) fn note_stack(&mut self, rsp: u64, rip: u64) {
        let Some(stack) = Stack::of(rsp) else {
            // SYSCALL leaves the user's.
            if !(USER_STACK - USER_STACK_SIZE..=USER_STACK).contains(&rsp) {
                self.other_stack.get_or_insert((rsp, rip));
            }
            return;
        };
        let frame_top = self.root.as_ref().map(|r| {
            let len = if r.delivery.error_code.is_some() {
                48
            } else {
                40
            };
            r.delivery.frame.0.wrapping_add(len)
        });
        let depth = self.depth.entry(stack).or_insert_with(|| {
            let top = frame_top
                .filter(|t| Stack::of(t.wrapping_sub(8)) == Some(stack))
                .unwrap_or(stack.top());
            Depth {
                top,
                lowest: top,
                rip,
            }
        });
        if rsp < depth.lowest {
            (depth.lowest, depth.rip) = (rsp, rip);
        }
    }

    /// The instruction that last stored to the quadword at `at`.
    #[must_use]
    pub fn writer_of(&self, at: u64) -> Option<&Write> {
        self.writes
            .iter()
            .rev()
            .find(|w| at.wrapping_sub(w.at) < u64::from(w.size) || w.at.wrapping_sub(at) < 8)
    }
}
