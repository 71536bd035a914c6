//! What a device is to the machine.

use std::any::Any;
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt::Debug;
use std::ops::{Range, RangeInclusive};

use super::signal::{Concern, Signal};
use super::snapshot::{DeviceState, ForeignState};
use crate::arch::PhysAddr;

/// What a device may use while it answers: the time, and a way to speak.
#[derive(Debug)]
pub struct DeviceContext<'a> {
    now: u64,
    asked: Cell<bool>,
    /// Where signals go, oldest first. The machine empties it after every call.
    pub signals: &'a mut Vec<Signal>,
}

impl<'a> DeviceContext<'a> {
    /// At the virtual time `now`.
    pub const fn new(now: u64, signals: &'a mut Vec<Signal>) -> Self {
        Self {
            now,
            asked: Cell::new(false),
            signals,
        }
    }

    /// Virtual time in retired instructions. It never goes back. An access sees the time of the
    /// boundary before its instruction; time that passes in HLT counts as if instructions retired.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.asked.set(true);
        self.now
    }

    /// Whether a device has asked for the time: if not, nothing that it did depends on it.
    #[must_use]
    pub const fn was_asked(&self) -> bool {
        self.asked.get()
    }

    /// Adds a signal.
    pub fn signal(&mut self, signal: Signal) {
        self.signals.push(signal);
    }

    /// Adds a [`Signal::Report`].
    pub fn report(
        &mut self,
        device: &'static str,
        concern: Concern,
        text: impl Into<Cow<'static, str>>,
    ) {
        self.signals.push(Signal::Report {
            device,
            concern,
            text: text.into(),
        });
    }
}

/// A device: claims ports or physical memory, and answers accesses there.
///
/// A device is a pure function of what the guest did to it and of `ctx.now()`: no host time, no
/// host input or output. No access may panic, loop long or grow memory without bound, whatever
/// the guest writes. [`Watchdog`](super::Watchdog) is there to be copied for a new device.
///
/// The bus calls with `size` 1, 2 or 4 for ports and 1, 2, 4 or 8 for memory, and only where the
/// whole access lies in one range that the device claims.
pub trait Device: Any + Debug + Send + Sync {
    /// A short name in lower case, as it stands in traces: `serial`.
    fn name(&self) -> &'static str;

    /// The ports that it claims now.
    fn ports(&self) -> &[RangeInclusive<u16>] {
        &[]
    }

    /// The physical memory that it claims, always the same while it is on a bus; goes before RAM.
    fn mmio(&self) -> &[Range<u64>] {
        &[]
    }

    /// IN. Bits above `size` bytes are dropped by the bus.
    fn port_read(&mut self, port: u16, size: u8, ctx: &mut DeviceContext<'_>) -> u32 {
        let _ = (port, size, ctx);
        u32::MAX
    }

    /// OUT. Bits of `value` above `size` bytes are zero.
    fn port_write(&mut self, port: u16, size: u8, value: u32, ctx: &mut DeviceContext<'_>) {
        let _ = (port, size, value, ctx);
    }

    /// A read of device memory. Bits above `size` bytes are dropped by the bus.
    fn mmio_read(&mut self, at: PhysAddr, size: u8, ctx: &mut DeviceContext<'_>) -> u64 {
        let _ = (at, size, ctx);
        u64::MAX
    }

    /// A write of device memory. Bits of `value` above `size` bytes are zero.
    fn mmio_write(&mut self, at: PhysAddr, size: u8, value: u64, ctx: &mut DeviceContext<'_>) {
        let _ = (at, size, value, ctx);
    }

    /// The virtual time at which [`tick`](Self::tick) is wanted; `None`: not before the next access.
    fn next_deadline(&self) -> Option<u64> {
        None
    }

    /// Time has come to `ctx.now()`. Called at a deadline, or later, or for nothing: a tick before
    /// the deadline changes nothing, and after a tick the next deadline lies after `ctx.now()`.
    fn tick(&mut self, ctx: &mut DeviceContext<'_>) {
        let _ = ctx;
    }

    /// The whole state that the guest can have influenced.
    fn save(&self) -> DeviceState;

    /// Goes back to a saved state.
    ///
    /// # Errors
    /// [`ForeignState`] if it is that of another kind of device; nothing changes then.
    fn restore(&mut self, state: &DeviceState) -> Result<(), ForeignState>;

    /// Goes back to a saved state that was written as JSON. A device that cannot do so is in no state
    /// that is saved to a file.
    ///
    /// # Errors
    /// [`ForeignState`] if it is none, or a value in it can never be; nothing changes then.
    fn restore_json(&mut self, state: &serde_json::Value) -> Result<(), ForeignState> {
        let _ = state;
        Err(ForeignState {
            device: self.name(),
        })
    }

    /// A second device in the same state.
    fn clone_box(&self) -> Box<dyn Device>;
}

impl Clone for Box<dyn Device> {
    fn clone(&self) -> Self {
        self.as_ref().clone_box()
    }
}
