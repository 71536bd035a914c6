//! Deliveries that have not been resumed, and whose frame bytes are whose.
//!
//! An activation is resumed when control reaches its saved RIP, CS, RSP by any instruction, or
//! when an IRET pops its frame after software edited it. Activations form no stack: kernels
//! switch contexts. A frame's bytes are a delivery's as long as they are still the ones it pushed.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::page_hash::PageMap;
use crate::arch::{EventType, Vector, VirtAddr};
use crate::trace::{DeliveryId, FrameValues};

/// How many unresumed deliveries are remembered; the oldest is forgotten for one more.
pub const CAPACITY: usize = 4096;

/// How many frames are remembered: those of all activations, and as many resumed ones.
const FRAMES: usize = 2 * CAPACITY;

/// A delivery and its frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Activation {
    /// Its name.
    pub id: DeliveryId,
    /// How it came about.
    pub kind: EventType,
    /// The frame's lowest address.
    pub frame: VirtAddr,
    /// The frame's length: 40, or 48 with an error code.
    pub len: u8,
    /// The interrupted context: what was pushed.
    pub context: FrameValues,
}

/// From RIP's slot to the frame's top.
const IRET_FRAME: u64 = 40;

impl Activation {
    /// The address above the frame, a multiple of 16: it identifies the frame's place.
    const fn top(&self) -> u64 {
        self.frame.0.wrapping_add(self.len as u64)
    }

    /// Whether it was taken on an IST stack that was in use: then its handler can come to the
    /// interrupted RIP with the interrupted RSP by running the same code again, so only IRET tells
    /// that it has been resumed. The stack was in use if the interrupted RSP lies in its page, or
    /// if a frame between that RSP and the top belongs to one of `outer`. (Stacks may lie side by
    /// side: an RSP at a page's start is the top of the one below.)
    fn reuses_stack<'a>(&self, outer: impl IntoIterator<Item = &'a Self>) -> bool {
        const REACH: u64 = 64 << 10;
        const PAGE: u64 = 4096;
        let rsp = self.context.rsp.0;
        let is_between = |at: u64| at.wrapping_sub(rsp) <= self.frame.0.wrapping_sub(rsp);
        self.top().wrapping_sub(rsp).wrapping_sub(1) < REACH
            && self.frame.0 >= rsp
            && (self.frame.0 / PAGE == rsp.wrapping_sub(1) / PAGE
                || outer.into_iter().any(|a| is_between(a.frame.0)))
    }

    /// Whether an IRET by the frame of `rival` is that one's return and not this one's as well, though
    /// both contexts are the same: the same code, run again on the same stack, was interrupted again.
    fn yields_to<'a>(
        &self,
        rival: Option<DeliveryId>,
        outer: impl IntoIterator<Item = &'a Self>,
    ) -> bool {
        rival.is_some_and(|r| r != self.id) && self.reuses_stack(outer)
    }

    /// Whether control at `rip`, `cs`, `rsp` is its interrupted context.
    fn is_resumed_at(&self, rip: u64, cs: u64, rsp: u64) -> bool {
        let c = &self.context;
        c.rip.0 == rip && c.rsp.0 == rsp && (c.cs.0 ^ cs) & 0xffff == 0
    }
}

/// What an IRET-like return means for deliveries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Returned {
    /// The delivery that wrote the popped bytes, if they are still the ones it pushed.
    pub of: Option<DeliveryId>,
    /// The unresumed delivery whose interrupted context is reached.
    pub resumes: Option<DeliveryId>,
}

/// The unresumed deliveries whose frames a new one wrote over; at most five fit.
pub type Overwritten = [Option<DeliveryId>; 5];

/// [`Activations`] as they are written down.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedActivations {
    by_vector: Vec<u64>,
    open: Vec<Activation>,
    frames: Vec<Activation>,
    forgotten: u64,
}

/// Numbers deliveries and follows them until they are resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activations {
    serial: u64,
    /// Deliveries by vector.
    by_vector: Vec<u64>,
    /// Unresumed, by serial number.
    open: VecDeque<Activation>,
    /// The last frame at each place, by its top.
    frames: PageMap<Activation>,
    /// The delivery that set the NMI-blocking bit, while it is set.
    blocker: Option<Activation>,
    forgotten: u64,
}

impl Default for Activations {
    fn default() -> Self {
        Self {
            serial: 0,
            by_vector: vec![0; 256],
            open: VecDeque::new(),
            frames: PageMap::default(),
            blocker: None,
            forgotten: 0,
        }
    }
}

impl Activations {
    /// How many deliveries are unresumed.
    #[must_use]
    pub fn depth(&self) -> u16 {
        // At most CAPACITY.
        self.open.len() as u16
    }

    /// The unresumed deliveries, oldest first.
    pub fn open(&self) -> impl DoubleEndedIterator<Item = &Activation> + ExactSizeIterator {
        self.open.iter()
    }

