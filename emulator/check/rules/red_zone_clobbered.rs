//! `red-zone-clobbered`: a delivery wrote into memory below the stack pointer that was in use.
//!
//! When a delivery without IST at the same CPL has been resumed, its frame's bytes are watched: the engine
//! refuses their pages, and each access there is looked at before it is made. What is written first is
//! free stack, and so is what RSP has moved below; what is read first, still below RSP, was in use. The
//! same watch tells [`Frames`](crate::check::Frames) whether a resumed frame still holds what was pushed.
//!
//! An access that is refused costs what a fault costs, so there are bounds: [`ACCESSES`] refused for
//! each watch, [`WATCHES`] at a time, and one for each vector and interrupted instruction,
//! of which the last [`MEMORY`] are remembered. What is not watched draws no finding.

use crate::arch::{AccessKind, PAGE_SIZE, VirtAddr};
use crate::check::context::{Context, Proof};
use crate::check::{Finding, Findings, Frame, Frames, RuleId};
use crate::system::insn::DataAccess;
use crate::trace::{DeliveryId, EventKind};

/// Refused accesses a watch.
pub const ACCESSES: u32 = 256;
/// Watches at a time.
pub const WATCHES: usize = 4;
/// Interrupted instructions that are remembered.
pub const MEMORY: usize = 64;

/// One frame whose bytes are watched.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Watch {
    id: DeliveryId,
    at: VirtAddr,
    len: u8,
    /// Bytes that may be in use: bit 0 is the lowest. Empty: only `Frames` wants to know.
    doubtful: u64,
    /// No byte has been written.
    intact: bool,
    /// Deliveries that were unresumed when it began.
    depth: u16,
    accesses: u32,
    delivered: Proof,
}

impl Watch {
    fn pages(&self) -> [u64; 2] {
        let last = self.at.0.wrapping_add(u64::from(self.len) - 1);
        [self.at.page().0, last & !(PAGE_SIZE - 1)]
    }

    /// The bits of `doubtful` that an access of `size` bytes at `at` touches.
    fn bits(&self, at: VirtAddr, size: u64) -> u64 {
        (0..u64::from(self.len))
            .filter(|i| self.at.0.wrapping_add(*i).wrapping_sub(at.0) < size)
            .fold(0, |bits, i| bits | 1 << i)
    }

    const fn is_over(&self) -> bool {
        (!self.intact && self.doubtful == 0) || self.accesses >= ACCESSES
    }
}

/// The frames that are watched.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RedZoneClobbered {
    watches: Vec<Watch>,
    /// Of what was watched: a hash of vector and RIP, at its place modulo [`MEMORY`].
    seen: Vec<u64>,
    generation: u64,
}

impl RedZoneClobbered {
    /// Changes when [`pages`](Self::pages) does.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The pages that the engine must refuse.
    pub fn pages(&self) -> impl Iterator<Item = u64> + '_ {
        self.watches.iter().flat_map(|w| w.pages())
    }

    /// Whether an access there must be told.
    pub fn watches(&self, at: VirtAddr, size: u64) -> bool {
        let last = VirtAddr(at.0.wrapping_add(size.max(1) - 1)).page().0;
        self.pages().any(|p| p == at.page().0 || p == last)
    }

    /// `frame` has been resumed.
    pub fn resumed(&mut self, frame: &Frame, frames: &mut Frames, cx_depth: u16, cpl: u8) {
        if self.watches.iter().any(|w| w.id == frame.id) || self.is_seen(frame) {
            return;
        }
        let red_zone = frame.ist == 0 && frame.cpl == cpl;
        if self.watches.len() >= WATCHES {
            let old = self.watches.remove(0);
            frames.set_intact(old.id, false);
        }
        self.generation += 1;
        self.watches.push(Watch {
            id: frame.id,
            at: frame.at,
            len: frame.len,
            doubtful: if red_zone { (1 << frame.len) - 1 } else { 0 },
            intact: true,
            depth: cx_depth,
            accesses: 0,
            delivered: frame.proof.clone(),
        });
        frames.set_intact(frame.id, true);
    }

    fn is_seen(&mut self, frame: &Frame) -> bool {
        let EventKind::Delivered(d) = &frame.proof.0.kind else {
            return true;
        };
        // Fibonacci hashing; never 0, which is an empty place.
        let place = d.pushed.rip.0.rotate_left(8) ^ u64::from(d.id.vector.0);
        let hash = place.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        self.seen.resize(MEMORY, 0);
        let slot = &mut self.seen[(hash >> 58) as usize];
        std::mem::replace(slot, hash) == hash
    }

    /// CPL has changed: who had a red zone is no longer running.
    pub fn cpl_changed(&mut self) {
        for w in &mut self.watches {
            w.doubtful = 0;
        }
        self.forget();
    }

    /// A delivery has written its frame there.
    pub fn written(&mut self, at: VirtAddr, len: u64) {
        for w in &mut self.watches {
            let bits = w.bits(at, len);
            if bits != 0 {
                w.doubtful = 0;
                w.intact = false;
            }
        }
        self.forget();
    }

    fn forget(&mut self) {
        let before = self.watches.len();
        self.watches.retain(|w| !w.is_over());
        if self.watches.len() != before {
            self.generation += 1;
        }
    }

    /// The instruction at RIP makes these accesses.
    pub fn accessed(
        &mut self,
        accesses: &[DataAccess],
        frames: &mut Frames,
        cx: &Context<'_>,
        out: &mut Findings,
    ) {
        let rsp = cx.cpu.regs.rsp();
        let depth = cx.cpu.activations.depth();
        for w in &mut self.watches {
            let mut touched = false;
            // What RSP has moved below belongs to the stack now, with unspecified content.
            if depth <= w.depth && rsp <= w.at.0.wrapping_add(w.len.into()) {
                let below = rsp.saturating_sub(w.at.0).min(w.len.into());
                w.doubtful &= (1u64 << below) - 1;
            }
            for a in accesses {
                let size = u64::from(a.size);
                let bits = w.bits(a.addr, size);
                touched |= a.addr.page() == w.at.page();
                let is_write = a.kind == AccessKind::Write;
                let used = bits & w.doubtful;
                if used != 0 && a.reads && depth <= w.depth {
                    w.doubtful = 0;
                    out.push(Finding {
                        rule: RuleId::RedZoneClobbered,
                        severity: RuleId::RedZoneClobbered.severity(),
                        at: cx.at,
                        rip: VirtAddr(cx.cpu.regs.rip),
                        message: format!(
                            "{} bytes at {} are read below RSP: {} wrote its frame there",
                            a.size, a.addr, w.id
                        ),
                        events: vec![w.delivered.event()],
                    });
                }
                if bits != 0 && is_write {
                    w.doubtful &= !bits;
                    w.intact = false;
                    frames.written(a.addr, size);
                }
            }
            if touched {
                w.accesses += 1;
                if w.accesses >= ACCESSES {
                    frames.set_intact(w.id, false);
                }
            }
        }
        self.forget();
    }
}
