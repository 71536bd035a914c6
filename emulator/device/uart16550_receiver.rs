//! The 16550D's receiver: RBR or FIFO, its errors, and what waits on the line.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Line status register (datasheet 8.5).
#[rustfmt::skip]
pub(super) mod lsr {
    pub(in super::super) const DATA_READY: u8        = 0x01;
    pub(in super::super) const OVERRUN: u8           = 0x02;
    pub(in super::super) const BREAK: u8             = 0x10;
    pub(in super::super) const THR_EMPTY: u8         = 0x20;
    pub(in super::super) const TRANSMITTER_EMPTY: u8 = 0x40;
    pub(in super::super) const FIFO_ERROR: u8        = 0x80;
    /// OE, PE, FE, BI: what makes a line status interrupt.
    pub(in super::super) const ERRORS: u8            = 0x1e;
}

/// Bytes of the FIFO.
const FIFO: usize = 16;
/// Most bytes that may wait on the line; the host's further ones are dropped.
const MAX_WAITING: usize = 1 << 20;
/// FCR: enable, and reset of the receiver's FIFO. That of the transmitter is always empty.
const FCR_ENABLE: u8 = 0x01;
const FCR_RESET_RECEIVER: u8 = 0x02;
/// Trigger levels by FCR bits 7:6.
const TRIGGER: [usize; 4] = [1, 4, 8, 14];

/// Received bytes, each with its error bits in the LSR's places.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Receiver {
    fifo_enabled: bool,
    /// FCR bits 7:6.
    trigger: u8,
    received: VecDeque<(u8, u8)>,
    /// What RBR shows when nothing is there: the last byte read.
    last: u8,
    /// Errors that the next read of LSR shows and clears.
    errors: u8,
    waiting: VecDeque<u8>,
}

impl Receiver {
    /// Whether a receiver can come to this state.
    pub(super) fn can_be(&self) -> bool {
        let room = if self.fifo_enabled { FIFO } else { 1 };
        self.received.len() <= room && self.trigger & 0x3f == 0
    }

    pub(super) const fn fifo_enabled(&self) -> bool {
        self.fifo_enabled
    }

    fn capacity(&self) -> usize {
        if self.fifo_enabled { FIFO } else { 1 }
    }

    pub(super) fn type_in(&mut self, bytes: &[u8]) {
        let room = MAX_WAITING.saturating_sub(self.waiting.len());
        self.waiting.extend(bytes.iter().take(room));
    }

    /// Lets the line's bytes in as far as there is room.
    pub(super) fn pull(&mut self) {
        while self.received.len() < self.capacity() {
            let Some(byte) = self.waiting.pop_front() else {
                return;
            };
            self.receive(byte, 0);
        }
    }

    /// A byte arrives, whether there is room or not. Overrun replaces the byte in RBR, but never
    /// one in a FIFO: there the newcomer is lost (datasheet 8.5, bit 1).
    pub(super) fn receive(&mut self, byte: u8, error: u8) {
        if self.received.len() >= self.capacity() {
            self.errors |= lsr::OVERRUN;
            if self.fifo_enabled {
                return;
            }
            self.received.clear();
        }
        self.received.push_back((byte, error));
        if self.received.len() == 1 {
            self.errors |= error;
        }
    }

    /// Reads RBR. The errors of the byte that comes to the top are shown from now on.
    pub(super) fn read(&mut self) -> u8 {
        if let Some((byte, _)) = self.received.pop_front() {
            self.last = byte;
            self.errors |= self.received.front().map_or(0, |(_, error)| *error);
        }
        self.last
    }

    /// The receiver's LSR bits.
    pub(super) fn status(&self) -> u8 {
        let ready = !self.received.is_empty();
        let fifo_error = self.fifo_enabled && self.received.iter().any(|(_, error)| *error != 0);
        self.errors
            | if ready { lsr::DATA_READY } else { 0 }
            | if fifo_error { lsr::FIFO_ERROR } else { 0 }
    }

    /// Reads LSR: the errors at the top are known now.
    pub(super) fn read_status(&mut self) -> u8 {
        let status = self.status();
        self.errors = 0;
        if let Some((_, error)) = self.received.front_mut() {
            *error = 0;
        }
        status
    }

    /// Whether as many bytes are there as the trigger level asks for.
    pub(super) fn at_trigger(&self) -> bool {
        let level = if self.fifo_enabled {
            TRIGGER[usize::from(self.trigger & 3)]
        } else {
            1
        };
        self.received.len() >= level
    }

    /// Writes FCR. Changing the mode empties both FIFOs; the other bits are programmed only
    /// together with the enable bit (datasheet 8.4).
    pub(super) fn control(&mut self, fcr: u8) {
        let enable = fcr & FCR_ENABLE != 0;
        if enable != self.fifo_enabled || enable && fcr & FCR_RESET_RECEIVER != 0 {
            self.received.clear();
        }
        self.fifo_enabled = enable;
        if enable {
            self.trigger = fcr >> 6;
        }
    }
}