    /// The newest unresumed delivery.
    #[must_use]
    pub fn innermost(&self) -> Option<&Activation> {
        self.open.back()
    }

    /// The serial number of the last delivery; 0: there was none.
    #[must_use]
    pub const fn last_serial(&self) -> u64 {
        self.serial
    }

    /// How many unresumed deliveries were forgotten for want of room.
    #[must_use]
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The NMI that blocks NMIs now, if its delivery succeeded.
    #[must_use]
    pub const fn blocker(&self) -> Option<&Activation> {
        self.blocker.as_ref()
    }

    /// All but the blocker, in an order that follows from it.
    pub(crate) fn saved(&self) -> SavedActivations {
        let mut frames: Vec<Activation> = self.frames.values().copied().collect();
        frames.sort_unstable_by_key(Activation::top);
        SavedActivations {
            by_vector: self.by_vector.clone(),
            open: self.open.iter().copied().collect(),
            frames,
            forgotten: self.forgotten,
        }
    }

    /// From what was [`saved`](Self::saved) while there was no blocker, if it can be; no number is
    /// above `max`.
    pub(crate) fn of_saved(saved: &SavedActivations, max: u64) -> Option<Self> {
        let counts = &saved.by_vector;
        let serial = counts.iter().try_fold(0u64, |sum, &n| sum.checked_add(n));
        let serial = serial.filter(|&n| n <= max && counts.len() == 256)?;
        let can_be = |a: &Activation| {
            let nth = counts.get(usize::from(a.id.vector.0)).copied();
            a.id.serial <= serial
                && nth.is_some_and(|n| a.id.nth <= n)
                && matches!(a.len, 40 | 48)
                && a.top().is_multiple_of(16)
        };
        let all = saved.open.iter().chain(&saved.frames);
        let rising = saved.open.is_sorted_by(|a, b| a.id.serial < b.id.serial);
        let apart = saved.frames.is_sorted_by(|a, b| a.top() < b.top());
        let fit = saved.open.len() <= CAPACITY && saved.frames.len() <= FRAMES;
        if !(all.into_iter().all(can_be) && rising && apart && fit && saved.forgotten <= max) {
            return None;
        }
        Some(Self {
            serial,
            by_vector: counts.clone(),
            open: saved.open.iter().copied().collect(),
            frames: saved.frames.iter().map(|a| (a.top(), *a)).collect(),
            blocker: None,
            forgotten: saved.forgotten,
        })
    }

    pub(super) fn clear_blocker(&mut self) {
        self.blocker = None;
    }

    /// Whether an IRET that pops `popped` from `slot` returns from the blocking NMI.
    pub(super) fn is_return_of_blocker(
        &self,
        slot: VirtAddr,
        whole: bool,
        popped: &FrameValues,
    ) -> bool {
        let rival = self.rival(self.written_by(slot, whole, popped));
        self.blocker.is_some_and(|b| {
            let outer = self.open.iter().take_while(|a| a.id.serial < b.id.serial);
            b.is_resumed_at(popped.rip.0, popped.cs.0, popped.rsp.0) && !b.yields_to(rival, outer)
        })
    }

    /// The delivery that pushed `popped` at `slot`, if software has not changed it.
    fn written_by(&self, slot: VirtAddr, whole: bool, popped: &FrameValues) -> Option<DeliveryId> {
        let place = slot.0.wrapping_add(IRET_FRAME);
        let writer = self.frames.get(&place).filter(|_| whole)?;
        (writer.context == *popped).then_some(writer.id)
    }

    /// Who returns by its own frame.
    fn rival(&self, preferred: Option<DeliveryId>) -> Option<DeliveryId> {
        preferred.filter(|&id| self.is_open(id))
    }

    /// The name of the next delivery.
    fn next_id(&mut self, vector: Vector) -> DeliveryId {
        self.serial += 1;
        let nth = &mut self.by_vector[usize::from(vector.0)];
        *nth += 1;
        DeliveryId {
            serial: self.serial,
            vector,
            nth: *nth,
        }
    }

    /// Notes a delivery whose frame of `len` bytes lies at `frame`.
    pub(super) fn delivered(
        &mut self,
        vector: Vector,
        kind: EventType,
        frame: VirtAddr,
        len: u8,
        context: FrameValues,
    ) -> (DeliveryId, Overwritten) {
        let new = Activation {
            id: self.next_id(vector),
            kind,
            frame,
            len,
            context,
        };
        let overwritten = self.take_overlapped(new.top());
        if self.open.len() >= CAPACITY {
            self.open.pop_front();
            self.forgotten += 1;
        }
        self.open.push_back(new);
        if self.frames.len() >= FRAMES {
            self.forget_old_frames();
        }
        self.frames.insert(new.top(), new);
        if kind == EventType::Nmi {
            self.blocker = Some(new);
        }
        (new.id, overwritten)
    }

