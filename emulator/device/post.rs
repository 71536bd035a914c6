//! The POST port, 0x80: the last code written, as the PC's spare page register keeps it.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::signal::Signal;
use super::snapshot::whole_state;
use super::traits::{Device, DeviceContext};

/// One byte that reads back as written; each write is a [`Signal::Post`].
///
/// On the PC/AT this is the DMA page register that no channel uses, with a display beside it.
/// Kernels also write it to wait for a microsecond; here that takes no time.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PostPort {
    last: u8,
}

impl PostPort {
    /// The last code; 0 after reset.
    #[must_use]
    pub const fn last(&self) -> u8 {
        self.last
    }
}

impl Device for PostPort {
    fn name(&self) -> &'static str {
        "post"
    }

    fn ports(&self) -> &[RangeInclusive<u16>] {
        &[0x80..=0x80]
    }

    fn port_read(&mut self, _port: u16, _size: u8, _ctx: &mut DeviceContext<'_>) -> u32 {
        self.last.into()
    }

    fn port_write(&mut self, _port: u16, _size: u8, value: u32, ctx: &mut DeviceContext<'_>) {
        self.last = value as u8;
        ctx.signal(Signal::Post(self.last));
    }

    whole_state!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_and_signals() {
        let mut signals = Vec::new();
        let mut ctx = DeviceContext::new(0, &mut signals);
        let mut port = PostPort::default();
        port.port_write(0x80, 1, 0x42, &mut ctx);
        port.port_write(0x80, 1, 0x43, &mut ctx);
        assert_eq!(port.port_read(0x80, 1, &mut ctx), 0x43);
        assert_eq!(signals, [Signal::Post(0x42), Signal::Post(0x43)]);
    }
}
