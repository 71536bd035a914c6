//! The frames of deliveries, and who wrote their bytes last.
//!
//! [`Activations`](crate::system::activation::Activations) compares the bytes that an IRET pops
//! with those that a delivery pushed there, by value. For a delivery that has been resumed that is
//! not enough to speak of an error: once its frame lies in free stack space, software may push
//! the same five values there again (Linux's way to serialise the processor does, and so does a system call
//! that leaves by IRET). A consumed frame is *stale* if its delivery has been resumed, and
//! * it was pushed on an IST stack that the interrupted code was running on, so that the bytes
//!   lie in what that code takes for its own part of the stack; or
//! * the bytes have been watched since it was resumed, and nothing has been written there.

use std::collections::VecDeque;
use std::sync::Arc;

use super::context::Proof;
use crate::arch::VirtAddr;
use crate::system::activation::Activations;
use crate::trace::{Delivery, DeliveryId, Event};

/// Deliveries that are remembered.
const MAX_OPEN: usize = 256;
/// Resumed deliveries that are remembered.
const MAX_RESUMED: usize = 16;

/// How far an IST stack reaches below a frame at its top.
const IST_STACK: u64 = 16 << 10;

/// A delivery and its frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Its delivery.
    pub id: DeliveryId,
    /// The frame's lowest address.
    pub at: VirtAddr,
    /// 40, or 48 with an error code.
    pub len: u8,
    /// The gate's IST index.
    pub ist: u8,
    /// The CPL that was interrupted.
    pub cpl: u8,
    /// It was pushed on an IST stack that a handler was running on, further down.
    pub on_live_stack: bool,
    /// It has been resumed.
    pub resumed: bool,
    /// Its bytes are known to be what the delivery pushed.
    pub intact: bool,
    /// The delivery.
    pub proof: Proof,
}

impl Frame {
    fn new(event: &Arc<Event>, d: &Delivery, on_live_stack: bool) -> Self {
        let len = if d.error_code.is_some() { 48 } else { 40 };
        Self {
            id: d.id,
            at: d.frame,
            len,
            ist: d.ist,
            cpl: event.cpl,
            on_live_stack,
            resumed: false,
            intact: false,
            proof: Proof::of(event),
        }
    }

    /// Whether it has a byte of the `len` bytes at `at`.
    #[must_use]
    pub const fn overlaps(&self, at: VirtAddr, len: u64) -> bool {
        let from = at.0.wrapping_sub(self.at.0);
        from < self.len as u64 || self.at.0.wrapping_sub(at.0) < len
    }

    /// Whether an IRET that pops the pushed bytes pops what is of no more use.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        self.resumed && (self.on_live_stack || self.intact)
    }
}

/// The last deliveries: the newest `MAX_OPEN` that are unresumed, and some that were resumed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Frames {
    open: VecDeque<Frame>,
    resumed: VecDeque<Frame>,
}

impl Frames {
    /// Notes a delivery.
    pub(super) fn delivered(&mut self, event: &Arc<Event>, d: &Delivery) {
        let below = d.frame.0.wrapping_sub(d.pushed.rsp.0);
        let on_live_stack = d.ist != 0
            && below < IST_STACK
            && self
                .open
                .iter()
                .any(|f| f.ist == d.ist && f.at.0.wrapping_sub(d.pushed.rsp.0) < IST_STACK);
        let frame = Frame::new(event, d, on_live_stack);
        self.written(frame.at, frame.len.into());
        if self.open.len() >= MAX_OPEN {
            self.open.pop_front();
        }
        self.open.push_back(frame);
    }

    /// Moves what is no longer among `activations`. The newest that was moved.
    pub(super) fn returned(&mut self, activations: &Activations) -> Option<&Frame> {
        let mut moved = false;
        let mut i = 0;
        while i < self.open.len() {
            if activations.is_open(self.open[i].id) {
                i += 1;
                continue;
            }
            if let Some(mut frame) = self.open.remove(i) {
                frame.resumed = true;
                moved = true;
                self.resumed.push_back(frame);
            }
        }
        while self.resumed.len() > MAX_RESUMED {
            self.resumed.pop_front();
        }
        if moved { self.resumed.back() } else { None }
    }

    /// Something has written there: resumed frames lose their bytes.
    pub(super) fn written(&mut self, at: VirtAddr, len: u64) {
        for frame in &mut self.resumed {
            frame.intact &= !frame.overlaps(at, len);
        }
    }

    /// Its bytes are watched from now on, or no longer.
    pub(super) fn set_intact(&mut self, id: DeliveryId, intact: bool) {
        if let Some(f) = self.resumed.iter_mut().find(|f| f.id == id) {
            f.intact = intact;
        }
    }

    /// The delivery `id`, if it is remembered.
    #[must_use]
    pub fn get(&self, id: DeliveryId) -> Option<&Frame> {
        let newest_first = self.open.iter().rev().chain(self.resumed.iter().rev());
        newest_first.into_iter().find(|f| f.id == id)
    }

    /// Whether the same deliveries are open here and there.
    pub(super) fn same_open(&self, other: &Self) -> bool {
        self.open == other.open
    }
}