    /// Forgets the frames that a frame below `top` writes over. Frames are 40 or 48 bytes below a
    /// multiple of 16, so two meet if their tops are less than 48 bytes apart.
    fn take_overlapped(&mut self, top: u64) -> Overwritten {
        let mut result = [None; 5];
        if self.frames.is_empty() {
            return result;
        }
        let places = [-32i64, -16, 0, 16, 32];
        for (found, distance) in result.iter_mut().zip(places) {
            if let Some(old) = self.frames.remove(&top.wrapping_add_signed(distance))
                && self.position(old.id).is_some()
            {
                *found = Some(old.id);
            }
        }
        result
    }

    /// Keeps the frames of activations, and forgets all others.
    fn forget_old_frames(&mut self) {
        let open = &self.open;
        self.frames.retain(|_, f| {
            open.binary_search_by_key(&f.id.serial, |a| a.id.serial)
                .is_ok()
        });
    }

    /// Whether `id` has not been resumed.
    #[must_use]
    pub fn is_open(&self, id: DeliveryId) -> bool {
        self.position(id).is_some()
    }

    fn position(&self, id: DeliveryId) -> Option<usize> {
        self.place(id.serial)
    }

    fn place(&self, serial: u64) -> Option<usize> {
        self.open
            .binary_search_by_key(&serial, |a| a.id.serial)
            .ok()
    }

    /// Whether the delivery with this number has not been resumed.
    #[must_use]
    pub fn is_unresumed(&self, serial: u64) -> bool {
        self.place(serial).is_some()
    }

    /// Whether the same deliveries are unresumed, whatever their numbers.
    #[must_use]
    pub fn same_but_for_numbers(&self, other: &Self) -> bool {
        let same = |a: &Activation, b: &Activation| {
            (a.id.vector, a.kind, a.frame, a.len, a.context)
                == (b.id.vector, b.kind, b.frame, b.len, b.context)
        };
        self.open.len() == other.open.len()
            && self.open.iter().zip(&other.open).all(|(a, b)| same(a, b))
            && match (&self.blocker, &other.blocker) {
                (Some(a), Some(b)) => same(a, b),
                (None, None) => true,
                _ => false,
            }
    }

    /// Notes an IRET that popped `popped` with RIP's slot at `slot`; `whole`: five quadwords.
    pub(super) fn returned(
        &mut self,
        slot: VirtAddr,
        whole: bool,
        popped: &FrameValues,
    ) -> Returned {
        let place = slot.0.wrapping_add(IRET_FRAME);
        let writer = self.frames.get(&place).filter(|_| whole).map(|w| w.id);
        let preferred = self.written_by(slot, whole, popped);
        let resumes = self.resume(preferred, popped.rip.0, popped.cs.0, popped.rsp.0, None);
        // Its frame is consumed, edited: it is resumed elsewhere.
        if let (Some(writer), None) = (writer, preferred)
            && let Some(i) = self.position(writer)
        {
            self.open.remove(i);
        }
        Returned {
            of: preferred,
            resumes,
        }
    }

    /// Whether an unresumed delivery has this saved RIP: a cheap question before
    /// [`note_control`](Self::note_control).
    #[must_use]
    pub fn awaits(&self, rip: VirtAddr) -> bool {
        self.open.iter().any(|a| a.context.rip == rip)
    }

    /// Notes that control has reached a context by another instruction than IRET; the delivery
    /// that this resumes, the newest if there are several with one context.
    pub fn note_control(
        &mut self,
        rip: VirtAddr,
        cs: u16,
        rsp: VirtAddr,
        ss: u16,
    ) -> Option<DeliveryId> {
        self.resume(None, rip.0, u64::from(cs), rsp.0, Some(ss))
    }

    /// Ends all activations whose interrupted context this is; the one to name.
    fn resume(
        &mut self,
        preferred: Option<DeliveryId>,
        rip: u64,
        cs: u64,
        rsp: u64,
        ss: Option<u16>,
    ) -> Option<DeliveryId> {
        let mut newest = None;
        let mut named = None;
        let rival = self.rival(preferred);
        let mut i = self.open.len();
        while i > 0 {
            i -= 1;
            let a = &self.open[i];
            // Without IRET: not where the handler's own stack runs over the interrupted one.
            let outer = self.open.range(..i);
            let plausible = match ss {
                Some(ss) => a.context.ss.0 as u16 == ss && !a.reuses_stack(outer),
                None => !a.yields_to(rival, outer),
            };
            if a.is_resumed_at(rip, cs, rsp) && plausible {
                newest = newest.or(Some(a.id));
                if preferred == Some(a.id) {
                    named = preferred;
                }
                self.open.remove(i);
            }
        }
        named.or(newest)
    }
}
