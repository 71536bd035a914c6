//! The error status register (SDM vol. 3, "Error Handling").

use serde::{Deserialize, Serialize};

use super::chip::Lapic;
use super::lvt::LvtEntry;
use crate::device::DeviceContext;
use crate::trace::Source;

/// Bits of the ESR; those of the P6 family's APIC bus do not exist any more.
#[rustfmt::skip]
pub(super) mod esr {
    pub(in super::super) const REDIRECTABLE_IPI: u32       = 1 << 4;
    pub(in super::super) const SEND_ILLEGAL_VECTOR: u32    = 1 << 5;
    pub(in super::super) const RECEIVE_ILLEGAL_VECTOR: u32 = 1 << 6;
    pub(in super::super) const ILLEGAL_REGISTER: u32       = 1 << 7;
}

/// Errors are collected unseen; a write to ESR shows them and begins a new collection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct ErrorStatus {
    /// What a read of ESR gives.
    shown: u32,
    collected: u32,
    /// The error interrupt has been raised since the last write.
    interrupted: bool,
}

impl ErrorStatus {
    pub(super) const fn read(&self) -> u32 {
        self.shown
    }

    /// A write of any value.
    pub(super) const fn write(&mut self) {
        *self = Self {
            shown: self.collected,
            collected: 0,
            interrupted: false,
        };
    }
}

impl Lapic {
    /// Collects an error. The first one after a write to ESR that finds the LVT error entry
    /// unmasked raises its interrupt.
    pub(super) fn log_error(&mut self, error: u32, ctx: &mut DeviceContext<'_>) {
        self.errors.collected |= error;
        if self.errors.interrupted || self.masked(LvtEntry::Error) {
            return;
        }
        self.errors.interrupted = true;
        let vector = self.vector(LvtEntry::Error);
        if vector < 16 {
            self.errors.collected |= esr::RECEIVE_ILLEGAL_VECTOR;
        } else {
            self.accept(vector, Source::Apic, ctx);
        }
    }
}
